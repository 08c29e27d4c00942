"""``gemma4ctl tune`` from end to end: real processes, a fake ``sglang``, the captured H200."""

from __future__ import annotations

import json
import random
import re
import signal
import time
from collections.abc import Callable

import pytest

from .conftest import Host

Wait = Callable[[Callable[[], bool]], None]


def test_a_search_keeps_what_is_faster_and_survives_what_crashes(host: Host) -> None:
    running = host.tune("--budget", "0.17", "--json", own=("--scheduler-recv-interval", "1"))
    out, err = running.communicate(timeout=60)
    assert running.returncode == 0, err
    result = json.loads(out)
    assert result["improved"] and result["settings"] == {"triton_attention_num_kv_splits": "64"}
    assert result["verdict"]["gain"] > 0.15
    assert result["seconds"] <= 0.17 * 60
    assert [trial["state"] for trial in result["trials"][:3]] == ["measured", "measured", "failed"]
    assert result["trials"][2]["code"] == "out-of-memory-weights"
    assert "trial 1: attention KV splits 64" in err and host.left(5) == []
    table = host.home / ".config/gemma4ctl/profiles.yaml"
    assert result["profile"] == str(table)
    assert "triton_attention_num_kv_splits: 64" in table.read_text()
    assert json.loads((host.folder / "result.json").read_text())["improved"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_killed_at_any_time_nothing_is_left(
    host: Host, wait_for: Wait, number: signal.Signals
) -> None:
    running = host.tune("--budget", "1")
    wait_for(lambda: host.started)
    time.sleep(random.Random().uniform(0.0, 2.0))
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
    ("chunk", "code"), [("16384", "out-of-memory-weights"), ("4096", "out-of-memory-serving")]
)
def test_the_plan_itself_fails(host: Host, chunk: str, code: str) -> None:
    running = host.tune("--budget", "1", FAKE_WORDS=f"--chunked-prefill-size {chunk}")
    out, err = running.communicate(timeout=30)
    assert (running.returncode, out) == (6, "")
    assert "the plan itself could not be measured" in err and code in err


def test_the_host_is_not_ready(host: Host) -> None:
    (host.model / "config.json").rename(host.model / "config.json.old")
    assert host.tune().wait(20) == 2
    (host.model / "config.json.old").rename(host.model / "config.json")
    running = host.start("tune", "--model-path", str(host.model), "--runtime", "local")
    out, err = running.communicate(timeout=30)  # weights are to be loaded, and there are none
    assert (running.returncode, out) == (5, ""), err
    assert "not ready to launch" in err and not host.started


def test_the_budget_ends_a_measurement(host: Host) -> None:
    began = time.monotonic()
    running = host.tune("--budget", "0.06", FAKE_TOKEN_MS="2000")
    err = running.communicate(timeout=30)[1]
    assert running.returncode == 6 and "out-of-time" in err
    assert time.monotonic() - began < 12 and host.left(5) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--metric", "speed"), "unknown metric: speed"),
        (("--scenario", "text-c7"), "unknown scenario: text-c7"),
        (("--scenario", "text-c100"), "text-c100 has 100 requests at once"),
        (("--context-length", "10"), "does not fit in the context"),
        (("--resume",), "no search to resume"),
    ],
)
def test_usage(host: Host, words: tuple[str, ...], message: str) -> None:
    running = host.tune(*words)
    out, err = running.communicate(timeout=30)
    assert (running.returncode, out) == (2, "") and re.search(message, err), err
    assert not host.started
