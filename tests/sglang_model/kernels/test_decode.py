"""Attention of decode batches against PyTorch: splits, both ways to merge, counters, slots."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from statistics import geometric_mean
from types import SimpleNamespace

import pytest

pytest.importorskip("torch", reason="needs PyTorch")
pytest.importorskip("triton", reason="needs Triton")

import torch

from gemma4ctl.profiles.load import load
from gemma4ctl.profiles.table import Variant
from gemma4ctl.sglang_model.kernels import decode, reference

from .tensors import DEVICE, random

ROWS = 96  # of the pools
ON_GPU = pytest.mark.skipif(DEVICE == "cpu", reason="takes long in the interpreter")
# Weights and results are rounded to 8 bits (11 for fp16), each by at most half a unit.
BOUND = {torch.bfloat16: 2**-8, torch.float16: 2**-11}


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU of 12 multiprocessors: fewer programs to interpret."""
    gpu_of(12, monkeypatch)


def gpu_of(multiprocessors: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "_multiprocessors", lambda device: multiprocessors)
    decode.arrivals.cache_clear()


class Batch:
    """Requests of some lengths, with slots all over pools of other values in every row."""

    def __init__(
        self,
        lengths: list[int],
        heads: int = 8,
        kv_heads: int = 1,
        head_dim: int = 256,
        dtype: torch.dtype = torch.bfloat16,
    ) -> None:
        fused = random(len(lengths), heads * head_dim + 64, dtype=dtype, scale=head_dim**-0.5)
        self.q = fused[:, 64:].unflatten(1, (heads, head_dim))
        self.pools = [
            random(ROWS, kv_heads, head_dim, dtype=dtype, seed=seed, scale=2) for seed in (8, 9)
        ]
        generator = torch.Generator().manual_seed(sum(lengths))
        self.slots = torch.randint(ROWS, (sum(lengths) + 7,), generator=generator).to(DEVICE)
        self.starts = torch.tensor([0, *lengths]).cumsum(0).int().to(DEVICE)

    def run(
        self, of: object = decode, longest: int | None = None, **changed: torch.Tensor
    ) -> torch.Tensor:
        given = {"starts": self.starts, "slots": self.slots} | changed
        made: torch.Tensor = of.attend(  # type: ignore[attr-defined]
            self.q, *self.pools, given["starts"], given["slots"], 1.0, longest
        )
        return made


def off(got: torch.Tensor, expected: torch.Tensor) -> float:
    """The worst request's difference as a share of its result."""
    assert got.shape == expected.shape and got.dtype == expected.dtype
    difference = (got.float() - expected.float()).flatten(1).norm(dim=1)
    return float((difference / expected.float().flatten(1).norm(dim=1)).max())


def layers() -> Iterator[tuple[int, int, int, int | None]]:
    """Query heads, KV heads, head dimension and window of the variants' layers.

    With more than two KV heads it is the share of a rank under tensor parallelism.
    """
    for v in load().variants.values():
        for kind in ("sliding", "full"):
            kv_heads = getattr(v.kv_heads, kind)
            ranks = max(1, kv_heads // 2)
            window = v.sliding_window - 1 if kind == "sliding" else None
            head_dim = getattr(v.head_dim, kind)
            yield v.attention_heads // ranks, kv_heads // ranks, head_dim, window


@pytest.mark.parametrize("multiprocessors", [12, pytest.param(132, marks=ON_GPU)])
@pytest.mark.parametrize(
    ("heads", "kv_heads", "head_dim", "window"), sorted(set(layers()), key=str)
)
def test_layers_of_the_variants(
    heads: int,
    kv_heads: int,
    head_dim: int,
    window: int | None,
    multiprocessors: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gpu_of(multiprocessors, monkeypatch)
    batch = Batch([1, window or 129], heads, kv_heads, head_dim)
    assert off(batch.run(longest=window), batch.run(reference)) < BOUND[torch.bfloat16]


@pytest.mark.parametrize("dtype", BOUND)
@pytest.mark.parametrize("group", [1, 2, 3, 4, 8, 16])
def test_groups_and_types(group: int, dtype: torch.dtype) -> None:
    batch = Batch([3, 130], 2 * group, 2, 64, dtype)
    assert off(batch.run(), batch.run(reference)) < BOUND[dtype]


@pytest.mark.parametrize(
    ("longest", "splits", "inside", "head_dim"),
    [(300, 2, True, 512), (300, 4, True, 512), (None, 4, True, 512), (None, 20, False, 64)],
)
def test_lengths_around_tiles_and_splits(
    longest: int | None, splits: int, inside: bool, head_dim: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Merged by nobody, by the last split to arrive, and by the second launch."""
    lengths = [1, 2, 63, 64, 65, 127, 129, 193, 300]
    gpu_of(splits * len(lengths), monkeypatch)
    planned = decode.plan(len(lengths), 4, head_dim, longest, splits * len(lengths))
    assert (planned.splits, planned.inside > 0) == (splits, inside)
    batch = Batch(lengths, 4, 1, head_dim)
    assert off(batch.run(longest=longest), batch.run(reference)) < BOUND[torch.bfloat16]


def test_a_long_request_among_short_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only that one is split, however many there are."""
    gpu_of(2, monkeypatch)
    monkeypatch.setattr(decode, "MANY", decode.Many(decode.Tile(1 << 12, 4), 4, 512))
    assert decode.plan(3, 1, 64, None, 2)[1:3] == (4, 512)
    batch = Batch([512, 5, 1100], 1, 1, 64)
    assert off(batch.run(), batch.run(reference)) < BOUND[torch.bfloat16]


@ON_GPU
@pytest.mark.parametrize("multiprocessors", [2, 132])
def test_long_contexts(multiprocessors: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds of tiles a split, and splits of some."""
    gpu_of(multiprocessors, monkeypatch)
    batch = Batch([32_768, 7, 8_000], 8, 1, 512)
    assert off(batch.run(), batch.run(reference)) < BOUND[torch.bfloat16]


def test_a_request_without_tokens_gets_zeros() -> None:
    batch = Batch([5, 0, 70], 2, 1, 64)
    made = batch.run()
    assert not made[1].any()
    kept = torch.tensor([0, 2], device=DEVICE)
    assert off(made[kept], batch.run(reference)[kept]) < BOUND[torch.bfloat16]


def test_no_requests() -> None:
    assert Batch([]).run().shape == (0, 8, 256)


def test_counters_are_zero_after_every_call() -> None:
    batch = Batch([200, 1, 130], 4, 2, 64)
    assert decode.plan(6, 2, 64, 200, 12)[1::2] == (2, 16)
    first = batch.run(longest=200)
    for _ in range(3):
        assert not decode.arrivals(batch.q.device).any()
        assert torch.equal(batch.run(longest=200), first)


def test_a_counter_that_is_not_zero_is_seen() -> None:
    """Control of the test above: no split takes itself for the last to arrive, so none merges.

    A counter that is too high would have one merge too early, on a GPU perhaps after all others
    have stored nevertheless.
    """
    batch = Batch([200], 4, 1, 64)
    arrived = decode.arrivals(batch.q.device)
    assert not batch.run().isnan().any()
    arrived.fill_(-1)
    assert batch.run().isnan().all()
    assert arrived[0] == 3  # of four splits


def test_scores_are_scaled() -> None:
    batch = Batch([70], 4, 1, 64)
    arguments = (*batch.pools, batch.starts, batch.slots)
    halved = decode.attend(batch.q, *arguments, 0.5, None)
    assert off(halved, reference.attend(batch.q, *arguments, 0.5, None)) < BOUND[torch.bfloat16]
    assert off(halved, batch.run(reference)) > 0.1


def test_int32_slots_int64_starts_and_longer_buffers() -> None:
    """CUDA graphs keep buffers for the longest batch and context."""
    batch = Batch([65, 7], 4, 1, 64)
    longer = torch.cat((batch.starts.long(), torch.full((3,), 10**6, device=DEVICE)))
    changed = batch.run(starts=longer, slots=batch.slots.int())
    assert torch.equal(changed, batch.run())


@pytest.mark.parametrize("splits", [4, pytest.param(20, marks=pytest.mark.long)])
def test_a_slot_off_by_one_or_a_split_left_out_is_seen(
    splits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Controls: the comparison fails where one of 250 tokens or the last split is wrong."""
    gpu_of(splits, monkeypatch)
    batch = Batch([250], 8, 1, 256)
    batch.q = batch.q * 0.1  # every token counts
    expected = batch.run(reference)
    assert off(batch.run(), expected) < BOUND[torch.bfloat16]
    assert off(batch.run(slots=(batch.slots + 1) % ROWS), expected) > 0.1
    for token in (0, 100, 249):  # the newest is loaded apart from the others
        wrong = batch.slots.clone()
        wrong[token] = (wrong[token] + 1) % ROWS
        assert off(batch.run(slots=wrong), expected) > 0.03
    shorter = batch.starts.clone()
    shorter[1] -= 250 % decode.LEAST
    assert off(batch.run(starts=shorter), expected) > 0.1


def test_small_batches_fill_the_gpu_and_large_ones_have_small_shares() -> None:
    for pairs in range(1, 67):
        assert 88 <= pairs * decode.plan(pairs, 8, 256, 10**6, 132).splits <= 132
    assert decode.plan(1, 8, 256, 511, 132).splits == 8  # 64 tokens each
    assert decode.plan(1, 8, 256, 1, 132).splits == 1
    many = decode.Many(decode.Tile(1 << 12, 4), 4, 128)
    for pairs in (67, 100, 1000):
        assert decode.plan(pairs, 8, 256, None, 132, many)[:3] == many
        assert decode.plan(pairs, 8, 256, 300, 132, many)[:3] == (many.tile, 3, 128)
        assert decode.plan(pairs, 8, 256, 100, 132, many).splits == 1
        for group in (1, 4, 8):
            assert decode.plan(pairs, group, 256, None, 132)[:3] == decode.MANY
        for group in (2, 8):
            wide = decode.plan(pairs, group, 512, None, 132)
            assert wide[:3] == decode.MANY_WIDE and wide.inside >= wide.splits
        wide = decode.plan(pairs, 16, 512, None, 132)
        assert wide[:3] == decode.MANY_WIDE_GROUPS and wide.inside >= wide.splits
        assert decode.plan(pairs, 2, 256, None, 132)[:3] == decode.MANY_PAIRED
        assert decode.plan(pairs, 2, 128, None, 132)[:3] == decode.MANY
    for group, head_dim in ((8, 512), (2, 256)):
        assert decode.plan(66, group, head_dim, None, 132).tile == decode.TILE


def test_more_pairs_than_are_counted_are_not_split(monkeypatch: pytest.MonkeyPatch) -> None:
    """They run the kernel that the check at start has compared."""
    for head_dim in (256, 512):
        fewer, more = (decode.plan(decode.PAIRS + n, 2, head_dim, None, 132) for n in (0, 1))
        assert more == fewer._replace(splits=1) and more.inside
    monkeypatch.setattr(decode, "PAIRS", 3)
    gpu_of(2, monkeypatch)
    batch = Batch([300, 1, 130, 64], 4, 1, 64)
    assert off(batch.run(), batch.run(reference)) < BOUND[torch.bfloat16]


def way_of(name: str) -> decode.Many:
    """The way that a record calls so."""
    *tile, splits, least = map(int, name.removeprefix("stream ").split())
    kind = decode.Stream if name.startswith("stream ") else decode.Tile
    return decode.Many(kind(*tile), splits, least)


@pytest.mark.parametrize(
    ("record", "kind", "name"),
    [
        ("decode", "sliding", "MANY"),
        ("decode", "full", "MANY_WIDE"),
        ("decode", "full", "MANY_WIDE_GROUPS"),
        ("decode-paired", "sliding", "MANY_PAIRED"),
    ],
)
def test_crowds_are_split_as_was_the_fastest(record: str, kind: str, name: str) -> None:
    """By the geometric mean over the layers that it is for; of ways with four splits or more.

    Ways are the same that give the same shares of a window.
    """
    results = Path(__file__).parents[3] / "benchmarks" / "results" / "kernels"
    rows = json.loads((results / f"{record}-H200.json").read_text())["rows"]
    many: decode.Many = getattr(decode, name)
    found, windows = [], []
    for title, row in rows.items():
        v = load().variants[title.split()[0]]
        group = v.attention_heads // getattr(v.kv_heads, kind)
        if f" {kind} " in title and decode._many(group, getattr(v.head_dim, kind)) == many:
            found.append(row["tried"])
            windows.append(v.sliding_window - 1 if kind == "sliding" else None)
    assert found
    ways = [way for way in set.intersection(*map(set, found)) if way_of(way).splits >= 4]
    best = way_of(min(ways, key=lambda way: geometric_mean(tried[way] for tried in found)))
    for window in windows:
        shares = [decode.plan(1000, 2, 256, window, 132, way) for way in (best, many)]
        assert shares[0] == shares[1]


@pytest.mark.parametrize("kv_heads", [1, 2, 4, 8, 16])
def test_the_fewest_requests_of_a_crowd(kv_heads: int) -> None:
    """What the check at start has, so that what they run was compared."""
    gpu = torch.device(DEVICE)
    requests = decode.crowd(kv_heads, gpu)
    assert decode.crowded(requests * kv_heads, 12)
    assert not decode.crowded((requests - 1) * kv_heads, 12)


def test_who_merges() -> None:
    assert decode.plan(1, 8, 256, 511, 132)[1:] == (8, 64, 16)  # E2B sliding: 64 KiB
    assert decode.plan(8, 2, 256, 1023, 132)[1:] == (16, 64, 16)  # 26B-A4B sliding
    assert decode.plan(1, 8, 512, None, 132)[1:] == (128, 64, 0)  # E2B full: 2 MiB
    assert decode.plan(16, 8, 512, None, 132)[1:] == (8, 64, 8)
    assert decode.plan(decode.PAIRS, 8, 512, None, 132).inside


def launches_of(monkeypatch: pytest.MonkeyPatch) -> list[int | None]:
    """The stages of every launch from now on, None of those by streams."""
    found: list[int | None] = []
    kernels, streams = decode._kernels()

    def recorded(kernel: object) -> object:
        class Recorded:
            def __getitem__(self, grid: object) -> object:
                def launch(*arguments: object, **options: int) -> None:
                    found.append(options.get("STAGES"))
                    kernel[grid](*arguments, **options)  # type: ignore[index]

                return launch

        return Recorded()

    split = SimpleNamespace(split_attention=recorded(kernels.split_attention), merge=kernels.merge)
    streamed = SimpleNamespace(stream_attention=recorded(streams.stream_attention))
    monkeypatch.setattr(decode, "_kernels", lambda: (split, streamed))
    return found


@pytest.mark.parametrize("splits", [1, 3, 20])
@pytest.mark.parametrize(
    ("group", "head_dim", "tile", "dtype"),
    [
        (2, 256, decode.Tile(1 << 12, 4), torch.bfloat16),
        (8, 512, decode.Tile(1 << 12, 4, 5), torch.bfloat16),
        (8, 512, decode.Tile(1 << 13, 4, 2), torch.bfloat16),
        (2, 256, decode.Stream(4, 4), torch.bfloat16),
        (2, 256, decode.Stream(4, 2), torch.float16),
        (2, 64, decode.Stream(2, 8), torch.bfloat16),
    ],
)
def test_crowds_of_every_length(
    group: int,
    head_dim: int,
    tile: decode.Tile | decode.Stream,
    dtype: torch.dtype,
    splits: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whole, in shares with a last one of one token, in more tokens than shares have, and none."""
    gpu_of(2, monkeypatch)
    many = decode.Many(tile, splits, 32)
    batch = Batch([0, 1, 31, 32, 33, 65, 96, 97, 150], 2 * group, 2, head_dim, dtype)
    arguments = (*batch.pools, batch.starts, batch.slots, 0.5, None)
    launched = launches_of(monkeypatch)
    made = decode.attend(batch.q, *arguments, many)
    assert launched == [getattr(tile, "stages", None)]
    assert not made[0].any()
    assert off(made[1:], reference.attend(batch.q, *arguments)[1:]) < BOUND[dtype]
    assert not decode.arrivals(batch.q.device).any()


@pytest.mark.parametrize(("group", "stages"), [(2, None), (4, 1), (1, 1)])
def test_streams_are_for_crowds_where_two_query_heads_share_kv(
    group: int, stages: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu_of(5, monkeypatch)
    launched = launches_of(monkeypatch)
    for requests, expected in ((1, decode.TILE.stages), (2, stages)):
        batch = Batch([100, 7][:requests], 2 * group, 2, 256)
        assert off(batch.run(), batch.run(reference)) < BOUND[torch.bfloat16]
        assert launched.pop() == expected


@pytest.mark.skipif(DEVICE != "cpu", reason="only the interpreter's wait can be replaced")
@pytest.mark.parametrize("written", [True, False])
@pytest.mark.parametrize(
    ("group", "tile"),
    [
        (8, decode.Tile(1 << 12, 4)),
        (8, decode.Tile(1 << 12, 4, 5)),
        (2, decode.Stream(4, 2)),
    ],
)
def test_the_newest_token_is_read_after_the_wait(
    group: int,
    tile: decode.Tile | decode.Stream,
    written: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While programs wait, the launch before writes the newest rows; or does not, the control."""
    gpu_of(2, monkeypatch)
    batch = Batch([1, 16, 17, 50], group, 1, 256)
    batch.slots = torch.randperm(ROWS, generator=torch.Generator().manual_seed(1))
    newest = batch.slots[batch.starts[1:] - 1]
    right = [pool[newest] for pool in batch.pools]
    poison = [torch.full_like(rows, torch.nan) for rows in right]
    expected = batch.run(reference)

    def write(rows: list[torch.Tensor]) -> None:
        for pool, values in zip(batch.pools, rows, strict=True):
            pool[newest] = values

    kernels, streams = decode._kernels()
    for module in (kernels, streams):
        monkeypatch.setattr(module, "begin", lambda pdl: write(poison))
        monkeypatch.setattr(module, "wait", lambda pdl: write(right) if written else None)
    arguments = (*batch.pools, batch.starts, batch.slots, 1.0, None)
    made = decode.attend(batch.q, *arguments, decode.Many(tile, 3, 32))
    assert (off(made, expected) < BOUND[torch.bfloat16]) is written


def launches(v: Variant, requests: int) -> int:
    """Of attention in one step on 132 multiprocessors; stock has two a layer."""
    count = 0
    for kind in ("sliding", "full"):
        kv_heads, head_dim = getattr(v.kv_heads, kind), getattr(v.head_dim, kind)
        longest = v.sliding_window - 1 if kind == "sliding" else None
        group = v.attention_heads // kv_heads
        planned = decode.plan(requests * kv_heads, group, head_dim, longest, 132)
        count += getattr(v.layers, kind) * (1 if planned.inside else 2)
    return count


def test_the_launches_that_the_docs_tell() -> None:
    page = (Path(__file__).parents[3] / "docs" / "kernels.md").read_text()
    for name, v in load().variants.items():
        layers = v.layers.sliding + v.layers.full
        counts = (2 * layers, *(launches(v, requests) for requests in (1, 8, 32, 128)))
        assert f"| {name} | {' | '.join(map(str, counts))} |" in page


@pytest.mark.parametrize(
    ("sizes", "fits"),
    [
        ((8, 1, 256), True),
        ((16, 1, 512), True),
        ((32, 1, 256), False),
        ((6, 4, 256), False),
        ((8, 1, 192), False),
        ((8, 1, 1024), False),
    ],
)
def test_supported(sizes: tuple[int, int, int], fits: bool) -> None:
    assert decode.supported(*sizes) is fits


def test_tensors_the_kernels_would_misread_are_refused() -> None:
    batch = Batch([3, 4], 4, 2, 64)
    q, (k, v), starts, slots = batch.q, batch.pools, batch.starts, batch.slots

    def attend(q: torch.Tensor, k: torch.Tensor, starts: torch.Tensor) -> None:
        decode.attend(q, k, v, starts, slots, 1.0, None)

    with pytest.raises(ValueError, match="bf16 or fp16"):
        attend(q.float(), k, starts)
    with pytest.raises(ValueError, match="pools"):
        attend(q, k.half(), starts)
    with pytest.raises(ValueError, match="query heads a KV head"):
        attend(q[:, :3], k, starts)
    with pytest.raises(ValueError, match="3 contiguous starts"):
        attend(q, k, starts[:2])


@pytest.mark.skipif(DEVICE == "cpu", reason="CUDA graphs: needs a GPU")
@pytest.mark.parametrize("head_dim", [256, 512])
def test_a_graph_replays_for_other_lengths(head_dim: int, monkeypatch: pytest.MonkeyPatch) -> None:
    gpu_of(132, monkeypatch)
    batch, room = Batch([1, 1, 1], head_dim=head_dim), 6000
    starts, slots = batch.starts.clone(), torch.zeros(room, dtype=torch.int64, device=DEVICE)
    longest = 511 if head_dim == 256 else None
    batch.run(longest=longest, starts=starts, slots=slots)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        made = batch.run(longest=longest, starts=starts, slots=slots)
    for lengths in ([1, 511, 64], [65, 2, 500], [1, 1, 1]):
        if longest is None:
            lengths = [10 * length for length in lengths]
        other = Batch(lengths, head_dim=head_dim)
        starts.copy_(other.starts)
        slots[: len(other.slots)] = other.slots
        for _ in range(3):
            graph.replay()
            expected = batch.run(reference, starts=starts, slots=slots)
            assert off(made, expected) < BOUND[torch.bfloat16]


@pytest.mark.skipif(DEVICE == "cpu", reason="pools of 4.3 GB: needs a GPU")
def test_slots_beyond_two_to_the_31_values() -> None:
    """Of pools whose rows take turns."""
    batch = Batch([70, 3], head_dim=512)
    rows = 2**31 // 1024 + ROWS
    expected = batch.run()
    both = torch.zeros(rows, 2, 1, 512, dtype=torch.bfloat16, device=DEVICE)
    both[-ROWS:] = torch.stack(batch.pools, dim=1)
    batch.pools = list(both.unbind(1))
    assert torch.equal(batch.run(slots=batch.slots + rows - ROWS), expected)
