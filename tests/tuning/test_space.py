from __future__ import annotations

import pytest

from gemma4ctl.flags.parse import parse
from gemma4ctl.tuning.judge import held
from gemma4ctl.tuning.space import PLAN, Dimension, describe, moves, plan_point, space, words

from .conftest import judged, workload


def names(*, metric: str = "output-throughput", **request: object) -> dict[str, Dimension]:
    load = workload(concurrency=int(str(request.get("concurrency", 1))))
    request.setdefault("request_tokens", "1280")
    judge = judged(load, **request)
    return {d.name: d for d in space(judge.situation, load, metric, judge.room)}


def test_the_plan_is_the_first_choice_of_every_dimension() -> None:
    found = names(mtp=True, concurrency=8)
    assert found
    assert all(d.choices[0] == PLAN and len(set(d.choices)) > 1 for d in found.values())


@pytest.mark.parametrize(
    ("metric", "first"), [("tpot", "splits"), ("ttft", "chunk"), ("output-throughput", "graphs")]
)
def test_the_metric_decides_what_comes_first(metric: str, first: str) -> None:
    assert next(iter(names(metric=metric, concurrency=512, mtp=False))) == first


def test_a_load_beyond_the_graphs_wants_larger_ones() -> None:
    assert names(concurrency=512)["graphs"].choices == (PLAN, "512")
    assert "graphs" not in names(concurrency=128)  # and there is memory for all of SGLang's own


def test_drafts_are_searched_only_where_there_are_drafts() -> None:
    drafts = names(mtp=True)["draft"]
    assert drafts.dests[0] == "speculative_num_steps"
    assert "5/1/6" not in drafts.choices  # the plan's own
    assert drafts.values("3/1/4") == {
        "speculative_num_steps": "3",
        "speculative_eagle_topk": "1",
        "speculative_num_draft_tokens": "4",
    }
    assert "draft" not in names(mtp=False)


def test_a_single_request_gives_the_scheduler_nothing_to_receive() -> None:
    assert "interval" not in names(concurrency=1)
    assert "interval" in names(concurrency=2)


def test_flags_of_the_users_own_are_left_alone() -> None:
    own = names(extra_args=("--chunked-prefill-size", "4096"))
    assert "chunk" not in own and "splits" in own


def test_pools_matter_only_where_they_limit_the_load() -> None:
    roomy = names(concurrency=1)
    assert "ratio" not in roomy and "fraction" not in roomy
    long = workload(input_tokens=100_000, concurrency=64)
    judge = judged(long, model="12B", safe=True)
    found = {d.name: d for d in space(judge.situation, long, "output-throughput", judge.room)}
    assert judge.room is not None and judge.room < 1
    assert "fraction" in found
    assert float(found["ratio"].choices[1]) < 0.1  # the default is 0.8


def test_kv_splits_are_tritons() -> None:
    load = workload()
    judge = judged(load, "B200", modalities=("text",))  # trtllm_mha there
    assert "splits" not in {d.name for d in space(judge.situation, load, "tpot", judge.room)}


@pytest.mark.parametrize(
    ("model", "concurrency", "splits"),
    [
        ("E2B", 1, ("128", "64", "256", "16")),  # one KV head
        ("E2B", 64, ("4", "16")),
        ("31B", 1, ("32", "16", "64")),  # four of them
    ],
)
def test_splits_fill_the_gpu(model: str, concurrency: int, splits: tuple[str, ...]) -> None:
    found = names(model=model, concurrency=concurrency, tp=1)
    assert found["splits"].choices == (PLAN, *splits)


def test_moves_go_through_first_choices_first() -> None:
    dimensions = [Dimension("a", ("x",), (PLAN, "1", "2")), Dimension("b", ("y",), (PLAN, "3"))]
    assert list(moves(dimensions)) == [("a", "1"), ("b", "3"), ("a", "2")]


@pytest.mark.parametrize("release", ["0.5.13", "0.5.16", "0.5.23"])
def test_words_are_flags_of_the_release(release: str) -> None:
    load = workload(concurrency=512)
    judge = judged(load, mtp=True, sglang_version=release)
    flags = judge.situation.flags
    dimensions = space(judge.situation, load, "tpot", judge.room)
    assert any(dimension.name == "graphs" for dimension in dimensions)
    for name, choice in moves(dimensions):
        point = {**plan_point(dimensions), name: choice}
        parsed = parse(["--model-path", "m", *words(point, dimensions, flags)], flags)
        assert not parsed.problems
        assert len(parsed.values) > 1


def test_a_point_is_described_by_what_it_changes() -> None:
    assert describe({"chunk": PLAN, "splits": "32"}) == "attention KV splits 32"
    assert describe({"chunk": PLAN}) == "the plan"


def test_short_answers_leave_room_in_the_sliding_pool() -> None:
    own = ("--swa-full-tokens-ratio", "0.02", "--max-running-requests", "4096")
    s = judged(workload(), request_tokens="8k", extra_args=own).situation
    loads = [workload(input_tokens=8_192 - answer, output_tokens=answer) for answer in (2_048, 16)]
    long, short = (held(s, load) for load in loads)
    assert long is not None and short is not None and long < short
