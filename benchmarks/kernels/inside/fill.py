"""Random weights under which a wrong kernel shows, for servers with ``--load-format dummy``.

SGLang's own random weights are so small that every hidden state ends at zero, and all models agree.
Drawn at unit scale throughout they are chaotic instead: the queries and keys of Gemma 4 are
normalized and their products not divided by anything, so that attention picks single tokens, and
the rounding of bfloat16 grows from layer to layer until two runs of one server share nothing. Here
matrices keep the scale of what they multiply, norms and layer scalars are near one, and the norms
of queries and keys are such that scores have a standard deviation of about a half, which trained
weights are nearer to. Rounding then moves log-probabilities by hundredths of a nat. Routers prefer
some experts clearly, so that the last of those chosen, which rounding may exchange, counts little.

SGLang calls :func:`install` as a plugin, in each of its processes. Each tensor is drawn from its
own name, so servers of one layout have the same weights; ranks of one server too, so only servers
of the same TP can be compared.
"""

from __future__ import annotations

import math
import zlib
from typing import Any

import torch

SCORES = 0.5  # standard deviation of a product of a query and a key
ROUTING = 3.0  # standard deviation of the router's scores
SPREAD = 0.1  # of norm weights, beside their mean
SCALARS = (0.8, 1.2)  # of layers
PER_LAYER_WIDTH = 256  # the table of per-layer embeddings holds all layers side by side


def install() -> None:
    """Have SGLang draw its dummy weights here."""
    from sglang.srt.model_loader import loader, weight_utils

    loader.initialize_dummy_weights = weight_utils.initialize_dummy_weights = fill


@torch.no_grad()
def fill(model: torch.nn.Module, *_: Any, **__: Any) -> None:
    """Draw the floating-point tensors of ``model``, those that share memory once."""
    drawn = set()
    for name, tensor in model.state_dict().items():
        if torch.is_floating_point(tensor) and tensor.data_ptr() not in drawn:
            drawn.add(tensor.data_ptr())
            source = torch.Generator(tensor.device).manual_seed(zlib.crc32(name.encode()))
            wide = tensor if tensor.element_size() > 1 else tensor.to(torch.bfloat16)
            draw(name.split("."), wide, source)
            tensor.copy_(wide)


def draw(names: list[str], tensor: torch.Tensor, source: torch.Generator) -> None:
    """Draw one tensor, by its module's name and its own; vectors of other kinds stay as made."""
    module, leaf = names[-2] if len(names) > 1 else "", names[-1]
    if leaf == "layer_scalar":
        tensor.uniform_(*SCALARS, generator=source)
    elif "router" in names and tensor.dim() > 1:
        # Its input is divided by the root of its length, which is that of the sum's spread.
        tensor.normal_(0, ROUTING, generator=source)
    elif tensor.dim() > 1:
        tensor.normal_(0, inputs(module, tensor) ** -0.5, generator=source)
    elif leaf == "bias":
        tensor.zero_()
    elif "norm" in module:
        mean = SCORES**0.5 * len(tensor) ** -0.25 if module in ("q_norm", "k_norm") else 1.0
        tensor.normal_(mean, SPREAD * mean, generator=source)
    elif not tensor.isfinite().all():
        tensor.fill_(1)


def inputs(module: str, matrix: torch.Tensor) -> int:
    """The length of what a matrix is multiplied with."""
    if module == "embed_tokens_per_layer":
        return PER_LAYER_WIDTH
    return matrix.shape[-1] if matrix.dim() < 4 else math.prod(matrix.shape[1:])
