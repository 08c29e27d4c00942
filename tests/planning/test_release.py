"""The SGLang release that is planned for, and the container image."""

from __future__ import annotations

from typing import Any

import pytest

from gemma4ctl.errors import NoPlanError, UsageError
from gemma4ctl.planning.engine import plan
from gemma4ctl.planning.plan import Plan
from gemma4ctl.planning.request import Request

from .hosts import gpu, host, node, planned, table

FOLLOWED = [
    # asked, row whose rules and flags are used
    ("0.5.24", "0.5.23"),
    ("0.5.17.dev3", "0.5.16"),
    ("0.5.16.post1", "0.5.16"),
    ("1.0", "0.5.23"),
]


@pytest.mark.parametrize(("asked", "row"), FOLLOWED)
def test_unlisted_release_follows_the_newest_older_one(asked: str, row: str) -> None:
    plan = planned("H200", model="31B", sglang_version=asked, origins={"sglang_version": "flag"})
    same = planned("H200", model="31B", sglang_version=row)
    assert plan.release == asked
    decision = plan.decision("sglang_version")
    assert decision and (decision.status, decision.origin) == ("estimated", "flag")
    warning = next(w for w in plan.warnings if w.code == "release-unknown")
    assert f"the rules and flags of {row} were used" in warning.message
    flags = [(d.flag, d.value) for d in plan.decisions if d.flag]
    assert flags == [(d.flag, d.value) for d in same.decisions if d.flag]


def test_flags_of_an_unlisted_release_are_judged_by_the_row() -> None:
    """--language-model-only came with 0.5.18."""
    extra = ("--language-model-only",)
    old = planned("H200", model="31B", sglang_version="0.5.17.dev3", extra_args=extra)
    new = planned("H200", model="31B", sglang_version="0.5.24", extra_args=extra)
    assert "user-flags" in {w.rule for w in old.warnings}
    assert "user-flags" not in {w.rule for w in new.warnings}


@pytest.mark.parametrize("spelling", ["v0.5.16", "0.5.16", " 0.5.16 ", "0.5.16+cu129"])
def test_spellings_of_a_listed_release(spelling: str) -> None:
    plan = planned("H200", model="31B", sglang_version=spelling)
    assert plan.release == "0.5.16"
    assert "release-unknown" not in {w.code for w in plan.warnings}


def test_too_old() -> None:
    with pytest.raises(NoPlanError) as raised:
        planned("H200", model="31B", sglang_version="0.5.10")
    assert raised.value.needed == "SGLang 0.5.11 or newer"
    assert raised.value.found == "0.5.10 (asked for)"
    assert "gemma4ctl suggest --model 31B --hardware H200" in raised.value.remedies[1]


@pytest.mark.parametrize("text", ["banana", "", "latest", "(installed)"])
def test_not_a_version(text: str) -> None:
    inventory = host(gpu(0), packages={"sglang": text or "?"})
    with pytest.raises(UsageError) as raised:
        planned(inventory, model="E2B", sglang_version=text or None)
    assert raised.value.code == "release-unknown"


def test_order_of_precedence() -> None:
    inventory = host(gpu(0), packages={"sglang": "0.5.18"})

    def release(**request: Any) -> str:
        return planned(inventory, model="E2B", **request).release

    image = "example.org/mine/sglang:v0.5.20-custom"
    assert release() == "0.5.18"
    assert release(image=image) == "0.5.20"
    assert release(image=image, sglang_version="0.5.21") == "0.5.21"
    assert release(image="example.org/mine/sglang:nightly") == "0.5.18"


def test_platform_default_is_replaced_where_too_old_for_the_variant() -> None:
    assert planned("Xeon", model="E2B").release == "0.5.20"
    xeon = table().platforms["Xeon"].model_copy(update={"default_release": "0.5.14"})
    profiles = table().model_copy(update={"platforms": {**table().platforms, "Xeon": xeon}})
    made = plan(Request(model="12B"), node("Xeon"), profiles)
    assert made.release == table().default_release
    decision = made.decision("sglang_version")
    assert decision and decision.reason == "the platform's usual release is older than 0.5.15"


# --- images


def image(plan: Plan) -> tuple[str | None, set[str]]:
    codes = {w.code for w in plan.warnings if w.rule == "container-image"}
    return (plan.image.reference if plan.image else None), codes


def test_image_by_driver() -> None:
    old = planned(host(gpu(0), cuda_driver_version="12.9"), model="E2B")
    new = planned(host(gpu(0), cuda_driver_version="13.0"), model="E2B")
    assert image(old) == ("lmsysorg/sglang:v0.5.16-cu129", set())
    assert image(new) == ("lmsysorg/sglang:v0.5.16", set())


def test_image_for_arm() -> None:
    plan = planned("GB200", model="31B")
    assert plan.image and plan.image.status == "verified"


def test_image_by_amd_architecture() -> None:
    assert "mi30x" in str(image(planned("MI325X", model="31B"))[0])
    assert "mi35x" in str(image(planned("MI355X", model="31B"))[0])


def test_guessed_image_warns() -> None:
    plan = planned("MI300X", model="E2B", sglang_version="0.5.23")
    assert plan.image and plan.image.status == "guess"
    assert image(plan)[1] == {"image-guess"}


def test_no_image_known() -> None:
    assert image(planned("H200", model="E2B", sglang_version="0.5.24")) == (
        None,
        {"image-unknown"},
    )


@pytest.mark.parametrize(
    ("reference", "codes"),
    [
        ("lmsysorg/sglang:latest", {"image-floating"}),
        ("lmsysorg/sglang", {"image-floating"}),
        ("lmsysorg/sglang:dev-cu13", {"image-floating"}),
        ("localhost:5000/sglang", {"image-floating"}),
        ("lmsysorg/sglang:v0.5.16-cu130", set()),
        ("lmsysorg/sglang@sha256:" + "0" * 64, set()),
    ],
)
def test_named_image(reference: str, codes: set[str]) -> None:
    plan = planned("H200", model="E2B", image=reference)
    assert image(plan) == (reference, codes)
    assert plan.image and plan.image.status == "user"


def test_image_of_another_release_than_asked() -> None:
    plan = planned("H200", model="E2B", image="lmsysorg/sglang:v0.5.20", sglang_version="0.5.16")
    assert image(plan)[1] == {"image-other-release"}
