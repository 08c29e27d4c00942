"""Both servers, one after the other; the servers themselves are stand-ins."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gemma4ctl import __version__
from gemma4ctl.certifying import certify, collect, images
from gemma4ctl.certifying.certify import require_fused
from gemma4ctl.certifying.prompts import CROWD_TOKENS
from gemma4ctl.certifying.receipt import Receipt
from gemma4ctl.endpoint.address import Endpoint
from gemma4ctl.errors import NoPlanError, ServerFailedError, UsageError
from gemma4ctl.hardware.simulate import simulate
from gemma4ctl.launch.logs import LITTLE_FREE, parse
from gemma4ctl.planning.engine import plan
from gemma4ctl.planning.plan import Plan
from gemma4ctl.planning.request import Request
from gemma4ctl.profiles.load import load
from gemma4ctl.rendering.planfile import read_plan
from gemma4ctl.settings import Settings
from gemma4ctl.tuning.server import How

from .answers import NOISE, answers

WHERE = Endpoint("http://127.0.0.1:1", None)


def planned(kernels: str, **fields: Any) -> Plan:
    request = Request(model="E2B", sglang_version="0.5.16", kernels=kernels, **fields)  # type: ignore[arg-type]
    return plan(request, simulate("H200", 1, load()), load())


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Servers that say which kernels they run; what they answer differs by noise."""
    started: list[str] = []

    class Server:
        seconds_to_ready = 60.0
        says: str | None = "fused, Gemma4ForConditionalGeneration, 35 layers"
        prefill: str | None = "graphs of 16, 64 tokens"
        share: float | None = 0.93

        def __init__(self, plan_file: Path, log: Path, how: How, seconds: float) -> None:
            started.append(str(read_plan(plan_file).value("kernels")))

        def __enter__(self) -> Server:
            return self

        def __exit__(self, *rest: object) -> None:
            started.append("ended")

        def report(self) -> dict[str, Any]:
            reported = {"kernels": self.says, "prefill_graphs": self.prefill}
            return {"reported": reported | {"mem_fraction_static": self.share}}

    seeds = iter(range(10))
    monkeypatch.setattr(certify, "Server", Server)
    monkeypatch.setattr(collect, "collect", lambda *asked: answers(next(seeds), noise=NOISE))
    monkeypatch.setattr(images, "collect", lambda endpoint, at_once: answers(9, prompts=3))
    monkeypatch.setattr(
        collect, "seconds_per_token", lambda endpoint: 0.004 if len(started) < 3 else 0.0025
    )
    return started


def test_stock_is_measured_then_fused(servers: list[str]) -> None:
    said: list[str] = []
    found = certify.certify(planned("stock"), planned("fused"), WHERE, how=How(), say=said.append)
    assert servers == ["stock", "ended", "fused", "ended"]
    assert all(one.passed for one in found.comparisons.values())
    prompts = {kind: one.prompts for kind, one in found.comparisons.items()}
    assert prompts == {"alone": 66 + 3, "together": 66 + 3, "crowd": 66}  # 3 about images
    assert (found.stock_seconds, found.fused_seconds) == (0.004, 0.0025)
    assert "fused: 2.50 ms per output token" in said


def test_a_plan_for_text_is_not_asked_about_images(servers: list[str]) -> None:
    plans = [planned(kernels, modalities=("text",)) for kernels in ("stock", "fused")]
    found = certify.certify(*plans, WHERE, how=How(), say=lambda text: None)
    assert found.comparisons["alone"].prompts == 66


@pytest.mark.parametrize("said", ["stock, Gemma 4: LoRA", "no graphs: LoRA", None])
@pytest.mark.parametrize(
    ("part", "wrong", "code"),
    [
        ("says", "kept SGLang's own model code", "kernels-not-active"),
        ("prefill", "prefilled without CUDA graphs", "prefill-graphs-not-active"),
    ],
)
def test_a_fused_server_that_left_a_part_out_is_no_proof(
    servers: list[str],
    monkeypatch: pytest.MonkeyPatch,
    part: str,
    wrong: str,
    code: str,
    said: str | None,
) -> None:
    monkeypatch.setattr(certify.Server, part, said)
    with pytest.raises(ServerFailedError, match=wrong) as caught:
        certify.certify(planned("stock"), planned("fused"), WHERE, how=How(), say=print)
    assert (caught.value.found, caught.value.code) == (said or "its log says nothing", code)


INSTALL = (f"install gemma4ctl {__version__} into the environment of SGLang",)
ELSE = (
    "remove the cause that the log names",
    "until then, serve with SGLang's own code: --kernels stock",
)


@pytest.mark.parametrize(
    ("part", "line", "remedies"),
    [
        ("says", None, INSTALL),
        ("says", "gemma4ctl 0.1.0 kernels: stock, Gemma 4: ImportError: no triton", ELSE),
        ("prefill", None, INSTALL),
        ("prefill", "gemma4ctl 0.1.0 prefill: no graphs: the norms are not fused", ELSE),
        (
            "prefill",
            "Disabling auto-selected prefill CUDA graph: only 3.21 GiB is free after model/KV/"
            "eager-buffer allocation; at least 4.00 GiB is required for capture.",
            (
                "leave more free: -- --mem-fraction-static 0.88, not 0.93 as in this run",
                "end what else holds memory of the GPU: nvidia-smi lists it",
            ),
        ),
    ],
)
def test_the_remedy_fits_what_the_log_says(
    servers: list[str],
    monkeypatch: pytest.MonkeyPatch,
    part: str,
    line: str | None,
    remedies: tuple[str, ...],
) -> None:
    reported = parse([line or ""]).reported
    said = reported.kernels if part == "says" else reported.prefill_graphs
    assert (said is None) == (line is None)
    monkeypatch.setattr(certify.Server, part, said)
    with pytest.raises(ServerFailedError) as caught:
        certify.certify(planned("stock"), planned("fused"), WHERE, how=How(), say=print)
    assert caught.value.remedies == remedies


def test_too_little_free_memory_is_said_where_the_share_is_not_known(
    servers: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certify.Server, "prefill", f"{LITTLE_FREE}3.21 GiB is free")
    monkeypatch.setattr(certify.Server, "share", None)
    with pytest.raises(ServerFailedError) as caught:
        certify.certify(planned("stock"), planned("fused"), WHERE, how=How(), say=print)
    assert caught.value.remedies[0] == "leave more free: a smaller --mem-fraction-static after --"


def test_a_plan_without_graphs_needs_none(
    servers: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certify.Server, "prefill", None)
    by_hand = planned("fused", extra_args=("--cuda-graph-backend-prefill", "disabled"))
    assert certify.certify(planned("stock"), by_hand, WHERE, how=How(), say=print)


def test_prompts_fit_the_context(servers: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    longest: list[int] = []

    def seen(endpoint: Endpoint, asked: Any, *how: int) -> Any:
        longest.append(max(map(len, asked)))
        return answers(noise=NOISE)

    monkeypatch.setattr(collect, "collect", seen)
    small = planned("stock", context_length=2048)
    certify.certify(small, planned("fused"), WHERE, how=How(), say=print)
    of_one = [2048 - collect.TIMED_TOKENS] * 2 + [CROWD_TOKENS] * 2
    assert longest == of_one * 2


def test_a_plan_without_the_kernels_has_nothing_to_certify() -> None:
    require_fused(planned("fused"))
    with pytest.raises(NoPlanError, match="nothing to certify") as caught:
        require_fused(planned("stock"))
    assert caught.value.found == "SGLang's own model code"


# The command.


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, servers: list[str]) -> Path:
    """A host with an H200 and the weights of E2B (constructed: a configuration and a few bytes)."""
    from gemma4ctl.cli import inputs
    from gemma4ctl.cli.inputs import Inputs

    folder = tmp_path / "E2B"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")

    def read(flags: dict[str, Any], extra: Any, purpose: str) -> Inputs:
        assert (flags["model_path"], purpose) == (str(folder), "serve")
        request = Request(
            model="E2B", sglang_version="0.5.16", kernels=flags["kernels"], extra_args=tuple(extra)
        )
        return Inputs(request, simulate("H200", 1, load()), load(), Settings({}, {}), None)

    monkeypatch.setattr(inputs, "read", read)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return folder


def run(*words: str) -> Any:
    from gemma4ctl.cli.commands.verify import app

    return CliRunner().invoke(app, list(words))


def test_the_command_writes_a_receipt(host: Path, tmp_path: Path) -> None:
    result = run("--kernels", "--model-path", str(host))
    assert result.exit_code == 0, result.output
    assert "1.60x" in result.stderr
    (file,) = (tmp_path / "state" / "gemma4ctl" / "kernels").glob("*.json")
    receipt = Receipt.model_validate_json(file.read_text())
    assert receipt.passed
    assert "128 at once: fused differs from stock by 0.0" in result.stderr
    assert receipt.key.release == "0.5.16"
    assert f"certified: {file}" in result.stderr


def test_a_difference_writes_none(
    host: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = [answers(number, noise=NOISE) for number in range(8)]
    far = iter([*right[:6], answers(3, mean=0.5), right[7]])
    monkeypatch.setattr(collect, "collect", lambda *rest: next(far))
    result = run("--kernels", "--model-path", str(host), "--json")
    assert result.exit_code == 4
    assert json.loads(result.stdout)["comparisons"]["crowd"]["problems"]
    assert "problem: crowd: mean difference 0.5" in result.stderr
    assert "problem: alone" not in result.stderr
    assert not (tmp_path / "state").exists()


def test_both_servers_get_the_flags_after_the_dashes(
    host: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Sequence[str]] = []
    certify_ = certify.certify

    def seen(stock: Plan, fused: Plan, *rest: Any, **more: Any) -> Any:
        given.extend(plan.extra_args for plan in (stock, fused))
        return certify_(stock, fused, *rest, **more)

    monkeypatch.setattr(certify, "certify", seen)
    result = run("--kernels", "--model-path", str(host), "--", "--grammar-backend", "none")
    assert result.exit_code == 0, result.output
    assert given == [("--grammar-backend", "none")] * 2


def test_flags_are_for_servers_that_it_starts() -> None:
    result = run("--", "--grammar-backend", "none")
    assert isinstance(result.exception, UsageError)
    assert result.exception.code == "flags-without-server"


def test_it_needs_the_weights() -> None:
    result = run("--kernels")
    assert result.exception is not None
    assert "--kernels needs the weights" in str(result.exception)
