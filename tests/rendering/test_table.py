from __future__ import annotations

import re

import pytest

from gemma4ctl.planning.plan import LOAD_SPLIT, ONCE_CERTIFIED, Plan
from gemma4ctl.rendering import command
from gemma4ctl.rendering.shell import shell
from gemma4ctl.rendering.table import explain_table, inventory_table, plan_table

from .golden_files import plain
from .inventories import AMD, INVENTORIES, NVIDIA, UNIFIED
from .plans import GUESSED_IMAGE, PLANS, decision, make

WIDTHS = (80, 120)


def squeezed(text: str) -> str:
    return re.sub(r"\s+", "", text)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", PLANS)
def test_plan_table_says_everything_and_never_cuts_the_command(name: str, width: int) -> None:
    plan = PLANS[name]
    text = plain(plan_table(plan, width), width)
    assert shell(plan) in text
    for item in plan.decisions:
        if command.words(item) or item.env:
            assert " ".join(item.reason.split()[:2]) in text
    for warning in plan.warnings:
        assert squeezed(warning.message)[:30] in squeezed(text)
        assert warning.severity in text
    without_command = text.replace(shell(plan), "")
    assert max(len(line) for line in without_command.splitlines()) <= width


def test_plan_table_marks_estimates_origins_and_the_users_own_flags() -> None:
    marked = decision("x", 1, "--x", status="estimated", origin="flag --x")
    text = plain(plan_table(make(flags=(marked,)), 120), 120)
    assert re.search(r"--x +1 +why x is 1 \[estimated\] \[from flag --x\]", text)
    yours = plain(plan_table(PLANS["b200-extra-args"], 120), 120)
    assert re.search(r"--chunked-prefill-size +-1 +yours, after --", yours)


def test_a_list_is_broken_between_items_where_the_column_is_full() -> None:
    sizes = "16,32,64,128,256,384,512,640,768,1024,1536,2048"
    cards = [f"GPU-8f2b7c1e-{n}{n}{n}{n}-4c1d-9a77-0123456789ab" for n in (1, 2)]
    for value, lines in (
        (sizes, ["16,32,64,128,256,384,512,640,768,1024,", "1536,2048"]),
        (",".join(cards), [f"{cards[0]},", cards[1]]),
    ):
        listed = decision("x", value, env="X")
        wide = plain(plan_table(make(flags=(listed,)), 120), 120).splitlines()
        first = next(n for n, line in enumerate(wide) if line.startswith("X  "))
        assert [wide[first + n].split()[n == 0] for n in (0, 1)] == lines
        narrow = squeezed(plain(plan_table(make(flags=(listed,)), 80), 80))
        assert narrow.count(f"X={value}") == 2  # in the command, and with its reason


def test_plan_table_shows_warning_with_remedy() -> None:
    text = plain(plan_table(PLANS["mi300x-e2b"], 80), 80)
    assert GUESSED_IMAGE.remedy in text
    assert "(the tag is a guess)" in text


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("kernels", "fused", "Kernels  fused, why kernels is fused"),
        ("kernels", "stock", None),
        (
            ONCE_CERTIFIED,
            "fused",
            "Kernels  SGLang's own; fused ones are faster once certified:\n"
            "         why kernels_once_certified is fused",
        ),
    ],
)
def test_plan_table_says_which_model_code_is_used(name: str, value: str, shown: str | None) -> None:
    text = plain(plan_table(make(flags=(decision(name, value),)), 80), 80)
    assert ("Kernels" in text) == bool(shown)
    assert (shown or "") in text


def test_plan_table_without_image_and_capacity() -> None:
    text = plain(plan_table(make(image=None, capacity=False), 80), 80)
    assert "Image" not in text
    assert "KV pools" not in text


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(
    ("plan", "line"),
    [
        (make(), "32,768 tokens: 30 requests fit (full pool), 120 with --optimize"),
        (
            make(safe=True),
            "32,768 tokens: 30 requests fit (full pool), 120 with --optimize instead of --safe",
        ),
        (
            make(tuned=True),
            "32,768 tokens, 20 at once: 120 requests fit (sliding pool), 30 with the default split",
        ),
    ],
)
def test_plan_table_shows_both_splits(plan: Plan, line: str, width: int) -> None:
    assert squeezed(f"Load {line} Computed") in squeezed(plain(plan_table(plan, width), width))


def test_plan_table_names_no_split_that_is_no_better() -> None:
    plan = make()
    assert plan.capacity is not None
    own = plan.capacity.splits[0]
    other = own.model_copy(update={"title": LOAD_SPLIT})
    for splits, expected in (((own, other), "30 requests fit (full pool)\nComputed"), ((), "")):
        capacity = plan.capacity.model_copy(update={"splits": splits})
        text = plain(plan_table(plan.model_copy(update={"capacity": capacity}), 80), 80)
        assert squeezed(expected) in squeezed(text)
        assert "--optimize" not in text


def test_one_request_in_words() -> None:
    plan = make()
    assert plan.capacity is not None
    own, other = plan.capacity.splits
    splits = (own.model_copy(update={"requests": 1}), other)
    capacity = plan.capacity.model_copy(update={"splits": splits, "max_concurrent_requests": 1})
    text = plain(plan_table(plan.model_copy(update={"capacity": capacity}), 120), 120)
    assert "1 request fits (full pool), 120 with --optimize" in text
    assert "1 request of the full context at once" in text


def test_a_load_that_does_not_fit_in_words() -> None:
    plan = make(tuned=True)
    assert plan.capacity is not None
    none = tuple(split.model_copy(update={"requests": 0}) for split in plan.capacity.splits)
    capacity = plan.capacity.model_copy(update={"splits": none})
    text = plain(plan_table(plan.model_copy(update={"capacity": capacity}), 120), 120)
    assert "no requests fit (sliding pool), none with the default split" in text


def test_markup_in_values_is_text() -> None:
    plan = make(model_path="/data/[bold]x[/bold]", local=True)
    assert "[bold]x[/bold]" in plain(plan_table(plan, 80), 80).split("\n\n")[2]


@pytest.mark.parametrize("width", WIDTHS)
def test_explain_names_rule_source_status_and_origin(width: int) -> None:
    plan = make(host="0.0.0.0", extra=("--enable-metrics",))
    text = squeezed(plain(explain_table(plan), width))
    for item in plan.decisions:
        assert squeezed(item.reason) in text
        facts = f"rule {item.rule}, source {item.source}, {item.status}, origin {item.origin}"
        assert squeezed(facts) in text
    assert squeezed("origin flag --host") in text
    assert squeezed("--enable-metrics Given by you after --") in text


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", INVENTORIES)
def test_inventory_fits_and_names_every_device(name: str, width: int) -> None:
    inventory = INVENTORIES[name]
    text = plain(inventory_table(inventory, width), width)
    assert max(len(line) for line in text.splitlines()) <= width
    for device in inventory.devices:
        assert device.name in text
        assert device.uuid is None or device.uuid in text
        for slice_ in device.slices:
            assert slice_.uuid in text


def test_inventory_slices_are_indented_under_their_card() -> None:
    lines = plain(inventory_table(NVIDIA, 120), 120).splitlines()
    card = next(i for i, line in enumerate(lines) if "GPU-8f2b7c1e-3333" in line)
    assert lines[card + 1].index("MIG 3g.40gb") == lines[card].index("GPU-") + 2
    assert "########## 39.1 of 39.4 GiB" in lines[card + 1]


def test_inventory_tells_state_links_processes_host_and_problems() -> None:
    text = plain(inventory_table(NVIDIA, 80), 80)
    assert "Hardware (source: nvml)" in text
    assert "lost: fell off the bus (XID 79)" in text
    assert "nvlink x18: 0-1, 0-2" in text
    assert "pcie: 1-2" in text
    assert "python3 (pid 4711) holds 58.6 GiB" in text
    assert "process (pid 4712) holds unknown memory" in text
    assert "x86_64 (uname)" in text
    assert "sglang 0.5.16, torch 2.11.0" in text
    assert "Problem: GPU 3 fell off the bus" in text
    assert "not readable" in text
    assert re.search(r"19\.5 of 79\.6 GiB +hidden", text)
    assert re.search(r"79\.1 of 79\.6 GiB +ok, MIG", text)


def test_inventory_of_partitions_unified_memory_and_nothing() -> None:
    amd = plain(inventory_table(AMD, 80), 80)
    assert "MI300X, gfx942, SPX NPS1" in amd
    assert "xgmi: all GPUs" in amd
    unified = plain(inventory_table(UNIFIED, 80), 80)
    assert "unified memory" in unified
    assert "of 119.7 GiB" in unified
    assert "No GPU found." in plain(inventory_table(INVENTORIES["empty"], 80), 80)
