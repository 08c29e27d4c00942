"""What a plan needs of the host, from hand-made plans and the built-in table."""

from __future__ import annotations

from typing import Any

import pytest

from gemma4ctl.hardware.inventory import Health, Unit
from gemma4ctl.launch.preflight.needs import WORKING_MIB, needs_of
from gemma4ctl.planning.plan import (
    Capacity,
    Decision,
    HardwareSummary,
    ImageChoice,
    Plan,
    VariantSummary,
)
from gemma4ctl.planning.request import Request
from gemma4ctl.profiles.load import load

PROFILES = load()
UNIT = Unit(
    id="GPU-0",
    index=0,
    kind="gpu",
    name="NVIDIA H100",
    platform="H100",
    vendor="nvidia",
    architecture="sm_90",
    memory_total_mib=81559,
    memory_free_mib=81000,
    health=Health(),
)
CAPACITY = Capacity(
    weights_mib_per_gpu=10_240,
    draft_mib_per_gpu=128,
    kv_bytes_per_token=36_864,
    full_layer_tokens=728_328,
    swa_layer_tokens=582_662,
    max_concurrent_requests=5,
    max_context_tokens=131_072,
    basis="by hand",
)
E2B = next(c for c in PROFILES.checkpoints if (c.variant, c.name) == ("E2B", "bf16"))


def plan(**fields: Any) -> Plan:
    return Plan(
        **{
            "gemma4ctl_version": "0",
            "profiles_hash": "0",
            "request": Request(model="E2B", port=31000),
            "hardware": HardwareSummary(
                platform="H100",
                vendor=fields.pop("vendor", "nvidia"),
                architecture="sm_90",
                gpu_count=1,
                host_gpu_count=1,
                memory_mib=81559,
                free_mib=81000,
                source="nvml",
                units=(UNIT,),
                pinned=True,
                choice="the only one",
            ),
            "variant": VariantSummary(
                name="E2B",
                model_path=E2B.id,
                checkpoint="bf16",
                local=False,
                draft_path=E2B.draft,
            ),
            "release": "0.5.16",
            "image": None,
            "decisions": (),
            "capacity": CAPACITY,
            **fields,
        }
    )


def test_memory_port_and_release_come_from_the_plan():
    needs = needs_of(plan(), PROFILES, "local")
    assert needs.port == 31000
    assert needs.minimum_mib == 10_240 + 128 + WORKING_MIB
    assert needs.planned_mib == needs.minimum_mib + 36_864 * 728_328 // 2**20
    assert (needs.release, needs.transformers) == (
        "0.5.16",
        PROFILES.releases["0.5.16"].transformers,
    )
    assert needs.cuda_majors == PROFILES.releases["0.5.16"].cuda_major
    assert needs.units == (UNIT,)


def test_the_model_and_its_draft_have_the_sizes_of_the_table():
    model, draft = needs_of(plan(), PROFILES, "local").models
    assert (model.path, model.role, model.bytes) == (E2B.id, "model", E2B.weight_bytes)
    assert (draft.path, draft.role, draft.bytes) == (E2B.draft, "draft model", E2B.draft_bytes)


def test_mtp_needs_a_release_with_mtp():
    variant = PROFILES.variants["E2B"]
    assert needs_of(plan(), PROFILES, "local").min_release == variant.mtp_min_release
    alone = VariantSummary(name="E2B", model_path="/m", checkpoint="bf16", local=True)
    needs = needs_of(plan(variant=alone), PROFILES, "local")
    assert needs.min_release == variant.min_release
    assert [(m.path, m.local) for m in needs.models] == [("/m", True)]


def test_a_container_brings_its_own_cuda():
    image = next(i for i in PROFILES.images if i.cuda)
    chosen = ImageChoice(reference=image.reference, status="verified", reason="", source="")
    assert image.cuda is not None
    needs = needs_of(plan(image=chosen), PROFILES, "docker")
    assert needs.cuda_majors == (int(image.cuda.split(".")[0]),)
    unknown = chosen.model_copy(update={"reference": "my/own:image"})
    assert needs_of(plan(image=unknown), PROFILES, "docker").cuda_majors == ()


def test_host_and_port_after_the_dashes_win():
    decisions = tuple(
        Decision(name=n, value=v, rule="r", reason="", source="", status="verified")
        for n, v in (("host", "::1"), ("port", 32000))
    )
    needs = needs_of(plan(decisions=decisions), PROFILES, "local")
    assert (needs.host, needs.port) == ("::1", 32000)


def test_amd_has_no_cuda():
    assert needs_of(plan(vendor="amd"), PROFILES, "local").cuda_majors == ()


def test_what_is_not_in_the_table_is_not_checked():
    odd = VariantSummary(name="E2B", model_path="/m", checkpoint="my-own", local=True)
    needs = needs_of(plan(variant=odd, release="9.9", capacity=None), PROFILES, "local")
    assert needs.minimum_mib is needs.planned_mib is needs.transformers is None
    assert needs.largest_shard_bytes is None
    assert needs.cuda_majors == ()


@pytest.mark.parametrize(
    ("extra", "weights"),
    [
        ((), True),
        (("--load-format", "dummy"), False),
        (("--load-format=dummy",), False),
        (("--load-format", "auto"), True),
    ],
)
def test_dummy_weights(extra, weights):
    assert needs_of(plan(extra_args=extra), PROFILES, "local").weights is weights
