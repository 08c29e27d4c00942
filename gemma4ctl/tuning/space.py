"""The settings that a search may change, each with the values worth trying for a load.

A :class:`Dimension` is one setting. Its values are texts; ``PLAN`` leaves the setting as the plan
has it. A *point* gives a value to every dimension; the plan itself is the point of only ``PLAN``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from gemma4ctl.bench.workload import Workload
from gemma4ctl.capacity import workload as capacity
from gemma4ctl.capacity.pools import DEFAULT_RATIO
from gemma4ctl.flags.table import FlagTable
from gemma4ctl.planning.fraction import TP_OF_LARGE_GRAPHS
from gemma4ctl.planning.memory import memory
from gemma4ctl.planning.rules.attention import USUAL_SPLITS, backend_in_use, occupying_splits
from gemma4ctl.planning.situation import Situation

PLAN = "plan"
Point = Mapping[str, str]

DRAFT = ("speculative_num_steps", "speculative_eagle_topk", "speculative_num_draft_tokens")
DRAFTS = ("3/1/4", "2/1/3", "1/1/2", "7/1/8", "4/1/5")  # steps / top-k / draft tokens
DRAFT_TREES = ("3/2/6",)  # triton only
FRACTION_STEPS = (0.03, 0.05, -0.05)
LARGEST_FRACTION = 0.95
CHUNKS = (16_384, 4_096, 8_192, 2_048)
INTERVALS = (8, 32, 2)
FEWEST_SPLITS, MOST_SPLITS = 4, 256
LARGEST_GRAPH = 512
GRAPH_STEP = 8
ROOM_ENOUGH = 2.0  # times the load: with that much room the pools do not limit it

# The most promising setting first.
ORDER = {
    "output-throughput": ("graphs", "ratio", "draft", "fraction", "chunk", "splits", "interval"),
    "tpot": ("splits", "draft", "graphs", "interval", "chunk", "ratio", "fraction"),
    "ttft": ("chunk", "ratio", "fraction", "interval", "graphs", "draft", "splits"),
}
TITLES = {
    "graphs": "largest CUDA graph batch",
    "ratio": "sliding/full ratio",
    "draft": "draft steps/top-k/tokens",
    "fraction": "memory fraction",
    "chunk": "chunked prefill",
    "splits": "attention KV splits",
    "interval": "scheduler receive interval",
}


class Dimension(NamedTuple):
    """A setting: the SGLang arguments it sets, and its values, ``PLAN`` first, then by promise."""

    name: str
    dests: tuple[str, ...]
    choices: tuple[str, ...]

    def values(self, choice: str) -> dict[str, str]:
        """The arguments that ``choice`` sets, as texts; none for ``PLAN``."""
        if choice == PLAN:
            return {}
        return dict(zip(self.dests, choice.split("/"), strict=True))


def space(s: Situation, load: Workload, metric: str, room: float | None) -> tuple[Dimension, ...]:
    """The dimensions worth searching around the plan of ``s``, the most promising first.

    Settings that the user's own flags fix, that the release does not have, and that cannot matter
    for the load are left out.

    Args:
        s: the situation after all rules ran.
        load: what is to be served.
        metric: a key of ``ORDER``.
        room: how many times the load fits in the KV pools; None: unknown.
    """
    candidates = {
        "graphs": (_graph_dest(s), _graphs(s, load, room)),
        "ratio": ("swa_full_tokens_ratio", _ratios(s, load, room)),
        "draft": ("/".join(DRAFT), _drafts(s)),
        "fraction": ("mem_fraction_static", _fractions(s, room)),
        "chunk": ("chunked_prefill_size", _chunks(s)),
        "splits": ("triton_attention_num_kv_splits", _splits(s, load)),
        "interval": ("scheduler_recv_interval", _intervals(s, load)),
    }
    found = []
    for name in ORDER[metric]:
        dests = tuple(candidates[name][0].split("/"))
        choices = tuple(dict.fromkeys(candidates[name][1]))
        free = all(s.flags.flag_of(dest) and s.given(dest) is None for dest in dests)
        if choices and free:
            found.append(Dimension(name, dests, (PLAN, *choices)))
    return tuple(found)


def lengths(load: Workload) -> capacity.Workload:
    """``load`` as the KV pools see it, all requests of the largest length."""
    tokens = load.input_tokens + load.output_tokens
    return capacity.Workload((capacity.Share(tokens, 1.0, load.output_tokens),), load.concurrency)


def plan_point(dimensions: Sequence[Dimension]) -> dict[str, str]:
    """The point of the plan itself."""
    return {dimension.name: PLAN for dimension in dimensions}


def words(point: Point, dimensions: Sequence[Dimension], flags: FlagTable) -> tuple[str, ...]:
    """The command-line words that ``point`` adds to the plan's."""
    found: list[str] = []
    for dest, value in settings(point, dimensions).items():
        flag = flags.flag_of(dest)
        assert flag is not None  # a dimension has only arguments of the release
        found += [flag.canonical, value]
    return tuple(found)


def settings(point: Point, dimensions: Sequence[Dimension]) -> dict[str, str]:
    """The SGLang arguments that ``point`` sets, by their names."""
    return {
        dest: value
        for dimension in dimensions
        for dest, value in dimension.values(point[dimension.name]).items()
    }


def describe(point: Point) -> str:
    """``point`` for the reader: what differs from the plan."""
    changed = [f"{TITLES[name]} {value}" for name, value in point.items() if value != PLAN]
    return ", ".join(changed) or "the plan"


def moves(dimensions: Sequence[Dimension]) -> Iterator[tuple[str, str]]:
    """Single changes (dimension, value): the first value of each, then the second of each, ..."""
    longest = max((len(dimension.choices) for dimension in dimensions), default=0)
    for place in range(1, longest):
        for dimension in dimensions:
            if place < len(dimension.choices):
                yield dimension.name, dimension.choices[place]


def _graph_dest(s: Situation) -> str:
    """The argument of the largest decode batch with a CUDA graph, which later releases renamed."""
    flag = s.flags.find(s.release.row.graph_max_bs_flag)
    return flag.dest if flag else "cuda_graph_max_bs"


def _graphs(s: Situation, load: Workload, room: float | None) -> Iterator[str]:
    """A graph for the whole load; where memory is short, none for larger batches."""
    if s.auto_size is None:
        return
    large = s.tp >= TP_OF_LARGE_GRAPHS
    current = s.auto_size.graph_max_bs_tp4 if large else s.auto_size.graph_max_bs
    planned = s.value("cuda_graph_max_bs")
    current = int(str(planned)) if planned else current
    needed = min(LARGEST_GRAPH, -(-load.concurrency // GRAPH_STEP) * GRAPH_STEP)
    short = room is not None and room < ROOM_ENOUGH
    if needed > current or (short and needed <= current // 2):
        yield str(needed)


def _ratios(s: Situation, load: Workload, room: float | None) -> Iterator[str]:
    """The ratio at which both pools fill together under the load, and its neighbours."""
    if room is not None and room >= ROOM_ENOUGH:
        return
    found, window = memory(s, s.tp, s.mtp), s.variant.sliding_window
    keeping = found.keeping if found else capacity.Keeping(window, window)
    needs = capacity.hold(lengths(load), keeping, chunk=0)
    needed, current = needs.sliding / needs.full, found.ratio.value if found else DEFAULT_RATIO
    for factor in (1.0, 1.5, 0.7, 2.5):
        value = min(1.0, max(0.01, round(needed * factor, 2)))
        if abs(value - current) > 0.1 * current:
            yield f"{value:g}"


def _drafts(s: Situation) -> Iterator[str]:
    """Shorter and longer drafts, where the plan drafts with the assistant."""
    if not s.mtp or s.value("speculative_algorithm") != "NEXTN":
        return
    planned = "/".join(str(s.value(name)) for name in DRAFT)
    trees = DRAFT_TREES if backend_in_use(s) == "triton" else ()
    yield from (draft for draft in (*DRAFTS, *trees) if draft != planned)


def _fractions(s: Situation, room: float | None) -> Iterator[str]:
    current = s.value("mem_fraction_static")
    if current is None or (room is not None and room >= ROOM_ENOUGH):
        return
    for step in FRACTION_STEPS:
        value = round(float(str(current)) + step, 3)
        if 0 < value <= LARGEST_FRACTION:
            yield f"{value:g}"


def _chunks(s: Situation) -> Iterator[str]:
    planned = s.value("chunked_prefill_size")
    current = int(str(planned)) if planned else s.auto_size.chunked_prefill if s.auto_size else 0
    yield from (str(chunk) for chunk in CHUNKS if chunk != current)


def _splits(s: Situation, load: Workload) -> Iterator[str]:
    """About as many splits as give every multiprocessor a block of decode attention, and around.

    Few requests with few KV heads leave most of the GPU idle with SGLang's own number.
    """
    if backend_in_use(s) != "triton":
        return
    wanted = occupying_splits(s, load.concurrency)
    planned = int(str(s.value("triton_attention_num_kv_splits") or USUAL_SPLITS))
    around = (wanted, wanted // 2, wanted * 2, 2 * USUAL_SPLITS)
    within = (min(MOST_SPLITS, max(FEWEST_SPLITS, count)) for count in around)
    yield from (str(count) for count in within if count != planned)


def _intervals(s: Situation, load: Workload) -> Iterator[str]:
    """Only many requests at once give the scheduler much to receive."""
    if load.concurrency > 1:
        planned = str(s.value("scheduler_recv_interval"))
        yield from (str(interval) for interval in INTERVALS if str(interval) != planned)
