"""``serve`` through the command line: real processes, a fake ``sglang``, a recorded host."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gemma4ctl.launch.processes import descendants
from tests.waiting import wait_until

HOST = "h100-mig"
KEY = "sk-test-0123456789abcdef"
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def serve(on_host: Start, fake: Path, model: Path, port: int) -> Start:
    """Starts ``gemma4ctl serve`` of a model without weights."""

    def start(*words: str) -> subprocess.Popen[str]:
        own = ["--model-path", str(model), "--port", str(port), "--runtime", "local"]
        extra = ["--", "--load-format", "dummy"]
        return on_host(HOST, "serve", *own, *words, *extra)

    return start


def logs(home: Path) -> list[Path]:
    return list((home / ".local/state/gemma4ctl/logs").glob("*.log"))


def is_ready(home: Path) -> bool:
    return any("fired up" in path.read_text() for path in logs(home))


@pytest.fixture
def home() -> Path:
    return Path(os.environ["HOME"])


def test_ready_then_sigterm(serve: Start, home: Path, port: int) -> None:
    process = serve("--json")
    assert process.stderr is not None
    ready = next(line for line in process.stderr if line.startswith("ready after"))
    assert f"http://127.0.0.1:{port}/v1" in ready
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate()
    assert process.returncode == 143, err
    result = json.loads(out)
    assert result["status"] == "ready"
    assert result["ending"] == "stopped"
    assert result["exit_status"] == 143
    assert result["variant"] == "E2B"
    assert result["sglang_version"] == "0.5.16"
    assert result["reported"]["full_layer_tokens"] == 1000


def test_a_failed_start(serve: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_WORDS", "--fake out-of-memory")
    out, err = serve("--json").communicate()
    result = json.loads(out)
    assert (result["status"], result["exit_status"]) == ("failed", 6)
    assert result["diagnosis"]["remedy"]
    assert "did not become ready" in err


def test_exit_status_of_a_failed_start(serve: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_WORDS", "--fake usage")
    process = serve()
    out, _ = process.communicate()
    assert (process.returncode, out) == (6, "")


def test_preflight_refuses(on_host: Start, fake: Path, port: int) -> None:
    words = ["-m", "E2B", "--model-path", "/no/such/folder", "--runtime", "local"]
    process = on_host(HOST, "serve", *words, "--port", str(port), "--json")
    out, err = process.communicate()
    assert (process.returncode, out) == (5, "")
    assert "/no/such/folder" in err


def test_no_gpu(on_host: Start, fake: Path) -> None:
    process = on_host("empty", "serve", "-m", "E2B")
    out, err = process.communicate()
    assert (process.returncode, out) == (5, "")
    assert "no GPU found" in err


def everything_written(folder: Path) -> str:
    texts = [path.read_bytes().decode("latin-1") for path in folder.rglob("*") if path.is_file()]
    return "\n".join(texts)


@pytest.mark.parametrize("source", ["environment", "file"])
def test_the_api_key_is_nowhere_but_in_its_file(
    source: str, serve: Start, home: Path, port: int, tmp_path: Path, monkeypatch: Any
) -> None:
    words = []
    if source == "environment":
        monkeypatch.setenv("GEMMA4CTL_API_KEY", KEY)
    else:
        (tmp_path / "key").write_text(KEY + "\n")
        words = ["--api-key-file", str(tmp_path / "key")]
    process = serve("--json", *words)
    wait_until(lambda: is_ready(home))
    [config] = (home / ".local/state/gemma4ctl").glob(f"serve-{port}-*.yaml")
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    assert stat.S_IMODE(config.parent.stat().st_mode) == 0o700
    assert config.read_text() == f'api-key: "{KEY}"\n'
    tree = [process.pid, *descendants(process.pid)]
    assert len(tree) >= 2
    lines = [Path(f"/proc/{pid}/cmdline").read_bytes().decode() for pid in tree]
    assert any(str(config) in line for line in lines)
    assert not any(KEY in line for line in lines)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate()
    assert process.returncode == 143, err
    assert not config.exists()
    (tmp_path / "key").unlink(missing_ok=True)
    [log] = logs(home)
    assert "api_key=***" in log.read_text()
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    assert KEY not in out + err + everything_written(tmp_path)


def test_a_stored_plan_takes_its_key_from_the_environment(
    on_host: Start, fake: Path, model: Path, home: Path, port: int, monkeypatch: Any
) -> None:
    words = ["--model-path", str(model), "--port", str(port), "-o", "plan.json"]
    with monkeypatch.context() as patched:
        patched.setenv("GEMMA4CTL_API_KEY", KEY)
        made = on_host(HOST, "suggest", *words, "--", "--load-format", "dummy")
        assert made.communicate() and made.returncode == 0
    assert KEY not in Path("plan.json").read_text()
    config = home / f".local/state/gemma4ctl/api-key-{port}.yaml"
    assert KEY in config.read_text()  # so that the printed command works

    keyless = on_host(HOST, "serve", "--plan", "plan.json", "--runtime", "local")
    out, err = keyless.communicate()
    assert (keyless.returncode, out) == (2, "")
    assert "GEMMA4CTL_API_KEY" in err

    monkeypatch.setenv("GEMMA4CTL_API_KEY", KEY)
    process = on_host(HOST, "serve", "--plan", "plan.json", "--runtime", "local")
    wait_until(lambda: is_ready(home))
    [own] = config.parent.glob(f"serve-{port}-*.yaml")
    lines = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in descendants(process.pid)]
    assert any(str(own).encode() in line for line in lines)
    assert not any(str(config).encode() in line for line in lines)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130, err
    assert not own.exists()
    assert KEY in config.read_text()  # still works


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_before_the_launch(
    number: signal.Signals, serve: Start, fake: Path, tmp_path: Path
) -> None:
    """The command waits for the slow ``sglang`` interpreter when the signal comes."""
    slow = fake / "python-slow"
    slow.write_text(f"#!/bin/sh\ntouch {tmp_path}/asked\nexec sleep 1000\n")
    slow.chmod(0o755)
    (fake / "sglang").write_text(f"#!{slow}\n")
    process = serve()
    wait_until((tmp_path / "asked").exists)
    process.send_signal(number)
    out, err = process.communicate()
    assert process.returncode in (128 + number, -number)
    assert out == "" and "Traceback" not in err


def test_dry_run_is_what_runs(serve: Start, tmp_path: Path, monkeypatch: Any) -> None:
    shown, err = serve("--dry-run").communicate()
    assert "load-format" in shown, err
    as_json = json.loads(serve("--dry-run", "--json").communicate()[0])
    monkeypatch.setenv("FAKE_DUMP", str(tmp_path / "shell.json"))
    subprocess.run(["sh", "-c", shown], check=True)
    by_shell = json.loads((tmp_path / "shell.json").read_text())
    monkeypatch.setenv("FAKE_DUMP", str(tmp_path / "serve.json"))
    process = serve()
    process.communicate()
    by_serve = json.loads((tmp_path / "serve.json").read_text())
    assert by_shell["argv"] == by_serve["argv"] == as_json["argv"][1:]
    for name, value in as_json["env"].items():
        assert by_shell["env"][name] == by_serve["env"][name] == value
    assert "CUDA_VISIBLE_DEVICES" in as_json["env"]


def test_docker_dry_run(on_host: Start, fake: Path, tmp_path: Path, monkeypatch: Any) -> None:
    words = ["serve", "-m", "E2B", "--runtime", "docker", "--dry-run"]
    shown, _ = on_host(HOST, *words).communicate()
    as_json = json.loads(on_host(HOST, *words, "--json").communicate()[0])
    monkeypatch.setenv("FAKE_DUMP", str(tmp_path / "dump.json"))
    subprocess.run(["sh", "-c", shown], check=True)
    assert as_json["runtime"] == "docker"
    assert json.loads((tmp_path / "dump.json").read_text())["argv"] == as_json["argv"][1:]
    assert "gemma4ctl-30000" in as_json["argv"]


def test_a_plan_for_another_host_is_refused(on_host: Start, fake: Path) -> None:
    made = on_host(HOST, "suggest", "-m", "E2B", "-o", "plan.json")
    assert made.communicate() and made.returncode == 0
    for words in (["serve"], ["docker"]):
        process = on_host("gb200", *words, "--plan", "plan.json")
        out, err = process.communicate()
        assert (process.returncode, out) == (3, ""), err
        assert "does not fit this host any more" in err
    same = on_host(HOST, "docker", "--plan", "plan.json")
    out, err = same.communicate()
    assert same.returncode == 0 and out.startswith("docker run"), err


def test_serve_does_not_simulate(on_host: Start, fake: Path) -> None:
    process = on_host(HOST, "serve", "-m", "E2B", "--hardware", "H200")
    assert process.communicate()[0] == ""
    assert process.returncode == 2


def test_explain_goes_to_stderr(serve: Start) -> None:
    out, err = serve("--dry-run", "--explain").communicate()
    assert "rule" in err and "rule" not in out
