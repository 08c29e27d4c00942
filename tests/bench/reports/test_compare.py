from __future__ import annotations

import json

import pytest

from gemma4ctl.bench.reports.compare import Comparison, compare
from gemma4ctl.bench.workload import SCENARIOS
from gemma4ctl.errors import UsageError
from tests.bench.reports.samples import hardware, result, scenario, served

STEADY = (1.0, 1.01, 0.99)


def one(factors=STEADY, **changes):
    return result(scenario("text-c1", factors), **changes)


def by_figure(found: Comparison):
    return {row.figure: row for row in found.rows}


@pytest.mark.parametrize(
    ("factors", "verdict"),
    [
        ((1.04, 1.05, 1.06), "better"),
        ((0.94, 0.95, 0.96), "worse"),
        ((1.0, 1.02, 1.01), "within noise"),
        ((1.08,), "better"),
        ((1.04,), "within noise"),
    ],
)
def test_verdicts(factors, verdict: str) -> None:
    found = compare(one(), one(factors))
    assert {row.verdict for row in found.rows} == {verdict}
    assert found.comparable


def test_a_gain_above_one_is_better_for_times_too() -> None:
    rows = by_figure(compare(one((1.0,)), one((1.25,))))
    assert rows["output_throughput"].new == 300.0
    assert rows["tpot_ms.mean"].new == pytest.approx(4.02 / 1.25)
    assert {round(row.gain, 9) for row in rows.values()} == {1.25}
    assert {row.verdict for row in rows.values()} == {"noise unknown"}
    assert all(row.low is row.high is None for row in rows.values())


def test_interrupted_runs_do_not_count() -> None:
    whole = scenario("text-c1", STEADY)
    cut = whole.runs[0].model_copy(update={"interrupted": True})
    old = result(whole.model_copy(update={"runs": (cut, *whole.runs[1:])}))
    assert by_figure(compare(old, one()))["output_throughput"].old_runs == 2


def test_a_figure_that_one_side_lacks_is_left_out() -> None:
    lacking = scenario("text-c1", STEADY)
    runs = []
    for run in lacking.runs:
        times = run.summary.ttft_ms.model_copy(update={"p99": None})
        runs.append(
            run.model_copy(update={"summary": run.summary.model_copy(update={"ttft_ms": times})})
        )
    old = result(lacking.model_copy(update={"runs": tuple(runs)}))
    assert "ttft_ms.p99" not in by_figure(compare(old, one()))


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"served": served(variant="E4B")}, "variant"),
        ({"served": served(tp=2)}, "tensor parallel size"),
        ({"hardware": hardware("B200")}, "GPU"),
        ({"hardware": None}, "GPU"),
    ],
)
def test_what_forbids_a_comparison(changes, what: str) -> None:
    found = compare(one(), one(**changes))
    assert not found.comparable
    assert what in [each.what for each in found.differences if each.matters]
    with pytest.raises(UsageError) as caught:
        found.below(0.9)
    assert caught.value.code == "bench-not-comparable"
    assert what in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "what"),
    [({"client": "sglang"}, "client of text-c1"), ({"api": "chat"}, "API of text-c1")],
)
def test_another_way_of_measuring(changes, what: str) -> None:
    other = result(scenario("text-c1", STEADY).model_copy(update=changes))
    assert [each.what for each in compare(one(), other).differences] == [what]
    assert not compare(one(), other).comparable


def test_what_may_be_meant_to_differ() -> None:
    new = one(
        served=served(
            release="0.5.23",
            mtp=True,
            model_path="/weights/e2b",
            server_args={"chunked_prefill_size": 4096, "port": 1, "random_seed": 3, "only": 1},
        ),
        hardware=hardware(driver_version="590.1"),
    )
    found = compare(one(served=served(server_args={"chunked_prefill_size": 8192, "port": 2})), new)
    assert found.comparable
    assert [(each.what, each.old, each.new) for each in found.differences] == [
        ("model", "google/gemma-4-E2B-it", "/weights/e2b"),
        ("SGLang", "0.5.16", "0.5.23"),
        ("MTP", "False", "True"),
        ("driver", "580.95.05", "590.1"),
        ("chunked_prefill_size", "8192", "4096"),
    ]


def test_what_is_left_out_is_said() -> None:
    other_load = SCENARIOS["text-c100"].model_copy(update={"requests": 500})
    old = result(
        scenario("text-c1"), scenario("text-c100"), scenario("image-c1"), scenario("image-c100", ())
    )
    new = result(
        scenario("text-c1"), scenario("text-c100", workload=other_load), scenario("image-c100")
    )
    found = compare(old, new)
    assert {row.scenario for row in found.rows} == {"text-c1"}
    assert found.skipped == (
        "text-c100: another load",
        "image-c1: only in the old result",
        "image-c100: no whole run",
    )
    assert compare(new, old).skipped[-1] == "image-c1: only in the new result"


def test_nothing_in_common() -> None:
    with pytest.raises(UsageError, match="no scenario in common") as caught:
        compare(result(scenario("text-c1")), result(scenario("image-c1")))
    assert "text-c1: only in the old result; image-c1: only in the new" in str(caught.value)
    with pytest.raises(UsageError, match="no scenario in common") as caught:
        compare(one(), result(scenario("text-c1", ())))
    assert caught.value.found == "text-c1: no whole run"


@pytest.mark.parametrize("number", [-1.0, 0.0, float("nan"), float("inf")])
def test_what_no_run_can_give_is_left_out(number: float) -> None:
    bad = scenario()
    (run,) = bad.runs
    broken = run.model_copy(
        update={"summary": run.summary.model_copy(update={"output_throughput": number})}
    )
    found = compare(one(), result(bad.model_copy(update={"runs": (broken,)})))
    assert "output_throughput" not in {row.figure for row in found.rows}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (STEADY, (0.90, 0.91, 0.92), {"output_throughput", "tpot_ms.mean", "ttft_ms.median"}),
        (STEADY, (0.96, 0.97, 0.98), set()),  # below 0.97 only within noise
        ((1.0,), (0.96,), {"output_throughput", "tpot_ms.mean", "ttft_ms.median"}),
        ((1.0,), (0.98,), set()),
        (STEADY, (1.2, 1.2, 1.2), set()),
    ],
)
def test_a_limit_for_ci(old, new, expected: set[str]) -> None:
    found = compare(one(old), one(new))
    assert {row.figure for row in found.below(0.97)} == expected


def test_as_json() -> None:
    found = compare(one(), one((0.9,)))
    document = json.loads(json.dumps(found.model_dump(mode="json")))
    assert (document["kind"], document["schema_version"]) == ("gemma4ctl-bench-comparison", 1)
    assert Comparison.model_validate(document) == found
