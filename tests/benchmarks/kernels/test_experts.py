"""The counter of chosen experts, on the CPU."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

torch = pytest.importorskip("torch")


def test_what_each_layer_chooses_is_counted(
    script: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    def route(logits: torch.Tensor, scales: torch.Tensor, topk: int) -> tuple[torch.Tensor, ...]:
        weights, experts = logits.topk(topk, -1)
        return weights * scales[experts], experts.to(torch.int32)

    path = tmp_path / "counts.json"
    count = script("experts").Counter(route, path)
    layers = torch.ones(4), torch.ones(4)
    one = torch.tensor([[4.0, 3, 2, 1], [4.0, 1, 2, 3]])
    for _ in range(2):
        for number, scales in enumerate(layers):
            count(one.flip(-1) if number else one, scales, 2)
    assert json.loads(path.read_text()) == [[2, 1, 0, 1], [1, 0, 1, 2]]  # of the first pass
    assert script("compare_servers").expert_load(path) == 2.0
