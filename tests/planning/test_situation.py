"""What rules see of a request."""

from __future__ import annotations

from gemma4ctl.planning.memory import memory

from .hosts import situation


def test_another_request_for_the_same_plan_has_a_memory_of_its_own() -> None:
    s = situation("H200", 1, model="31B", request_tokens="32k", concurrency=4)
    before = memory(s, 1, False)
    more = s.asked_for(concurrency=16)
    assert more.request == s.request.model_copy(update={"concurrency": 16})
    assert more.made is s.made and more.group == s.group
    after = memory(more, 1, False)
    assert before is not None and after is not None and after.share.value > before.share.value
    assert memory(s, 1, False) is before
