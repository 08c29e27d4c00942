"""``serve`` in this process, on a recorded host: what the command line decides and prints."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gemma4ctl.hardware import detect as detection
from gemma4ctl.launch import supervise
from tests.hardware.recorded import access_to, recorded

from .conftest import Result

Cli = Callable[..., Result]
Host = Callable[[str], None]


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Host:
    """Puts the command line on a recorded host."""
    real = detection.detect

    def become(name: str) -> None:
        access = access_to(recorded(name), tmp_path / name)
        monkeypatch.setattr(detection, "detect", lambda *_: real({}, access))

    become("h100-mig")
    return become


@pytest.fixture
def words(host: Host, fake: Path, model: Path, port: int) -> tuple[str, ...]:
    return ("serve", "--model-path", str(model), "--port", str(port), "--runtime", "local")


def stop_when_ready(number: signal.Signals, monkeypatch: pytest.MonkeyPatch) -> None:
    text = supervise.ready_text

    def announce(*given: Any, **named: Any) -> str:
        os.kill(os.getpid(), number)
        return text(*given, **named)

    monkeypatch.setattr(supervise, "ready_text", announce)


AFTER = ("--", "--load-format", "dummy")


def test_ready_then_stopped(cli: Cli, words: tuple[str, ...], monkeypatch: Any) -> None:
    monkeypatch.setenv("GEMMA4CTL_API_KEY", "sk-0123456789")
    stop_when_ready(signal.SIGTERM, monkeypatch)
    result = cli(*words, "--json", *AFTER)
    assert result.code == 143, result.err
    assert result.json["status"] == "ready" and result.json["ending"] == "stopped"
    assert not list(Path(os.environ["HOME"], ".local/state/gemma4ctl").glob("*.yaml"))


def test_failed_start(cli: Cli, words: tuple[str, ...], monkeypatch: Any) -> None:
    monkeypatch.setenv("FAKE_WORDS", "--fake out-of-memory")
    result = cli(*words, "--json", *AFTER)
    assert result.code == 6 and result.json["status"] == "failed"
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_preflight_refuses(cli: Cli, words: tuple[str, ...]) -> None:
    cli(*words).refused(5, "weights")  # the folder has none, and they are to be loaded


def test_dry_run(cli: Cli, words: tuple[str, ...]) -> None:
    shown = cli(*words, "--dry-run", "--explain")
    assert shown.out.startswith("CUDA_VISIBLE_DEVICES=") and "asked for: port" in shown.err
    docker = ("serve", "-m", "E2B", "--runtime", "docker", "--dry-run")
    assert cli(*docker).out.startswith("docker run")
    assert cli(*docker, "--json").json["argv"][:2] == ["docker", "run"]


def test_a_container_instead_of_a_missing_sglang(
    cli: Cli, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gemma4ctl.launch.runtime.find_sglang", lambda _: None)
    monkeypatch.setattr("gemma4ctl.launch.runtime.choose_runtime.__kwdefaults__", {
        "find": lambda _: None, "docker_info": lambda: {"ServerVersion": "28"}})  # fmt: skip
    result = cli("serve", "-m", "E2B", "--dry-run")
    assert result.out.startswith("docker run")
    assert "running in a container: SGLang is not installed" in result.err


def test_stored_plans(cli: Cli, host: Host, fake: Path, model: Path, monkeypatch: Any) -> None:
    with monkeypatch.context() as patched:
        patched.setenv("GEMMA4CTL_API_KEY", "sk-0123456789")
        assert cli("suggest", "-m", str(model), "-o", "plan.json").code == 0
    assert cli("suggest", "-m", "E2B", "--gpus", "2,", "-o", "keyless.json").code == 0
    cli("serve", "--plan", "plan.json").refused(2, "GEMMA4CTL_API_KEY")
    Path("key").write_text("sk-0123456789\n")
    stored = cli("docker", "--plan", "plan.json", "--api-key-file", "key")
    assert stored.code == 0 and "sk-0123456789" not in stored.out + stored.err
    assert cli("docker", "--plan", "keyless.json").code == 0
    host("gb200")
    cli("docker", "--plan", "keyless.json").refused(3, "does not fit this host any more")


def test_a_plan_for_a_simulated_node_needs_as_many_gpus(cli: Cli, host: Host, fake: Path) -> None:
    assert cli("suggest", "-m", "31B", "--hardware", "H200", "-o", "plan.json").code == 0
    cli("serve", "--plan", "plan.json").refused(3, "H200")
    assert cli("docker", "--plan", "plan.json").code == 0


def test_no_gpu(cli: Cli, host: Host, fake: Path) -> None:
    host("empty")
    cli("serve", "-m", "E2B").refused(5, "no GPU found")


def test_signals_outside_the_supervisor() -> None:
    from gemma4ctl.launch.signals import exit_on_signals

    with pytest.raises(SystemExit) as caught, exit_on_signals():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(1)
    assert caught.value.code == 143
