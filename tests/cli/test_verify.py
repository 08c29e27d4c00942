"""``verify`` through the command line, and behind ``serve --verify``."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.verify.server import Sglang, serving

KEY = "sk-test-0123456789abcdef"


@pytest.fixture
def url() -> Iterator[str]:
    with serving(Sglang()) as url:
        yield url


def test_a_good_endpoint_passes(cli: Any, url: str) -> None:
    result = cli("verify", "--url", url, "--only", "health,chat", "--only", "stream")
    assert result.code == 0
    assert [line.split()[:2] for line in result.out.splitlines()] == [
        ["pass", "health"],
        ["pass", "chat"],
        ["pass", "stream"],
    ]
    assert f"verified {url}: 3 passed, 0 failed, 0 skipped" in result.err


def test_a_fault_is_status_4_and_comes_with_its_request(cli: Any) -> None:
    with serving(Sglang(frozenset({"tool-json"}))) as url:
        result = cli("verify", "--url", url, "--only", "chat,tools")
    assert result.code == 4
    lines = result.out.splitlines()
    assert "fail  tools" in lines[1] and "tool-json:" in lines[1]
    assert lines[-1].startswith("      curl -sS http://127.0.0.1:")
    kept = Path(os.environ["HOME"]) / ".local/state/gemma4ctl/verify/tools.json"
    assert lines[-1].endswith(f" -d @{kept}")
    assert json.loads(kept.read_text())["tools"]


@pytest.mark.parametrize("columns", [80, 120])
def test_lines_fit_the_terminal(cli: Any, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    with serving(Sglang(random_weights=True)) as url:
        result = cli("verify", "--url", url, "--only", "model,chat,image")
    assert max(map(len, result.out.splitlines())) in range(columns - 25, columns + 1)
    assert "\x1b" not in result.out
    assert "random weights leave open: " in result.err


def test_colour_is_for_terminals_that_want_it(url: str) -> None:
    import pty

    def shown(**more: str) -> str:
        parent, child = pty.openpty()
        words = [sys.executable, "-m", "gemma4ctl", "verify", "--url", url, "--only", "health"]
        environment = {**os.environ, "TERM": "xterm-256color", **more}
        process = subprocess.Popen(words, env=environment, stdout=child, stderr=subprocess.PIPE)
        process.communicate()
        os.close(child)
        text = os.read(parent, 10_000).decode()
        os.close(parent)
        return text

    assert "\x1b[32mpass\x1b[0m" in shown()
    assert "\x1b" not in shown(NO_COLOR="1")


def test_json_is_one_object_and_says_the_same(cli: Any, url: str) -> None:
    result = cli("verify", "--url", url, "--only", "chat", "--json")
    assert result.code == 0
    document = result.json
    assert (document["schema_version"], document["url"]) == (1, url)
    assert [check["name"] for check in document["checks"]] == ["chat"]


def test_junit_is_written_beside_it_and_written_again(cli: Any, url: str) -> None:
    for _ in range(2):
        result = cli("verify", "--url", url, "--only", "chat", "--junit", "verify.xml")
        assert result.code == 0
    suite = ElementTree.parse("verify.xml").find("testsuite")
    assert suite is not None and suite.get("tests") == "1"
    Path("mine.xml").write_text("<other/>")
    result = cli("verify", "--url", url, "--only", "chat", "--junit", "mine.xml")
    assert result.code == 2
    assert Path("mine.xml").read_text() == "<other/>"


def test_the_key_comes_from_the_environment_or_a_file_and_is_not_shown(
    cli: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("key").write_text(KEY)
    with serving(Sglang(frozenset({"wrong-usage"}), key=KEY)) as url:
        with_file = cli("verify", "--url", url, "--api-key-file", "key", "--only", "chat")
        monkeypatch.setenv("GEMMA4CTL_API_KEY", KEY)
        monkeypatch.setenv("GEMMA4CTL_URL", url)
        with_variable = cli("verify", "--only", "chat")
        monkeypatch.delenv("GEMMA4CTL_API_KEY")
        without = cli("verify", "--only", "model")
    assert (with_file.code, with_variable.code, without.code) == (4, 4, 4)
    assert "wrong-usage" in with_file.out and "wrong-usage" in with_variable.out
    assert "$GEMMA4CTL_API_KEY" in with_file.out
    assert "key-refused" in without.out
    assert KEY not in with_file.out + with_file.err + with_variable.out


def test_the_checks_are_listed_without_an_endpoint(cli: Any) -> None:
    result = cli("verify", "--list")
    assert result.code == 0
    assert "tools-several    two streamed calls have indices of their own" in result.out


def test_examples_are_written_and_named(cli: Any, url: str) -> None:
    result = cli("verify", "--url", url, "--examples", "examples")
    assert result.code == 0
    assert "examples/chat.py" in result.out.splitlines()
    assert all(Path(line).is_file() for line in result.out.splitlines())


def test_nothing_there_is_status_1(cli: Any, port: int) -> None:
    where = f"http://127.0.0.1:{port}"
    cli("verify", "--url", where, "--timeout", "2").refused(1, "nothing answers", "Connection")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--only", "chatt"], "there is no check 'chatt'"),
        (["--timeout", "0"], "--timeout does not take 0"),
        (["--timeout", "soon"], "--timeout"),
        (["--timeout", "nan"], "--timeout does not take nan"),
        (["--url", "ftp://x"], "no URL of an endpoint"),
        (["--api-key-file", "nowhere"], "cannot be read"),
        (["--junit", "none/verify.xml"], "Cannot write none/verify.xml"),
    ],
)
def test_bad_options_are_status_2(cli: Any, words: list[str], said: str) -> None:
    cli("verify", *words).refused(2, said)


def test_without_the_client_the_extra_is_named(
    cli: Any, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    cli("verify", "--url", url).refused(2, "pip install 'gemma4ctl[client]'")


def test_serve_shows_what_verify_finds_stays_and_can_be_stopped(
    on_host: Any, fake: Path, model: Path, port: int, tmp_path: Path
) -> None:
    """The fake server answers /health and nothing else: most checks fail."""
    own = ["--model-path", str(model), "--port", str(port), "--runtime", "local"]
    process = on_host(
        "h100-mig", "serve", *own, "--verify", "--json", "--", "--load-format", "dummy"
    )
    said: list[str] = []
    for line in process.stderr:
        said.append(line)
        if line.startswith("verified "):
            break
    assert any(line.startswith("pass  health") for line in said), said
    assert any("fail  model" in line and "no JSON object" in line for line in said)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate()
    assert process.returncode == 143
    result = json.loads(out)
    assert result["status"] == "ready"
    checks = {check["name"]: check for check in result["verification"]["checks"]}
    assert checks["health"]["status"] == "pass"
    assert checks["chat"]["fault"] == "server-error"
