"""The rules of PyTorch's caching allocator, and what must hold for any sequence of tensors."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gemma4ctl.capacity.allocator import MIB, Allocator, rounded

SIZES = st.integers(1, 64 * MIB)


def reserved(*sizes: int) -> int:
    memory = Allocator()
    for size in sizes:
        memory.take(size)
    return memory.reserved


def test_small_tensors_share_segments_of_2_mib() -> None:
    assert reserved() == 0
    assert reserved(1) == reserved(MIB) == reserved(MIB, MIB) == 2 * MIB
    assert reserved(MIB, MIB, 1) == 4 * MIB


def test_medium_tensors_share_segments_of_20_mib() -> None:
    assert reserved(MIB + 1) == reserved(9 * MIB, 9 * MIB) == 20 * MIB
    assert reserved(9 * MIB, 9 * MIB, 9 * MIB) == 40 * MIB


def test_large_tensors_have_segments_of_their_own() -> None:
    assert reserved(10 * MIB) == 10 * MIB
    assert reserved(11 * MIB, 11 * MIB) == 24 * MIB


def test_the_smallest_block_that_is_large_enough_is_taken() -> None:
    memory = Allocator()
    blocks = [memory.take(size * MIB) for size in (40, 12, 30)]
    for block in blocks:
        memory.release(block)
    assert memory.take(11 * MIB) == 12 * MIB  # the rest of 1 MiB stays with the tensor
    assert memory.take(28 * MIB) == 28 * MIB  # of 30 MiB, whose rest of 2 MiB stays usable
    assert memory.take(2 * MIB) == 2 * MIB
    assert memory.reserved == 82 * MIB


def test_small_blocks_are_not_found_again() -> None:
    memory = Allocator()
    memory.release(memory.take(MIB))
    memory.take(2 * MIB)
    assert memory.reserved == 22 * MIB


def test_sizes_are_rounded_to_512() -> None:
    assert Allocator().take(1) == 512
    assert Allocator().take(MIB + 1) == MIB + 512


@given(st.integers(0, 10**12), st.integers(1, 10**7))
def test_rounded(size: int, step: int) -> None:
    found = rounded(size, step)
    assert found % step == 0 and size <= found < size + step


@given(st.lists(st.tuples(SIZES, st.booleans()), max_size=40))
def test_holds_everything_and_never_shrinks(steps: list[tuple[int, bool]]) -> None:
    memory, held, before = Allocator(), 0, 0
    for size, free in steps:
        block = memory.take(size)
        assert block >= size
        if free:
            memory.release(block)
        else:
            held += size
        assert memory.reserved >= max(held, before)
        before = memory.reserved


@given(st.lists(SIZES, max_size=40))
def test_wastes_less_than_a_segment_a_tensor(sizes: list[int]) -> None:
    assert sum(sizes) <= reserved(*sizes) <= sum(sizes) + 20 * MIB * len(sizes)
