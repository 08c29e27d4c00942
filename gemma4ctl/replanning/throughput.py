"""How the throughput of a saturated server grows with the requests that run at once: an estimate.

A GPU gives each request its prefill once, and a share of every decode step while it runs. With n
running requests of ``out`` output tokens a request takes ``P + out * t(n) / n`` seconds of it, so

    requests a second = 1 / (P + out * t(n) / n),   t(n) = w + s * max(n, n0)

- ``t(n)``: one decode step; ``w`` reads the weights, ``s`` reads one request's KV cache.
- ``w``: the published time per token of a single request on this GPU, or scaled by bandwidth.
- ``n0``: requests whose attention occupies the whole GPU; with fewer of them it takes as long.
- ``s``: so that ``t`` is the step that was observed at the observed number of running requests, and
  no less than the bandwidth of the memory allows.
- ``P``: the prefill of a request, where the metrics tell it apart; else what is left of the
  observed time of a request: prefill, and work lost to retraction.

Assumed: as many requests stay in flight as were seen, their lengths and their shared prefixes stay
as they are, and prefill and decode do not overlap.
"""

from __future__ import annotations

from typing import NamedTuple

from gemma4ctl.planning.rules.attention import MULTIPROCESSORS, USUAL_SPLITS
from gemma4ctl.profiles.measurements import Speed
from gemma4ctl.profiles.table import Profiles

MOST_FIXED = 0.95  # of an observed step that the weights can be
BYTES = 2  # of a parameter
REACHED = 0.6  # of the bandwidth, where no figure is published
USUAL_BANDWIDTH = 2000.0  # GB/s, of a GPU without a row in the table


class Model(NamedTuple):
    """The model of one server under one load. Seconds; ``output_tokens`` of a mean request."""

    prefill_s: float
    weights_s: float
    request_s: float
    occupied_at: float  # running requests
    output_tokens: float

    def step_s(self, running: float) -> float:
        """A decode step with ``running`` requests."""
        return self.weights_s + self.request_s * max(running, self.occupied_at)

    def requests_s(self, running: float) -> float:
        """Requests that are completed in a second."""
        return 1 / (self.prefill_s + self.output_tokens * self.step_s(running) / running)


class Seen(NamedTuple):
    """What a model is fitted to: requests a second at ``running`` requests, one decode step there.

    ``output_tokens`` are of a mean request; so is ``prefill_s``, where it is known.
    """

    requests_s: float
    running: float
    step_s: float
    output_tokens: float
    prefill_s: float | None = None


def fit(seen: Seen, *, single_s: float, read_s: float, occupied_at: float) -> Model:
    """The model that gives what was seen; of rate and prefill, the prefill where it is known.

    Args:
        seen: the observation.
        single_s: a decode step of a single request.
        read_s: the least time that reading one request's KV cache takes.
        occupied_at: requests whose attention occupies the whole GPU.
    """
    spread = max(seen.running, occupied_at)
    least = min(seen.running * read_s, seen.step_s)
    weights = min(single_s, seen.step_s - least, MOST_FIXED * seen.step_s)
    decode = seen.output_tokens * seen.step_s / seen.running
    left = max(0.0, 1 / seen.requests_s - decode)
    return Model(
        prefill_s=left if seen.prefill_s is None else seen.prefill_s,
        weights_s=weights,
        request_s=(seen.step_s - weights) / spread,
        occupied_at=occupied_at,
        output_tokens=seen.output_tokens,
    )


def occupied_at(kv_heads: int) -> float:
    """Running requests at which decode attention has a block for every multiprocessor.

    SGLang's Triton kernel gives each request and KV head ``USUAL_SPLITS`` blocks.
    """
    return MULTIPROCESSORS / (USUAL_SPLITS * max(1, kv_heads))


def single_step_s(
    profiles: Profiles, speeds: tuple[Speed, ...], variant: str, platform: str, tp: int
) -> float:
    """Seconds of a decode step of a single short request; an estimate where none is published.

    A published figure of another GPU or TP is scaled by bandwidth and ranks.
    """
    bandwidth = profiles.platforms[platform].bandwidth_gb_s if platform in profiles.platforms else 0
    rows = [
        row
        for row in speeds
        if row.variant == variant and row.concurrency == 1 and not row.mtp and row.input == "text"
    ]
    if not rows or not bandwidth:
        v = profiles.variants[variant]
        table = v.vocab_size * v.per_layer_input * (v.layers.sliding + v.layers.full)
        read = (v.parameters - table) * BYTES / tp
        return read / (REACHED * 1e9 * (bandwidth or USUAL_BANDWIDTH))
    row = min(rows, key=lambda row: (row.platform != platform, row.tp != tp))
    theirs = profiles.platforms[row.platform].bandwidth_gb_s or bandwidth
    return row.tpot_ms / 1000 * (theirs / bandwidth) * (row.tp / tp)
