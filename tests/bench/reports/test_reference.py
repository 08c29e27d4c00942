from __future__ import annotations

import json

import pytest

from gemma4ctl.bench.reports.reference import (
    UNTOKENIZED,
    Reference,
    beside_published,
    workload_name,
)
from gemma4ctl.bench.workload import SCENARIOS, Workload
from gemma4ctl.errors import UsageError
from gemma4ctl.profiles.measurements import load_measurements
from tests.bench.reports.samples import hardware, result, scenario, served


def fixed(length_in: int, length_out: int, concurrency: int, **changes: object) -> Workload:
    fields = {
        "name": "own",
        "input_tokens": length_in,
        "output_tokens": length_out,
        "range_ratio": 1.0,
        "requests": 10 * concurrency,
        "concurrency": concurrency,
    }
    return Workload(**fields | changes)  # type: ignore[arg-type]


def test_the_pages_scenarios_stand_beside_their_own_figures() -> None:
    found = beside_published(result())
    assert [row.scenario for row in found.rows] == [
        "text-c1",
        "text-c100",
        "image-c1",
        "image-c100",
    ]
    assert all((row.platform, row.tp, row.mtp) == ("H200", 1, False) for row in found.rows)
    values = {value.figure: value for value in found.rows[0].values}
    assert values["tpot_ms"].published == 3.99
    assert values["tpot_ms"].gain == pytest.approx(3.99 / 4.02)
    assert values["output_tok_s"].gain == pytest.approx(240 / 242.03)
    assert "tok_s_per_gpu" not in values


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("text-c1", {}, True),
        ("text-c1", {"client": "sglang"}, False),
        ("image-c1", {}, False),  # its text goes through the chat API
        ("text-c1", {"workload": fixed(77, 5, 1)}, False),  # beside nothing
    ],
)
def test_a_ttft_without_tokenizing_is_told_beside_a_published_one(
    name: str, changes: dict[str, object], said: bool
) -> None:
    found = beside_published(result(scenario(name).model_copy(update=changes)))
    assert found.problems == ((UNTOKENIZED,) if said else ())


def test_the_mean_of_the_runs_counts() -> None:
    found = beside_published(result(scenario("text-c1", (0.9, 1.1))))
    assert found.rows[0].values[0].measured == pytest.approx(240.0)


def test_rates_of_a_gpu() -> None:
    load = fixed(8192, 1024, 4096)
    setup = {"served": served(variant="31B", tp=2, model_path="google/gemma-4-31B-it")}
    found = beside_published(result(scenario("text-c1", workload=load), **setup))
    (row,) = found.rows
    assert row.release == "0.5.16"
    rate = next(value for value in row.values if value.figure == "tok_s_per_gpu")
    assert rate.published == 2899
    assert rate.measured == pytest.approx(240.0 * 2.446 / 2)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"hardware": hardware("B200")}, "another GPU: H200"),
        ({"served": served(tp=2)}, "on 1 GPU"),
        ({"served": served(mtp=True)}, "without MTP"),
        ({"served": served(server_args={"quantization": "fp8"})}, "other weights: standard"),
        (
            {"served": served(model_path="google/gemma-4-E2B-it-qat-q4_0-unquantized")},
            "other weights: standard",
        ),
    ],
)
def test_what_makes_a_published_run_unlike(changes, why: str) -> None:
    found = beside_published(result(scenario("text-c1"), **changes))
    assert found.rows == ()
    nearest = found.not_comparable[0]
    assert why in nearest.why_not
    assert all(value.measured is value.gain is None for value in nearest.values)


def test_too_few_requests_at_a_time() -> None:
    few = SCENARIOS["text-c100"].model_copy(update={"requests": 200})
    found = beside_published(result(scenario("text-c100", workload=few)))
    assert found.not_comparable[0].why_not == ("yours has too few requests: 200",)


def test_drafts_of_random_weights_say_nothing() -> None:
    load = fixed(8192, 1024, 16)
    dummy = served(mtp=True, server_args={"load_format": "dummy"})
    found = beside_published(result(scenario("text-c1", workload=load), served=dummy))
    assert found.not_comparable[0].why_not == (
        "yours are random weights, whose drafts are refused",
    )


def test_the_nearest_come_first_and_none_twice() -> None:
    found = beside_published(result(scenario("text-c1"), scenario("image-c1")))
    assert len(found.not_comparable) == 6
    counts = [len(row.why_not) for row in found.not_comparable]
    assert counts == sorted(counts)
    runs = [
        (row.platform, row.tp, row.mtp, row.workload, row.concurrency)
        for row in (*found.rows, *found.not_comparable)
    ]
    assert len(set(runs)) == len(runs)


def test_what_is_not_known_is_said() -> None:
    unknown = result(
        scenario("text-c1"), hardware=None, served=served(tp=None, model_path="/weights/mine")
    )
    found = beside_published(unknown)
    assert [problem.partition(" is not")[0] for problem in found.problems] == [
        "the GPU",
        "the tensor parallel size",
        "the checkpoint",
    ]
    assert (
        beside_published(result(served=served(variant=None)))
        .problems[0]
        .startswith("the variant is not known")
    )


def test_the_gpu_can_be_named() -> None:
    found = beside_published(result(scenario("text-c1"), hardware=None), platform="h200")
    assert found.platform == "H200"
    assert len(found.rows) == 1
    with pytest.raises(UsageError, match="H900"):
        beside_published(result(), platform="H900")


def test_scenarios_without_a_whole_run_are_left_out() -> None:
    assert beside_published(result(scenario("text-c1", ()))).rows == ()


@pytest.mark.parametrize(
    ("workload", "name"),
    [
        (SCENARIOS["text-c1"], "random"),
        (SCENARIOS["image-c100"], "two-720p-images"),
        (fixed(8192, 1024, 1), "random-8192-1024"),
        (fixed(1024, 1024, 1, range_ratio=0.5), "other lengths"),
        (fixed(128, 1024, 1, range_ratio=0.0, images=1), "other images"),
    ],
)
def test_names_of_loads(workload: Workload, name: str) -> None:
    assert workload_name(workload) == name


def test_every_published_load_can_be_measured() -> None:
    named = {workload_name(each) for each in SCENARIOS.values()}
    named |= {workload_name(fixed(i, o, 1)) for i, o in ((8192, 1024), (1000, 1000))}
    assert {row.workload for row in load_measurements().speed} == named


def test_as_json() -> None:
    found = beside_published(result())
    document = json.loads(json.dumps(found.model_dump(mode="json")))
    assert (document["kind"], document["variant"]) == ("gemma4ctl-bench-reference", "E2B")
    assert Reference.model_validate(document) == found
