"""``gemma4ctl tune`` from end to end: real processes, a fake ``sglang``, the captured H200."""

from __future__ import annotations

import json
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

from gemma4ctl.errors import UsageError
from gemma4ctl.tuning import document, search, session, trial, userfile
from gemma4ctl.tuning.space import PLAN, Dimension

from .conftest import Host

Wait = Callable[[Callable[[], bool]], None]

SPLITS = Dimension("splits", ("triton_attention_num_kv_splits",), (PLAN, "64"))
CHUNK = Dimension("chunk", ("chunked_prefill_size",), (PLAN, "16384"))  # dies at its start


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits for what a GPU needs and a stand-in does not."""
    monkeypatch.setattr(trial, "LAST_WORDS_S", 0.5)
    monkeypatch.setattr(trial, "PAUSE_S", 0.1)


@pytest.fixture
def small_space(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few things to try, and no repetition, which test_search is about."""
    monkeypatch.setattr(session, "space", lambda *_: (SPLITS, CHUNK))
    monkeypatch.setattr(search, "REPEATS", 0)


@pytest.mark.usefixtures("small_space")
def test_what_is_faster_is_kept_and_a_crash_ends_nothing(host: Host) -> None:
    found = host.run(*host.search("--budget", "2", "--json"))
    assert found.exit_code == 0, found.stderr
    result = json.loads(found.stdout)
    schema = Path(document.__file__).with_name("tune.schema.json")
    jsonschema.validate(result, json.loads(schema.read_text(encoding="utf-8")))
    assert result["improved"] and result["settings"] == {"triton_attention_num_kv_splits": "64"}
    assert result["verdict"]["gain"] > 0.15
    assert "--triton-attention-num-kv-splits" in result["command"]["argv"]
    assert [trial["state"] for trial in result["trials"][:3]] == ["measured", "measured", "failed"]
    assert result["trials"][2]["code"] == "out-of-memory-weights"
    assert "trial 1: attention KV splits 64" in found.stderr and host.left(5) == []
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
def test_killed_at_any_time_nothing_is_left(
    host: Host, wait_for: Wait, number: signal.Signals
) -> None:
    running = host.tune("--budget", "1")
    wait_for(lambda: host.started)
    time.sleep(random.Random().uniform(0.0, 1.2))
    running.send_signal(number)
    running.communicate(timeout=20)
    stopped = {signal.SIGTERM: (143, 130), signal.SIGINT: (130,), signal.SIGKILL: (-9,)}
    assert running.returncode in stopped[number]
    assert host.left() == []
    before, folder = len(host.servers), host.folder
    if number != signal.SIGKILL:
        return
    again = host.tune("--budget", "0.06", "--resume", "--json", "--no-write")
    out, err = again.communicate(timeout=60)
    assert again.returncode == 0, err
    result = json.loads(out)
    assert result["folder"] == str(folder) and result["profile"] is None
    assert len(host.servers) > before and host.left(5) == []


@pytest.mark.parametrize(
    ("chunk", "code"),
    [
        ("16384", "out-of-memory-weights"),  # at the start
        ("4096", "out-of-memory-serving"),  # at the first request
        ("2048", "requests-failed"),  # which answers with an error
    ],
)
def test_the_plan_itself_fails(host: Host, chunk: str, code: str) -> None:
    host.environment["FAKE_WORDS"] = f"--chunked-prefill-size {chunk}"
    found = host.run(*host.search())
    assert (found.exit_code, found.stdout) == (6, "")
    assert "the plan itself could not be measured" in found.stderr and code in found.stderr
    assert host.left(5) == []


def test_the_host_is_not_ready(host: Host) -> None:
    words = ("tune", "--model-path", str(host.model), "--runtime", "local")
    found = host.run(*words)  # weights are to be loaded, and there are none
    assert (found.exit_code, found.stdout) == (5, "")
    assert "not ready to launch" in found.stderr and not host.started


def test_the_budget_ends_a_measurement(host: Host) -> None:
    host.environment["FAKE_TOKEN_MS"] = "2000"
    began = time.monotonic()
    found = host.run(*host.search("--budget", "0.03"))
    assert found.exit_code == 6 and "out-of-time" in found.stderr
    assert time.monotonic() - began < 12 and host.left(5) == []


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


@pytest.mark.usefixtures("small_space")
def test_a_result_that_cannot_be_kept_is_shown(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise UsageError("Cannot write it")

    monkeypatch.setattr(userfile, "add", full)
    found = host.run(*host.search("--budget", "0.2", "--json"))
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
