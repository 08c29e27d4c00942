from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemma4ctl.errors import NoPlanError, UsageError
from gemma4ctl.hardware import select
from gemma4ctl.hardware.identify import identify
from gemma4ctl.hardware.inventory import Device, Health, Inventory, Link, Slice, Unit
from gemma4ctl.hardware.select import Selection, choose
from gemma4ctl.hardware.simulate import simulate
from tests.effort import calls

from .profiles import PROFILES

TOTAL = 80_000


def gpu(index: int, used: int = 0, **fields: Any) -> Device:
    return Device.model_validate(
        {
            "index": index,
            "vendor": "nvidia",
            "name": "NVIDIA H100 80GB HBM3",
            "platform": "H100",
            "uuid": f"GPU-{index:02d}{index:02d}aaaa",
            "memory_total_mib": TOTAL,
            "memory_free_mib": TOTAL - used,
            **fields,
        }
    )


def host(*devices: Device, links: list[tuple[int, int]] | None = None, **fields: Any) -> Inventory:
    pairs = combinations([d.index for d in devices], 2) if links is None else links
    joined = tuple(Link(a=a, b=b, kind="nvlink", count=18) for a, b in pairs)
    return Inventory(devices=devices, links=joined, **fields)


def chosen(selection: Selection) -> list[int]:
    return [unit.index for unit in selection.units]


DEGRADED = Health(status="degraded", reasons=("1 uncorrected ECC error(s)",))
LOST = Health(status="lost", reasons=("GPU is lost",))


def test_the_first_of_equals() -> None:
    selection = choose(host(gpu(0), gpu(1), gpu(2)), 2)
    assert chosen(selection) == [0, 1]
    assert selection.reason == (
        "2 GPUs (index 0, 1) of 3: healthy, at least 80000 MiB free on each, "
        "all joined by direct links"
    )
    assert selection.rejected == ()


def test_the_emptiest() -> None:
    selection = choose(host(gpu(0, 30_000), gpu(1, 500), gpu(2, 10_000)), 1)
    assert chosen(selection) == [1]
    assert selection.reason == "1 GPU (index 1) of 3: healthy, 79500 MiB free"


def test_less_than_a_gib_does_not_count() -> None:
    assert chosen(choose(host(gpu(0, 900), gpu(1, 0)), 1)) == [0]


def test_the_fullest_member_counts_first() -> None:
    inventory = host(gpu(0, 20_000), gpu(1, 20_000), gpu(2, 0), gpu(3, 30_000))
    assert chosen(choose(inventory, 2)) == [0, 2]


def test_healthy_before_empty() -> None:
    selection = choose(host(gpu(0, health=DEGRADED), gpu(1, 20_000)), 1)
    assert chosen(selection) == [1]


def test_degraded_when_there_is_no_other_and_said_so() -> None:
    selection = choose(host(gpu(0, health=DEGRADED), gpu(1)), 2)
    assert chosen(selection) == [0, 1]
    assert "degraded: 0 (no healthy set is large enough)" in selection.reason
    assert selection.reason.startswith("2 GPUs (index 0, 1), all there is")


def test_unknown_health_before_degraded() -> None:
    unknown = Health(status="unknown")
    selection = choose(host(gpu(0, health=DEGRADED), gpu(1, health=unknown)), 1)
    assert chosen(selection) == [1] and "health unknown" in selection.reason


def test_the_best_linked() -> None:
    inventory = host(*(gpu(n) for n in range(4)), links=[(0, 3), (1, 2)])
    assert chosen(choose(inventory, 2)) == [0, 3]
    assert "2 of 3 pairs without a known direct link" in choose(inventory, 3).reason
    no_links = host(gpu(0), gpu(1), links=[])
    assert "no direct links known" in choose(no_links, 2).reason


def test_more_links_win() -> None:
    inventory = host(gpu(0), gpu(1), gpu(2), links=[]).model_copy(
        update={
            "links": (
                Link(a=0, b=1, kind="nvlink", count=2),
                Link(a=1, b=2, kind="nvlink", count=4),
                Link(a=0, b=2, kind="pcie"),
            )
        }
    )
    assert chosen(choose(inventory, 2)) == [1, 2]


def test_lost_and_unreadable_are_never_chosen() -> None:
    unreadable = Health(status="unreadable", reasons=())
    inventory = host(gpu(0, health=LOST), gpu(1, health=unreadable), gpu(2, 70_000))
    selection = choose(inventory, 1)
    assert chosen(selection) == [2]
    assert selection.rejected == (
        ("GPU-0000aaaa", "lost: GPU is lost"),
        ("GPU-0101aaaa", "unreadable: no reason given"),
    )


def test_one_platform() -> None:
    other = {"platform": "H200", "name": "NVIDIA H200"}
    inventory = host(gpu(0), gpu(1, **other), gpu(2, 50_000), gpu(3, 5_000, **other))
    assert chosen(choose(inventory, 2)) == [1, 3]
    with pytest.raises(NoPlanError, match="need:  3 GPUs of one platform"):
        choose(inventory, 3)


def test_a_gpu_without_a_row_comes_last() -> None:
    inventory = host(gpu(0, platform=None, name="Tesla T4"), gpu(1, 40_000))
    assert chosen(choose(inventory, 1)) == [1]


def test_the_larger_of_idle_platforms() -> None:
    small = gpu(0, platform="L40S", memory_total_mib=46_068, memory_free_mib=46_068)
    assert chosen(choose(host(small, gpu(1)), 1)) == [1]


def test_a_mig_slice_runs_alone(detected: Callable[..., Inventory]) -> None:
    inventory = identify(detected("h100-mig"), PROFILES)
    assert chosen(choose(inventory, 2)) == [1, 2]
    with pytest.raises(NoPlanError) as caught:
        choose(inventory, 3)
    assert "MIG slice cannot join" in str(caught.value) and "use 2 GPUs" in str(caught.value)
    selection = choose(inventory, 1, ids=["MIG-6674"])
    assert selection.units[0].kind == "mig"
    assert selection.reason == "1 MIG slice (of GPU 0) of those named: healthy, 20080 MiB free"


def test_partitions_group_only_with_equals(detected: Callable[..., Inventory]) -> None:
    inventory = identify(detected("mi300x-cpx-nps4"), PROFILES)
    selection = choose(inventory, 8, need_free_mib=20_000)
    assert chosen(selection) == list(range(8))
    assert "8 partitions" in selection.reason and "free memory unknown" in selection.reason
    assert {unit.id for unit in selection.units} == {str(n) for n in range(8)}


def test_free_memory_that_is_needed() -> None:
    inventory = host(
        gpu(0, 30_000),
        gpu(1),
        gpu(2, memory_free_mib=None),
        gpu(3, memory_free_mib=None, memory_total_mib=40_000),
        gpu(4, memory_free_mib=None, memory_total_mib=None),
    )
    selection = choose(inventory, 1, need_free_mib=60_000)
    assert chosen(selection) == [1]
    assert dict(selection.rejected) == {
        "GPU-0000aaaa": "50000 MiB free, 60000 needed",
        "GPU-0303aaaa": "40000 MiB in total, 60000 needed",
        "GPU-0404aaaa": "unknown MiB in total, 60000 needed",
    }
    assert chosen(choose(inventory, 2, need_free_mib=60_000)) == [1, 2]
    with pytest.raises(NoPlanError) as caught:
        choose(inventory, 3, need_free_mib=60_000)
    assert "3 GPUs of one platform with 60000 MiB free each" in str(caught.value)
    assert any("end the processes" in remedy for remedy in caught.value.remedies)


def test_unknown_memory_comes_last() -> None:
    inventory = host(
        gpu(0, memory_free_mib=None, memory_total_mib=None),
        gpu(1, memory_free_mib=None),
        gpu(2, 70_000),
    )
    assert chosen(choose(inventory, 1)) == [2]
    assert chosen(choose(host(*inventory.devices[:2]), 1)) == [1]


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (["2", "0"], [2, 0]),
        (["GPU-0101aaaa"], [1]),
        (["gpu-0202", " 1 "], [2, 1]),
    ],
)
def test_named_units_keep_their_order(ids: list[str], expected: list[int]) -> None:
    selection = choose(host(gpu(0), gpu(1), gpu(2)), len(ids), ids=ids)
    assert chosen(selection) == expected
    assert "of those named" in selection.reason


def test_the_best_of_more_named_than_needed() -> None:
    inventory = host(gpu(0), gpu(1, 20_000), gpu(2))
    assert chosen(choose(inventory, 1, ids=["1", "2"])) == [2]


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        (["7"], "is not on this host"),
        (["GPU-"], "is not on this host"),
        (["GPU-0"], "names more than one"),
        (["0", "GPU-0000aaaa"], "is named twice"),
        ([""], "is not on this host"),
    ],
)
def test_names_that_name_nothing(ids: list[str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        choose(host(gpu(0), gpu(1)), len(ids), ids=ids)


def test_a_card_in_mig_mode_cannot_be_named_by_index(detected: Callable[..., Inventory]) -> None:
    with pytest.raises(UsageError, match="names more than one: MIG-6674"):
        choose(detected("h100-mig"), 1, ids=["0"])


def test_hidden_units_are_said_to_be_hidden() -> None:
    inventory = host(gpu(0, visible=False), gpu(1), visibility={"CUDA_VISIBLE_DEVICES": "1"})
    for name in ("0", "GPU-0000AAAA"):
        with pytest.raises(UsageError, match="is hidden by CUDA_VISIBLE_DEVICES"):
            choose(inventory, 1, ids=[name])
    with pytest.raises(NoPlanError) as caught:
        choose(inventory, 2)
    assert "1 hidden by CUDA_VISIBLE_DEVICES" in str(caught.value)
    assert "unset the variable" in str(caught.value)


def test_named_units_that_cannot_be_used() -> None:
    with pytest.raises(NoPlanError, match="lost: GPU is lost"):
        choose(host(gpu(0, health=LOST), gpu(1)), 1, ids=["0"])


def test_no_gpu_at_all() -> None:
    with pytest.raises(NoPlanError) as caught:
        choose(Inventory(), 1)
    assert caught.value.exit_code == 3
    assert caught.value.needed == "1 GPU" and caught.value.found == "0 usable"
    assert caught.value.remedies == ("plan for other hardware: --hardware NAME --gpus N",)


def test_what_detection_complained_of_is_said() -> None:
    with pytest.raises(NoPlanError, match="no driver answers"):
        choose(Inventory(problems=("1 NVIDIA GPU but no driver answers",)), 1)


def test_no_usable_gpu_has_a_remedy() -> None:
    with pytest.raises(NoPlanError, match="gemma4ctl detect shows"):
        choose(host(gpu(0, health=LOST)), 1)


@pytest.mark.parametrize("count", [0, -1])
def test_a_count_must_be_positive(count: int) -> None:
    with pytest.raises(UsageError, match="cannot choose"):
        choose(host(gpu(0)), count)


def test_beyond_eight_a_linked_set_is_found_too() -> None:
    quads = [pair for start in (0, 4, 8, 12) for pair in combinations(range(start, start + 4), 2)]
    devices = [gpu(n, 5_000 if n in (1, 6) else 0) for n in range(16)]
    assert chosen(choose(host(*devices, links=quads), 4)) == [8, 9, 10, 11]


def test_the_first_of_sixty_four_equals() -> None:
    assert chosen(choose(simulate("H200", 64, PROFILES), 16)) == list(range(16))


def test_beyond_eight_the_empty_and_better_linked_are_kept_together() -> None:
    strong = [Link(a=a, b=b, kind="xgmi", count=4) for a, b in combinations(range(5, 9), 2)]
    weak = [Link(a=a, b=b, kind="xgmi", count=1) for a, b in combinations(range(5), 2)]
    inventory = host(*(gpu(n, 3_000 if n == 6 else 0) for n in range(12)), links=[])
    linked = inventory.model_copy(update={"links": (*weak, *strong)})
    assert chosen(choose(linked, 3)) == [5, 7, 8]
    assert chosen(choose(linked, 4)) == [0, 1, 2, 3]


def test_a_simulated_node() -> None:
    selection = choose(simulate("H200", 8, PROFILES), 2)
    assert [unit.id for unit in selection.units] == ["0", "1"]


devices = st.lists(
    st.tuples(
        st.integers(0, TOTAL),
        st.sampled_from([Health(), DEGRADED, LOST]),
        st.sampled_from(["H100", "H200"]),
        st.booleans(),
    ),
    max_size=10,
)


@given(devices, st.integers(1, 4), st.one_of(st.none(), st.integers(0, TOTAL)))
def test_a_choice_is_always_lawful(
    specs: list[tuple[int, Health, str, bool]], count: int, need: int | None
) -> None:
    inventory = host(
        *(
            gpu(
                n,
                used,
                health=health,
                platform=platform,
                mig_enabled=mig,
                slices=(Slice(uuid=f"MIG-{n}", memory_free_mib=5, memory_total_mib=9),)
                if mig
                else (),
            )
            for n, (used, health, platform, mig) in enumerate(specs)
        )
    )
    try:
        selection = choose(inventory, count, need_free_mib=need)
    except NoPlanError as error:
        assert error.needed and error.found and error.remedies
        return
    assert len({unit.id for unit in selection.units}) == count
    assert len({unit.platform for unit in selection.units}) == 1
    assert all(unit.health.status != "lost" for unit in selection.units)
    assert count == 1 or all(unit.kind == "gpu" for unit in selection.units)
    assert need is None or all((unit.memory_free_mib or 0) >= need for unit in selection.units)
    assert not {key for key, _ in selection.rejected} & {unit.id for unit in selection.units}


def grown_plainly(seed: Unit, group: list[Unit], count: int, links: select.Links) -> list[Unit]:
    """A set grown from ``seed``, each time by the unit with the best key: what is compared with."""
    grown = [seed]

    def key(unit: Unit) -> tuple[object, ...]:
        joined = [links.get((member.index, unit.index), 0) for member in grown]
        health = select._health(unit)
        return (
            unit.platform is None,
            max(health, *(select._health(member) for member in grown)),
            health,
            max(select._used(unit), *(select._used(member) for member in grown)),
            select._used(unit),
            joined.count(0),
            -sum(joined),
            -(unit.memory_total_mib or 0),
            unit.index,
        )

    while len(grown) < count:
        grown.append(min((unit for unit in group if unit not in grown), key=key))
    return sorted(grown, key=lambda unit: unit.index)


members = st.lists(
    st.builds(
        dict,
        used=st.sampled_from([0, 0, 0, 500, 3_000, 20_000]),
        memory_total_mib=st.sampled_from([TOTAL, TOTAL, 90_000, None]),
        health=st.sampled_from([Health(), Health(), DEGRADED, Health(status="unknown")]),
    ),
    min_size=9,
    max_size=12,
)


@given(members, st.data())
def test_beyond_eight_the_best_is_that_of_sets_grown_plainly(
    specs: list[dict[str, Any]], data: st.DataObject
) -> None:
    count = data.draw(st.integers(1, len(specs)))
    pairs = list(combinations(range(len(specs)), 2))
    counts = st.lists(
        st.sampled_from([0, 0, None, 1, 2, 18]), min_size=len(pairs), max_size=len(pairs)
    )
    drawn = zip(pairs, data.draw(counts), strict=True)
    joined = [Link(a=a, b=b, kind="xgmi", count=number) for (a, b), number in drawn if number != 0]
    inventory = host(*(gpu(n, **spec) for n, spec in enumerate(specs)), links=[])
    group = list(inventory.units)
    links = select._link_counts(inventory.model_copy(update={"links": tuple(joined)}))
    plain = [grown_plainly(seed, group, count, links) for seed in group]
    best = min(plain, key=select._ranking(links))
    assert select._best_of(group, count, links) == best


def test_a_choice_of_sixty_four_linked_partitions_takes_little() -> None:
    devices = [gpu(n, parent=f"GPU-card{n // 8}") for n in range(64)]
    inventory = host(*devices)
    assert calls(lambda: choose(inventory, 48)) < 100_000
