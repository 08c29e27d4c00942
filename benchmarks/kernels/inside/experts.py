"""Count how often each expert is chosen, for servers with ``EXPERT_COUNTS=PATH``.

SGLang 0.5.16 has a recorder of its own, which ends a server of Gemma 4 at its start. SGLang calls
:func:`install` as a plugin, in each of its processes. Only passes outside CUDA graphs are counted:
prefill. PATH holds a JSON list of counts by expert for each layer.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch

VARIABLE = "EXPERT_COUNTS"


def install() -> None:
    """Count what stock's router chooses, where the variable asks for it."""
    path = os.environ.get(VARIABLE)
    if path:
        from sglang.srt.models import gemma4_causal

        gemma4_causal.gemma4_fused_routing = Counter(gemma4_causal.gemma4_fused_routing, Path(path))


class Counter:
    """A routing function that counts. Layers are told apart by their scales, [experts]."""

    def __init__(self, route: Any, path: Path) -> None:
        self.route, self.path = route, path
        self.counts: dict[int, torch.Tensor] = {}

    def __call__(self, logits: torch.Tensor, scales: torch.Tensor, topk: int) -> Any:
        """``route``'s weights and experts, each [tokens, topk]."""
        chosen = self.route(logits, scales, topk)
        if not (logits.is_cuda and torch.cuda.is_current_stream_capturing()):
            self.count(scales, chosen[1])
        return chosen

    def count(self, scales: torch.Tensor, experts: torch.Tensor) -> None:
        """Add a pass through one layer; the first layer's writes down the passes before."""
        layer = scales.data_ptr()
        if layer == next(iter(self.counts), None):
            rows = [counts.tolist() for counts in self.counts.values()]
            self.path.write_text(json.dumps(rows))
        counts = self.counts.setdefault(layer, torch.zeros_like(scales, dtype=torch.long))
        counts += torch.bincount(experts.flatten().long(), minlength=len(counts))
