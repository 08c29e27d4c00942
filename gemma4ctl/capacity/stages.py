"""GPU memory before the weights and beside the KV pools, as SGLang's start-up log shows it.

Measured with SGLang 0.5.16 on H100 and H200 (benchmarks/results/capacity); estimates elsewhere.
MiB where a name says so, else bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log2
from typing import NamedTuple

from gemma4ctl.profiles.table import Variant

MIB = 1 << 20

# What the driver keeps of an idle card: 480 of 81,559 MiB (H100), 616 of 143,771 MiB (H200).
DRIVER_MIB = 302
DRIVER_SHARE = 0.00219
# CUDA context and kernels of one SGLang process: 0.67 GiB on H200, 0.68 GiB on H100.
CONTEXT_MIB = 691
# Communicators: 0.92 GiB with two ranks (H200, no NVLink multicast), 1.84 GiB with eight (H200, log
# in sglang#11716); between them by doublings.
NCCL_MIB_OF_TWO, NCCL_MIB_A_DOUBLING = 942, 470

REQUEST_SLACK = 4  # entries that a row of the request table has beyond the context
ENTRY = 4  # bytes of an entry of the request table
INDEX = 24  # bytes of a pool's token in the allocator's lists and in the map between the pools
ROUNDING = MIB  # mean loss of a KV buffer to the allocator


def idle_free_mib(total_mib: int) -> int:
    """Free memory of an idle card of ``total_mib``."""
    return int(total_mib * (1 - DRIVER_SHARE)) - DRIVER_MIB


def before_weights(total_mib: int, free_mib: int, ranks: int) -> int:
    """Bytes that SGLang finds free before it loads weights, of ``free_mib`` before it starts."""
    free = min(free_mib, idle_free_mib(total_mib)) - CONTEXT_MIB
    return max(0, free - communicators_mib(ranks)) * MIB


def communicators_mib(ranks: int) -> int:
    """MiB that the communicators of ``ranks`` ranks take on each GPU."""
    if ranks == 1:
        return 0
    return NCCL_MIB_OF_TWO + int(NCCL_MIB_A_DOUBLING * (log2(ranks) - 1))


def request_table(running: int, context: int, draft_tokens: int = 0) -> int:
    """Bytes of the table of each running request's tokens; outside SGLang's KV budget."""
    return running * (context + REQUEST_SLACK + draft_tokens) * ENTRY


def pool_overhead(v: Variant, tokens: int) -> int:
    """Bytes that the buffers and indices of both pools take beyond their tokens."""
    buffers = 2 * (v.layers.sliding + v.layers.full)
    return buffers * ROUNDING + INDEX * tokens


# CUDA graphs: a fixed part, and the logits of the largest batch in bf16 and twice in float32.
# Measured: 0.88 GiB (E2B) to 1.32 GiB (31B) for batches of up to 256.
GRAPHS_FIXED = 700 * MIB
LOGIT_BYTES = 10


def cuda_graphs(v: Variant, largest_batch: int) -> int:
    """Bytes of the CUDA graphs for batches of up to ``largest_batch``: an upper estimate."""
    return GRAPHS_FIXED + largest_batch * v.vocab_size * LOGIT_BYTES


# Beside the buffers of the largest: what a graph takes for each layer. On servers that had the GPU
# to themselves it was 505 (31B) to 908 KiB (26B-A4B), what they loaded on the way included
# (benchmarks/results/kernels/prefill-graphs-memory-H200.json).
GRAPH_OF_A_LAYER = 960 * 1024


def prefill_graphs(v: Variant, sizes: Sequence[int], tp: int) -> int:
    """Bytes of the CUDA graphs that prefill batches of ``sizes`` tokens: an upper estimate."""
    layers = v.layers.sliding + v.layers.full
    return activations(v, max(sizes), tp) + len(sizes) * layers * GRAPH_OF_A_LAYER


# Left over for image encoders, libraries and fragmentation.
SPARE = 2560 * MIB
ACTIVATION_ROOM = 1.5  # buffers that live at the same time, over those of one layer


def activations(v: Variant, tokens: int, tp: int) -> int:
    """Bytes of the buffers of one layer for a prefill chunk of ``tokens``: an estimate."""
    heads = max(v.attention_heads * v.head_dim.full, v.attention_heads * v.head_dim.sliding)
    inner = 3 * v.intermediate_size * (2 if v.double_wide_mlp else 1)
    experts = (
        v.experts.top_k * (3 * v.experts.intermediate_size + v.hidden_size) if v.experts else 0
    )
    values = (3 * heads + inner + experts) // tp + 6 * v.hidden_size
    return int(ACTIVATION_ROOM * tokens * values * 2)


class Stages(NamedTuple):
    """Bytes of one GPU, in the order they are taken; ``free`` is what is left for activations."""

    total: int
    others: int  # the driver and other processes
    runtime: int  # CUDA context, kernels, communicators
    weights: int
    draft: int
    full_kv: int
    sliding_kv: int
    tables: int  # request table, indices of the pools
    graphs: int

    @property
    def free(self) -> int:
        """Left for activations, image encoders and masks."""
        return self.total - sum(self[1:])
