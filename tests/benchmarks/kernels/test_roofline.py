"""Bytes of a decode step, and the table of measured steps."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from gemma4ctl.capacity import pools
from gemma4ctl.profiles.load import load

Script = Callable[[str], ModuleType]
VARIANTS = load().variants


@pytest.mark.parametrize("name", VARIANTS)
def test_stock_reads_every_weight_of_the_layers_but_idle_experts(script: Script, name: str) -> None:
    """Against the tensors that the capacity model counts, which agree with SGLang's memory."""
    from gemma4ctl.capacity.weights import Shards, _language_model

    v = VARIANTS[name]
    found = script("roofline").summed(v, 0)
    counted = sum(m.parameters for m in _language_model(v, Shards()) if m.kind != "rotary")
    layers = v.layers.sliding + v.layers.full
    counted -= v.vocab_size * layers * v.per_layer_input  # one row of the table is read
    counted -= layers * 4 * v.hidden_size  # norms
    if v.experts:
        idle = v.experts.count - v.experts.top_k
        counted -= layers * idle * 3 * v.experts.intermediate_size * v.hidden_size
    rows = (v.hidden_size + layers * v.per_layer_input) * 2
    assert found["all"].stock - rows == 2 * counted
    assert found["all"].least <= found["all"].stock


@pytest.mark.parametrize("name", VARIANTS)
def test_kv_within_the_window_is_what_the_pools_hold(script: Script, name: str) -> None:
    v, tokens = VARIANTS[name], 300
    cost = pools.cost(v, 1)
    assert script("roofline").summed(v, tokens)["KV"].stock == tokens * (cost.full + cost.sliding)


def test_kv_beyond_the_window_and_of_other_layers_is_not_read(script: Script) -> None:
    v, tokens = VARIANTS["E2B"], 10_000
    own_sliding, own_full = 28 - 16, 7 - 4
    least = own_full * tokens * 2 * 512 * 2 + own_sliding * 512 * 2 * 256 * 2
    assert script("roofline").summed(v, tokens)["KV"].least == least


def test_bytes_are_shown(script: Script, capsys: pytest.CaptureFixture[str]) -> None:
    script("roofline").main(["bytes", "--tokens", "100"])
    assert "E2B, 100 tokens of context" in capsys.readouterr().out


def test_measured_steps_beside_the_bound(
    script: Script, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = {
        "variant": "E2B", "gpu": "NVIDIA H200", "driver_version": "580.1", "date": "2026-01-02",
        "sglang_version": "0.5.16", "torch_version": "2", "triton_version": "3",
        "gemma4ctl_version": "0.1.0",
        "runs": {"stock": [4.0, 3.9, 4.3], "fused": [2.0], "stock-compile": []},
    }  # fmt: skip
    (tmp_path / "E2B-H200-tpot-c1.json").write_text(json.dumps(record))
    (tmp_path / "E4B-A100-tpot-c1.json").write_text(json.dumps({**record, "gpu": "NVIDIA A100"}))
    speed = {"gpu": "NVIDIA H200", "bytes_per_second": 4.0e12}
    (tmp_path / "bandwidth-H200.json").write_text(json.dumps(speed))
    result = tmp_path / "roofline.json"
    script("roofline").main(["table", str(tmp_path), str(result)])
    document = json.loads(result.read_text())
    assert document["command"][:2] == ["roofline.py", "table"]
    (row,) = document["rows"]
    assert (row["driver_version"], row["date"]) == ("580.1", "2026-01-02")
    bound = 1e3 * row["bytes_at_least"] / 4e12
    assert row["bound_ms"] == pytest.approx(bound, abs=1e-4)
    assert row["times_bound"]["stock"] == pytest.approx(4 / bound, abs=1e-3)
    assert row["step_ms"] == {"stock": 4.0, "fused": 2.0}
    said = capsys.readouterr()
    assert "E2B" in said.out and "no bandwidth of NVIDIA A100" in said.err


def test_no_table_without_results(script: Script, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"no \*-tpot-c1\.json"):
        script("roofline").main(["table", str(tmp_path), str(tmp_path / "roofline.json")])
    assert not list(tmp_path.iterdir())
