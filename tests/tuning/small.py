"""A search that is soon over: few things to try, and none of the waits that only a GPU needs."""

from __future__ import annotations

from gemma4ctl.tuning import search, session, trial
from gemma4ctl.tuning.space import PLAN, Dimension

SPLITS = Dimension("splits", ("triton_attention_num_kv_splits",), (PLAN, "64"))
CHUNK = Dimension("chunk", ("chunked_prefill_size",), (PLAN, "16384"))  # dies at its start


def shrink() -> None:
    """Make every search of this process such a one."""
    session.space = lambda *_: (SPLITS, CHUNK)  # type: ignore[assignment]
    search.REPEATS = 0  # which test_search is about
    trial.PAUSE_S = 0.1
