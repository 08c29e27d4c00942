"""Which workloads the options ask for."""

from __future__ import annotations

import pytest

from gemma4ctl.bench.choice import Shape, workloads
from gemma4ctl.bench.workload import SCENARIOS
from gemma4ctl.errors import UsageError


def chosen(*names: str, images: bool | None = None, seed: int = 1, **shape: float) -> list[str]:
    found = workloads(names, Shape(**shape), seed=seed, images=images)  # type: ignore[arg-type]
    assert all(each.seed == seed for each in found)
    return [each.name for each in found]


def test_all_that_the_endpoint_takes() -> None:
    assert chosen() == chosen(images=True) == list(SCENARIOS)
    assert chosen(images=False) == ["text-c1", "text-c100"]


def test_names() -> None:
    assert chosen("image-c1", "text-c1", "image-c1", images=False) == ["image-c1", "text-c1"]
    assert chosen("text-c1", seed=7) == ["text-c1"]


def test_a_load_of_ones_own() -> None:
    (load,) = workloads((), Shape(8192, 1024, concurrency=16), seed=3, images=None)
    assert load.name == "random-8192-1024-c16"
    assert (load.requests, load.concurrency, load.range_ratio, load.seed) == (160, 16, 1.0, 3)
    shape = Shape(100, 10, requests=5, range_ratio=0.5, images=2)
    (load,) = workloads(["mine"], shape, seed=1, images=None)
    assert (load.name, load.requests, load.range_ratio, load.images) == ("mine", 5, 0.5, 2)


def test_the_name_says_that_there_are_images() -> None:
    (load,) = workloads((), Shape(100, 10, images=2), seed=1, images=None)
    assert load.name == "random-100-10-2-images-c1"


@pytest.mark.parametrize(
    ("names", "shape", "message"),
    [
        (["text-c2"], Shape(), "there is no scenario 'text-c2'"),
        (["text-c1"], Shape(10, 10), "--scenario text-c1 alone has the published lengths"),
        (["a", "b"], Shape(10, 10), "--scenario a --scenario b"),
        ([], Shape(concurrency=4), "--input-tokens N and --output-tokens N"),
        ([], Shape(10), "--input-tokens N and --output-tokens N"),
    ],
)
def test_contradictions(names: list[str], shape: Shape, message: str) -> None:
    with pytest.raises(UsageError, match=r"scenario|load") as refused:
        workloads(names, shape, seed=1, images=None)
    assert message in str(refused.value)
