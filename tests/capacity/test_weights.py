"""The weights of a rank, against published sizes and what SGLang reported after loading."""

from __future__ import annotations

from itertools import pairwise

import pytest

from gemma4ctl.capacity import weights
from gemma4ctl.capacity.weights import (
    BYTES_PER_PARAMETER,
    Shards,
    bytes_per_parameter,
    file_bytes,
    loaded,
)
from gemma4ctl.profiles.lookup import checkpoint
from gemma4ctl.profiles.table import Checkpoint, Variant
from tests.planning.hosts import table

from .recorded import Start, starts

GIB = 1 << 30
VARIANTS = tuple(table().variants)


def parameters(v: Variant) -> int:
    """Parameters of an unsharded model as SGLang builds it."""
    matrices = (*weights._towers(v, 1), *weights._language_model(v, Shards()))
    return sum(m.parameters for m in matrices if m.kind != "rotary")


@pytest.mark.parametrize("name", VARIANTS)
def test_every_published_parameter_is_built(name: str) -> None:
    """But for scalars and the norms of the encoders; K of ``k_eq_v`` layers is built twice."""
    v = table().variants[name]
    doubled = v.layers.full * v.hidden_size * v.kv_heads.full * v.head_dim.full if v.k_eq_v else 0
    assert parameters(v) == pytest.approx(v.parameters + doubled, rel=3e-5)


@pytest.mark.parametrize("start", starts(), ids=lambda s: f"{s.platform}-{s.name}")
def test_as_sglang_reported(start: Start) -> None:
    v, bf16 = table().variants[start.variant], checkpoint(table(), start.variant, "bf16")
    found = loaded(v, bf16, Shards(start.tp), draft=start.mtp)
    assert found.weights / GIB == pytest.approx(start.reported["weights_gb"], abs=0.03)
    assert found.draft / GIB == pytest.approx(start.reported.get("draft_gb", 0), abs=0.03)


def test_weights_shrink_with_tp_but_not_to_a_share() -> None:
    for row in table().checkpoints:
        v = table().variants[row.variant]
        sizes = [loaded(v, row, Shards(tp)).weights for tp in (1, 2, 4, 8)]
        assert sizes == sorted(sizes, reverse=True)
        assert all(2 * small > large for large, small in pairwise(sizes)), row.id


def test_replicated_kv_heads_stop_shrinking() -> None:
    """31B has 4 KV heads in full layers: beyond TP 4 each rank keeps one."""
    v, bf16 = table().variants["31B"], checkpoint(table(), "31B", "bf16")
    assert v.kv_heads.full == 4
    sixteen, eight = (loaded(v, bf16, Shards(tp)).weights for tp in (16, 8))
    embeddings = v.vocab_size * v.hidden_size * 2
    assert sixteen - embeddings > (eight - embeddings) / 2


def test_pipeline_stages_hold_their_layers() -> None:
    v, bf16 = table().variants["31B"], checkpoint(table(), "31B", "bf16")
    whole, half = (loaded(v, bf16, Shards(1, pp)).weights for pp in (1, 2))
    everywhere = 2 * (v.vocab_size * v.hidden_size + v.vision.parameters)
    assert half - everywhere == pytest.approx((whole - everywhere) / 2, rel=0.03)


@pytest.mark.parametrize("row", table().checkpoints, ids=lambda row: row.id)
def test_quantized_files_have_their_published_size(row: Checkpoint) -> None:
    v = table().variants[row.variant]
    each = bytes_per_parameter(v, row)
    assert 0.25 <= each <= 2
    size = file_bytes(v, row)
    if row.weight_bytes is not None:
        assert size == row.weight_bytes
    else:
        assert each == BYTES_PER_PARAMETER[row.format]
        assert each * 0.9 * v.parameters < size < 2 * v.parameters
    # What is loaded is no less than the files, but for K that bf16 layers load twice and tables.
    assert size < loaded(v, row, Shards()).weights < size + 2.5 * GIB


def test_nvfp4_leaves_attention_alone() -> None:
    v = table().variants["31B"]
    nvfp4, w4a16 = checkpoint(table(), "31B", "nvfp4"), checkpoint(table(), "31B", "qat-w4a16")
    assert loaded(v, nvfp4, Shards()).weights > loaded(v, w4a16, Shards()).weights
