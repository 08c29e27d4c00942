"""Read SGLang's log: the phases of a start, the figures it reports, and trouble while serving.

The texts are those of SGLang 0.5.11 to 0.5.23. Lines that are not known are passed over, so a
release that words a line differently loses that figure and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from gemma4ctl.launch.redact import plain

Phase = Literal["image", "starting", "weights", "draft", "pools", "graphs", "warmup", "ready"]
Figure = int | float | str | None

READY_LINE = "The server is fired up and ready to roll!"
FULL_POOL_USAGE = 0.95
LITTLE_FREE = "graph: only "  # so prefill_graphs begins where SGLang had too little free memory

PHASE_TITLES: dict[Phase, str] = {
    "image": "container image",
    "starting": "starting",
    "weights": "loading weights",
    "draft": "loading the draft model",
    "pools": "allocating KV pools",
    "graphs": "capturing CUDA graphs",
    "warmup": "warming up",
    "ready": "ready",
}


@dataclass(frozen=True)
class Reported:
    """What the first rank's log said. GB are SGLang's (GiB); None: the log did not say.

    ``free_gb_*`` is the free GPU memory at that point; ``*_tokens`` are pool sizes. ``kernels``,
    ``kv_pools`` and ``prefill_graphs`` are gemma4ctl's own lines about the model: "fused, ..." or
    "stock, ...", "graphs of ..." or "no graphs: ..."; the last also where SGLang leaves them out.
    """

    architecture: str | None = None
    kernels: str | None = None
    kv_pools: str | None = None
    prefill_graphs: str | None = None
    attention_backend: str | None = None
    mem_fraction_static: float | None = None
    free_gb_at_start: float | None = None
    weights_gb: float | None = None
    weights_seconds: float | None = None
    free_gb_after_weights: float | None = None
    draft_weights_gb: float | None = None
    kv_cache_dtype: str | None = None
    kv_pools_gb: float | None = None
    full_layer_tokens: int | None = None
    swa_layer_tokens: int | None = None
    free_gb_after_pools: float | None = None
    graphs_gb: float | None = None
    max_total_num_tokens: int | None = None
    chunked_prefill_size: int | None = None
    max_prefill_tokens: int | None = None
    max_running_requests: int | None = None
    context_len: int | None = None
    available_gpu_mem: float | None = None


@dataclass(frozen=True)
class PhaseStarted:
    """A phase of the start begins."""

    phase: Phase


@dataclass(frozen=True)
class PhaseEnded:
    """A phase is over; ``summary`` holds its figures for the reader, "" when there are none."""

    phase: Phase
    seconds: float
    summary: str


@dataclass(frozen=True)
class Progress:
    """Steps of the current phase."""

    phase: Phase
    done: int
    total: int


@dataclass(frozen=True)
class Notice:
    """Trouble that the running server met; each code is reported once."""

    code: str
    message: str
    remedy: str


Event = PhaseStarted | PhaseEnded | Progress | Notice

# uvicorn's, after which SGLang 0.5.16 neither serves nor ends
_CANNOT_LISTEN = re.compile(r"error while attempting to bind on address")

_PREFIX = re.compile(
    r"\[(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)(?:[.,]\d+)?(?P<rank>[^\]]{0,40})\] ?(?P<text>.*)",
    re.DOTALL,
)
_LATER_RANK = re.compile(r"\b[A-Z]+0*[1-9]\d*\b")  # "TP1", "DP0 TP3", "PP1"; not "TP0"
_PROGRESS = re.compile(r"\d+%\|.{0,200}?\| *(?P<done>\d{1,9})/(?P<total>\d{1,9}) \[")
_LOADED_SHARDS = re.compile(r"% Completed \| (?P<done>\d{1,9})/(?P<total>\d{1,9}) \[")

_PHASE_MARKS: tuple[tuple[str, Phase], ...] = (
    ("Unable to find image", "image"),
    (": Pulling from ", "image"),
    ("Load weight begin.", "weights"),
    ("Use sliding window memory pool", "pools"),
    ("KV Cache is allocated.", "pools"),
    ("CUDA graph begin.", "graphs"),
    ("cuda graph begin.", "graphs"),
    ("Application startup complete.", "warmup"),
    ("Uvicorn running on", "warmup"),
    (READY_LINE, "ready"),
)


@dataclass(frozen=True)
class _Reading:
    """Named groups of ``pattern`` become figures when ``mark`` is in the line."""

    mark: str
    pattern: re.Pattern[str]
    phases: tuple[Phase, ...] = ()  # empty: in any phase
    add: bool = False  # the figures add up over lines


def _reading(
    mark: str, *pattern: str, phases: tuple[Phase, ...] = (), add: bool = False
) -> _Reading:
    return _Reading(mark, re.compile("".join(pattern)), phases, add)


_GB = r"(?:[\d.]{1,20})"
_INT = r"(?:-?\d{1,18}|None)"
_LOADING: tuple[Phase, ...] = ("starting", "weights")  # of the target, not the draft

_READINGS = (
    _reading("server_args=", r"\bmem_fraction_static=(?P<mem_fraction_static>[\d.]+)"),
    _reading("server_args=", r"\battention_backend='(?P<attention_backend>\w+)'"),
    _reading("gemma4ctl ", r"gemma4ctl \S+ kernels: (?P<kernels>.{1,300})", phases=_LOADING),
    _reading("gemma4ctl ", r"gemma4ctl \S+ KV: (?P<kv_pools>(?:shared, \d+ of|stock).{1,300})"),
    _reading(
        "gemma4ctl ",
        r"gemma4ctl \S+ prefill: (?P<prefill_graphs>(?:no )?graphs.{1,300})",
        phases=_LOADING,
    ),
    _reading(
        "Disabling auto-selected", rf"CUDA (?P<prefill_graphs>{LITTLE_FREE}.{{1,40}} is free)"
    ),
    _reading("Load weight begin.", f"avail mem=(?P<free_gb_at_start>{_GB})", phases=("weights",)),
    _reading(
        "Load weight end.",
        rf"elapsed=(?P<weights_seconds>{_GB}) s, type=(?P<architecture>\w+)",
        phases=("weights",),
    ),
    _reading(
        "Load weight end.",
        rf"avail mem=(?P<free_gb_after_weights>{_GB}) GB, mem usage=(?P<weights_gb>{_GB}) GB",
        phases=("weights",),
    ),
    _reading("Load weight end.", f"mem usage=(?P<draft_weights_gb>{_GB}) GB", phases=("draft",)),
    _reading(
        "full_layer_tokens=",
        rf"full_layer_tokens=(?P<full_layer_tokens>{_INT})",
        rf", swa_layer_tokens=(?P<swa_layer_tokens>{_INT})",
    ),
    _reading("KV Cache is allocated.", r"dtype: (?:torch\.)?(?P<kv_cache_dtype>[\w.]+)"),
    _reading("SWAKVPool mem usage", f"mem usage: (?P<kv_pools_gb>{_GB}) GB"),
    _reading("Memory pool end.", f"avail mem=(?P<free_gb_after_pools>{_GB}) GB"),
    _reading("graph end.", f"mem usage=(?P<graphs_gb>{_GB}) GB", add=True),
    *(
        _reading("max_total_num_tokens=", rf"\b{name}=(?P<{name}>{_INT})")
        for name in (
            "max_total_num_tokens",
            "chunked_prefill_size",
            "max_prefill_tokens",
            "max_running_requests",
            "context_len",
        )
    ),
    _reading("max_total_num_tokens=", rf"available_gpu_mem=(?P<available_gpu_mem>{_GB}) GB"),
)


@dataclass(frozen=True)
class _Trouble:
    """A notice and the line that calls for it; ``applies`` looks at the match."""

    code: str
    pattern: re.Pattern[str]
    message: str
    remedy: str
    applies: Callable[[re.Match[str]], bool] = field(default=lambda _: True)


_TROUBLES = (
    _Trouble(
        "retraction",
        re.compile(r"KV cache pool is full\. Retract requests"),
        "the KV cache is full: SGLang took running requests back and will compute them again",
        "lower --concurrency or --context-length, use more GPUs, "
        "or pass `-- --schedule-conservativeness 1.3`",
    ),
    _Trouble(
        "request_aborted",
        re.compile(r"retract_decode: aborted last request|Out of memory even after retracting"),
        "one request alone does not fit in the KV cache and was aborted",
        "lower --context-length to what the KV pools hold, or use more GPUs",
    ),
    _Trouble(
        "swa_pool_full",
        re.compile(r"\bswa token usage: (?P<usage>\d{1,4}\.\d{1,4})"),
        "the sliding-window KV pool is full, while the full-attention pool may have room",
        "raise `--swa-full-tokens-ratio` (short requests need more sliding-window tokens), "
        "or lower --concurrency",
        lambda match: float(match["usage"]) >= FULL_POOL_USAGE,
    ),
    _Trouble(
        "out_of_memory",
        re.compile(
            r"OutOfMemoryError|(?:CUDA|HIP|XPU) out of memory|(?:Prefill|Decode) out of memory"
            r"|Out of memory\. Try to lower your batch size|alloc_req_slots runs out of memory"
        ),
        "the GPU ran out of memory while serving",
        "lower --mem-fraction (it leaves more room for activations), "
        "the chunked prefill size, or --concurrency",
    ),
    _Trouble(
        "images_split",
        re.compile(r"images are split across chunk boundaries|Those images will receive causal"),
        "images were cut by chunked prefill: their tokens got causal attention, answers get worse",
        "raise `--chunked-prefill-size` above the longest prompt with images, or set it to -1",
    ),
    _Trouble(
        "unhealthy",
        re.compile(r"Health check failed\. Server couldn't get a response"),
        "the server did not answer its own health check",
        "look at the log; restart the server if it does not recover",
    ),
)


def _number(text: str) -> Figure:
    """``text`` as int, float or None where it is one."""
    if text == "None":
        return None
    for convert in (int, float):
        try:
            return convert(text)
        except ValueError:
            continue
    return text


class LogParser:
    """Follows one server's log, line by line.

    Phases and figures are those of the first rank; trouble counts from every rank.
    """

    def __init__(self) -> None:
        self.phase: Phase = "starting"
        self.durations: dict[Phase, float] = {}  # seconds of the phases that are over
        self.hopeless = False  # the server runs on, but will never be ready
        self._figures: dict[str, Figure] = {}
        self._notices: dict[str, Notice] = {}
        self._began: float | None = None
        self._now = 0.0

    @property
    def ready(self) -> bool:
        """Whether the log said that the server is ready."""
        return self.phase == "ready"

    @property
    def reported(self) -> Reported:
        """Everything the log said so far."""
        return Reported(**self._figures)  # type: ignore[arg-type]

    @property
    def notices(self) -> tuple[Notice, ...]:
        """The trouble met so far, each kind once."""
        return tuple(self._notices.values())

    def feed(self, line: str, at: float | None = None) -> list[Event]:
        """Read one line and return what it means.

        Args:
            line: without its line end; anything is accepted.
            at: when it was read, in seconds; None: the time that the line itself gives.
        """
        line = plain(line)
        prefix = _PREFIX.match(line)
        text = prefix["text"] if prefix else line
        self._tick(at, prefix)
        events: list[Event] = []
        if not (prefix and _LATER_RANK.search(prefix["rank"])):
            events += self._follow_phase(text)
            self._read_figures(text)
            events += self._progress(text)
        if self.ready:
            events += self._trouble(text)
        elif _CANNOT_LISTEN.search(text):
            self.hopeless = True
        return events

    def _tick(self, at: float | None, prefix: re.Match[str] | None) -> None:
        if at is None and prefix:
            try:
                at = datetime.fromisoformat(prefix["time"]).timestamp()
            except (ValueError, OverflowError, OSError):
                at = None
        if at is not None:
            self._now = at
            self._began = at if self._began is None else self._began

    def _follow_phase(self, text: str) -> list[Event]:
        phase = next((phase for mark, phase in _PHASE_MARKS if mark in text), None)
        if phase == "weights" and "weights" in {*self.durations, self.phase}:
            phase = "draft"  # the target's weights come first
        if phase is None or phase == self.phase or self.ready:
            return []
        seconds = self._now - (self._now if self._began is None else self._began)
        ended = self.phase
        self.durations[ended] = self.durations.get(ended, 0.0) + seconds
        self.phase, self._began = phase, self._now
        return [PhaseEnded(ended, seconds, summary(ended, self.reported)), PhaseStarted(phase)]

    def _read_figures(self, text: str) -> None:
        for reading in _READINGS:
            if reading.mark not in text or (reading.phases and self.phase not in reading.phases):
                continue
            if match := reading.pattern.search(text):
                for name, value in match.groupdict().items():
                    self._note(name, _number(value), add=reading.add)

    def _note(self, name: str, value: Figure, *, add: bool) -> None:
        before = self._figures.get(name)
        if add and isinstance(value, (int, float)) and isinstance(before, (int, float)):
            value = round(before + value, 3)
        self._figures[name] = value

    def _progress(self, text: str) -> list[Event]:
        match = _PROGRESS.search(text) or _LOADED_SHARDS.search(text)
        if not match or self.ready:
            return []
        return [Progress(self.phase, int(match["done"]), int(match["total"]))]

    def _trouble(self, text: str) -> list[Event]:
        found: list[Event] = []
        for trouble in _TROUBLES:
            match = trouble.pattern.search(text)
            if match and trouble.code not in self._notices and trouble.applies(match):
                notice = Notice(trouble.code, trouble.message, trouble.remedy)
                self._notices[trouble.code] = notice
                found.append(notice)
        return found


def parse(lines: Iterable[str]) -> LogParser:
    """A parser that has read ``lines`` of a finished log, timed by their own stamps."""
    parser = LogParser()
    for line in lines:
        parser.feed(line)
    return parser


def summary(phase: Phase, reported: Reported) -> str:
    """The figures of a finished phase, for the reader; "" when the log gave none."""
    parts: dict[Phase, tuple[tuple[str, Figure], ...]] = {
        "weights": (
            ("{:.2f} GB", reported.weights_gb),
            ("{:.2f} GB free", reported.free_gb_after_weights),
        ),
        "draft": (("{:.2f} GB", reported.draft_weights_gb),),
        "pools": (
            ("{:,} full", reported.full_layer_tokens),
            ("{:,} sliding tokens", reported.swa_layer_tokens),
            ("{:.2f} GB", reported.kv_pools_gb),
            ("{:.2f} GB free", reported.free_gb_after_pools),
        ),
        "graphs": (("{:.2f} GB", reported.graphs_gb),),
    }
    return ", ".join(
        form.format(value) for form, value in parts.get(phase, ()) if value is not None
    )
