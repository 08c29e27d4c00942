"""``gemma4ctl tune`` from end to end: real processes, a fake ``sglang``, the captured H200."""

from __future__ import annotations

import json
import random
import signal
import time
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from gemma4ctl.bench.measure import Measured
from gemma4ctl.bench.summary import Distribution
from gemma4ctl.endpoint.address import Endpoint
from gemma4ctl.errors import UsageError
from gemma4ctl.tuning import document, search, session, trial, userfile
from tests.waiting import PATIENCE_S, wait_until

from .conftest import Host
from .small import shrink


@pytest.fixture(autouse=True)
def small_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few things to try; what is measured takes as long as the server says, on any machine."""
    for module, name in ((session, "space"), (search, "REPEATS"), (trial, "PAUSE_S")):
        monkeypatch.setattr(module, name, getattr(module, name))
    shrink()
    real = trial.measure

    def measure(endpoint: Endpoint, *given: Any, **named: Any) -> Measured:
        measured = real(endpoint, *given, **named)
        if measured.summary.failures:
            return measured
        with urllib.request.urlopen(f"{endpoint.url}/token_ms") as answer:
            tpot_ms = Distribution(mean=float(answer.read()))
        return replace(measured, summary=measured.summary.model_copy(update={"tpot_ms": tpot_ms}))

    monkeypatch.setattr(trial, "measure", measure)


def test_what_is_faster_is_kept_and_a_crash_ends_nothing(host: Host) -> None:
    found = host.run(*host.search("--json"))
    assert found.exit_code == 0, found.stderr
    result = json.loads(found.stdout)
    schema = Path(document.__file__).with_name("tune.schema.json")
    jsonschema.validate(result, json.loads(schema.read_text(encoding="utf-8")))
    assert result["improved"] and result["settings"] == {"triton_attention_num_kv_splits": "64"}
    assert result["verdict"]["gain"] > 0.15
    assert "--triton-attention-num-kv-splits" in result["command"]["argv"]
    assert [trial["state"] for trial in result["trials"][:3]] == ["measured", "measured", "failed"]
    assert result["trials"][2]["code"] == "out-of-memory-weights"
    assert "trial 1: attention KV splits 64" in found.stderr and not host.left
    table = host.home / ".config/gemma4ctl/profiles.yaml"
    assert result["profile"] == str(table)
    assert "triton_attention_num_kv_splits: 64" in table.read_text()
    assert json.loads((host.folder / "result.json").read_text())["improved"]
    suggested = host.run("suggest", "--model-path", str(host.model), "--json")
    argv = json.loads(suggested.stdout)["command"]["argv"]
    assert argv[argv.index("--triton-attention-num-kv-splits") + 1] == "64"


def test_nothing_to_keep_and_nothing_left_to_do(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "space", lambda *_: ())
    host.environment["GEMMA4CTL_API_KEY"] = "sk-0123456789"
    found = host.run(*host.search())
    assert found.exit_code == 0, found.stderr
    assert "nothing in the space searched beats the plan" in found.stdout
    assert not (host.home / ".config").exists()
    kept = "".join(path.read_text() for path in host.folder.iterdir())
    assert "sk-0123456789" not in kept
    assert host.run(*host.search("--resume")).exit_code == 0
    assert len(host.servers) == 1  # the plan was measured before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_killed_at_any_time_nothing_is_left(host: Host, number: signal.Signals) -> None:
    running = host.tune()
    wait_until(lambda: host.started)
    time.sleep(random.Random().uniform(0.0, 0.8))
    running.send_signal(number)
    running.communicate()
    stopped = {signal.SIGTERM: (143, 130), signal.SIGINT: (130,), signal.SIGKILL: (-9,)}
    assert running.returncode in stopped[number]
    wait_until(lambda: not host.left)
    before, folder = len(host.servers), host.folder
    if number != signal.SIGKILL:
        return
    again = host.tune("--resume", "--json", "--no-write")
    out, err = again.communicate()
    assert again.returncode == 0, err
    result = json.loads(out)
    assert result["folder"] == str(folder) and result["profile"] is None
    assert len(host.servers) > before and not host.left


@pytest.mark.parametrize(
    ("chunk", "code", "last_words_s"),
    [
        ("16384", "out-of-memory-weights", 0),  # at the start
        ("4096", "out-of-memory-serving", PATIENCE_S),  # at the first request
        ("2048", "requests-failed", 0.1),  # which answers with an error
    ],
)
def test_the_plan_itself_fails(
    host: Host, chunk: str, code: str, last_words_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "LAST_WORDS_S", last_words_s)
    host.environment["FAKE_WORDS"] = f"--chunked-prefill-size {chunk}"
    found = host.run(*host.search())
    assert (found.exit_code, found.stdout) == (6, "")
    assert "the plan itself could not be measured" in found.stderr and code in found.stderr
    assert not host.left


def test_the_host_is_not_ready(host: Host) -> None:
    words = ("tune", "--model-path", str(host.model), "--runtime", "local")
    found = host.run(*words)  # weights are to be loaded, and there are none
    assert (found.exit_code, found.stdout) == (5, "")
    assert "not ready to launch" in found.stderr and not host.started


def test_the_budget_ends_a_measurement(host: Host) -> None:
    host.environment["FAKE_TOKEN_MS"] = f"{10 * PATIENCE_S * 1000}"
    found = host.run(*host.search("--budget", "0.03"))
    assert found.exit_code == 6 and "out-of-time" in found.stderr
    assert not host.left


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--metric", "speed"), "unknown metric: speed"),
        (("--budget", "inf"), "--budget"),
        (("--scenario", "text-c7"), "unknown scenario: text-c7"),
        (("--scenario", "text-c100"), "text-c100 has 100 requests at once"),
        (("--context-length", "10"), "does not fit in the context"),
        (("--resume",), "no search to resume"),
    ],
)
def test_usage(host: Host, words: tuple[str, ...], message: str) -> None:
    found = host.run(*host.search(*words))
    assert (found.exit_code, found.stdout) == (2, "") and message in found.stderr
    assert not host.started


def test_what_cannot_be_kept_is_said_before_a_server_starts(host: Host) -> None:
    (host.home / ".config").write_text("in the way")
    found = host.run(*host.search())
    assert found.exit_code == 2 and "Cannot write" in found.stderr
    (host.home / ".local").write_text("in the way")
    found = host.run(*host.search("--no-write"))
    assert found.exit_code == 2 and "cannot be made" in found.stderr
    assert not host.started


def test_a_result_that_cannot_be_kept_is_shown(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise UsageError("Cannot write it")

    monkeypatch.setattr(userfile, "add", full)
    found = host.run(*host.search("--json"))
    assert found.exit_code == 2 and "Cannot write it" in found.stderr
    result = json.loads(found.stdout)
    assert result["improved"] and result["profile"] is None


def test_what_is_missing_is_said_before_a_server_starts(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "NEEDED", ("no_such_package",))
    found = host.run(*host.search())
    assert found.exit_code == 2 and "pip install 'gemma4ctl[tune]'" in found.stderr
    assert not host.started


def test_a_published_scenario_is_a_load(host: Host) -> None:
    words = ("tune", "--model-path", str(host.model), "--resume", "--scenario", "text-c1")
    found = host.run(*words, "--requests", "3")
    assert found.exit_code == 2 and "no search to resume" in found.stderr
