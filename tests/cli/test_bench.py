"""``gemma4ctl bench`` against a stand-in of SGLang: figures, files, refusals, interruption."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from gemma4ctl.bench import document
from gemma4ctl.rendering.planfile import plan_hash, read_plan
from tests.bench import streams
from tests.bench.results import result, scenario
from tests.cli.conftest import ROOT, Result
from tests.endpoint.server import Answers, Handler, fixed, serving
from tests.waiting import PATIENCE_S

Cli = Callable[..., Result]
OWN = ("--input-tokens", "5", "--output-tokens", "4", "--requests", "3")


def sglang(**changes: Answers) -> dict[str, Answers]:
    """The answers of a server of E2B."""

    def answer(content: Any) -> Answers:
        return fixed(json.dumps(content).encode())

    return {
        "/v1/models": answer({"data": [{"id": "gemma"}]}),
        "/model_info": answer(
            {"model_path": "google/gemma-4-E2B-it", "has_image_understanding": False}
        ),
        "/server_info": answer({"version": "0.5.16", "tp_size": 1, "api_key": "secret"}),
        "/generate": streams.streaming(streams.generating),
        "/v1/chat/completions": streams.streaming(lambda handler: list(streams.chatting(handler))),
        "/flush_cache": fixed(b""),
        **{f"/{name}": change for name, change in changes.items()},
    }


@pytest.fixture(autouse=True)
def no_sglang(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No SGLang on PATH or beside the interpreter."""
    monkeypatch.setattr("gemma4ctl.launch.install.find_sglang", lambda environment: None)
    monkeypatch.setattr("gemma4ctl.bench.sglang_serving.find_sglang", lambda environment: None)


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with serving(sglang()) as found:
        monkeypatch.setenv("GEMMA4CTL_URL", found)
        yield found


def test_a_load_of_ones_own(cli: Cli, url: str) -> None:
    done = cli("bench", *OWN, "--concurrency", "2", "--repeat", "2", "-o", "r.json")
    assert done.code == 0, done.err
    shown = [" ".join(line.split()) for line in done.out.splitlines()]
    assert shown[0] == "E2B with SGLang 0.5.16, times in ms"
    assert shown[1:4] == ["random-5-4-c2", "runs 2", "failed requests 0"]
    assert "random-5-4-c2, run 2 of 2: 3 requests, 2 at a time" in done.err
    assert "gemma4ctl: results: r.json" in done.err
    found = document.read(Path("r.json"))
    assert (found.complete, found.url, found.served.variant) == (True, url, "E2B")
    assert found.served.server_args == {"tp_size": 1}
    (own,) = found.scenarios
    assert [run.summary.output_tokens for run in own.runs] == [12, 12]
    assert (own.client, own.api, own.notes) == ("builtin", "generate", ())


def test_json_on_stdout(cli: Cli, url: str) -> None:
    done = cli("bench", *OWN, "--json", "--client", "builtin")
    assert done.code == 0, done.err
    assert (done.json["kind"], done.json["complete"]) == ("gemma4ctl-bench", True)
    assert done.json["scenarios"][0]["runs"][0]["summary"]["completed"] == 3


def test_the_published_scenarios_that_the_endpoint_takes(
    cli: Cli, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gemma4ctl.bench import workload

    small = {
        name: each.model_copy(update={"requests": 2, "output_tokens": 3})
        for name, each in workload.SCENARIOS.items()
    }
    monkeypatch.setattr("gemma4ctl.bench.choice.SCENARIOS", small)
    done = cli("bench", "--json", "--warmup", "0")
    assert [each["workload"]["name"] for each in done.json["scenarios"]] == ["text-c1", "text-c100"]
    done = cli("bench", "--json", "--scenario", "image-c1", "--warmup", "1")
    (found,) = done.json["scenarios"]
    assert (found["api"], found["runs"][0]["summary"]["completed"]) == ("chat", 2)


def test_failed_requests(cli: Cli) -> None:
    answered: list[int] = []

    def sometimes(handler: Handler) -> None:
        answered.append(1)
        answer = fixed(b"busy", status=503) if len(answered) == 2 else streams.streaming(
            streams.generating
        )  # fmt: skip
        answer(handler)

    with serving(sglang(generate=sometimes)) as url:
        done = cli("bench", "--url", url, *OWN, "--warmup", "1", "-o", "r.json")
    assert done.code == 4
    assert "2 done in" in done.err
    assert "1 http-503" in done.err
    (own,) = document.read(Path("r.json")).scenarios
    assert own.runs[0].summary.failed == {"http-503": 1}


def test_a_cache_that_is_not_emptied_is_noted(cli: Cli, url: str) -> None:
    done = cli("bench", *OWN, "--no-flush")
    assert "note: the server's prefix cache was not emptied before" in done.err


def test_the_plan_is_kept_with_the_results(cli: Cli, url: str) -> None:
    assert cli("suggest", "--model", "E2B", "--hardware", "H200", "-o", "plan.json").code == 0
    done = cli("bench", *OWN, "--plan", "plan.json", "--json")
    assert done.json["plan"]["plan_hash"] == plan_hash(read_plan(Path("plan.json")))
    assert done.json["plan"]["argv"][:2] == ["sglang", "serve"]
    assert done.json["hardware"]["platform"] == "H200"


@pytest.mark.parametrize(
    ("words", "texts"),
    [
        (("--scenario", "text-c7"), ["no scenario 'text-c7'", "image-c100"]),
        (("--scenario", "text-c1", *OWN), ["lengths of your own"]),
        (("--concurrency", "4"), ["--input-tokens N and --output-tokens N"]),
        ((*OWN, "--plan", "none.json"), ["none.json cannot be read"]),
        ((*OWN, "--url", "ftp://host"), ["ftp"]),
        ((*OWN, "--client", "sglang"), ["SGLang's client needs SGLang here", "--client builtin"]),
        ((*OWN, "--dataset", "none.json"), ["'none.json' does not exist"]),
        ((*OWN, "-o", "none/r.json"), ["Cannot write none/r.json"]),
        ((*OWN, "--html", "none/r.html"), ["Cannot write none/r.html"]),
        ((*OWN, "--plot", "none/r.svg"), ["Cannot write none/r.svg"]),
        ((*OWN, "--plot", "r.gif"), ["r.gif is no drawing", ".svg or .png"]),
    ],
)
def test_refusals(cli: Cli, url: str, words: tuple[str, ...], texts: list[str]) -> None:
    cli("bench", *words).refused(2, *texts)


def test_a_file_of_somebody_else_is_kept(cli: Cli, url: str) -> None:
    Path("r.json").write_text("mine")
    cli("bench", *OWN, "-o", "r.json").refused(2, "was not written by gemma4ctl")
    assert Path("r.json").read_text() == "mine"
    assert cli("bench", *OWN, "-o", "r.json", "--force").code == 0


def test_no_endpoint(cli: Cli) -> None:
    with serving({}) as url:
        cli("bench", "--url", url, *OWN).refused(4, f"no model is served at {url}", "HTTP 404")
    cli("bench", "--url", url, *OWN).refused(1, f"nothing answers at {url}", "Connection refused")


def test_earlier_results_stay_until_there_are_new_ones(
    cli: Cli, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli("bench", *OWN, "-o", "r.json").code == 0
    before = Path("r.json").read_bytes()
    with serving(sglang(generate=fixed(b"no memory", status=500))) as broken:
        assert cli("bench", "--url", broken, *OWN, "-o", "r.json").code == 4
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    words = ("bench", *OWN, "--client", "builtin", "-o", "r.json")
    cli(*words).refused(2, "pip install 'gemma4ctl[client]'")
    assert Path("r.json").read_bytes() == before


def test_a_drawing_that_cannot_be_made_is_known_before(
    cli: Cli, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    cli("bench", *OWN, "--plot", "r.svg").refused(2, "pip install 'gemma4ctl[plot]'")


def test_an_endpoint_that_answers_no_request(cli: Cli) -> None:
    with serving(sglang(generate=fixed(b"no memory", status=500))) as url:
        done = cli("bench", "--url", url, *OWN)
    assert (done.code, done.out) == (4, "")
    assert "http-500: no memory" in done.err
    assert f"gemma4ctl verify --url {url}" in done.err


def test_ctrl_c_keeps_the_results_so_far(surroundings: Path) -> None:
    requests, ended = count(1), threading.Event()

    def only_some(handler: Handler) -> None:
        if next(requests) > 20:
            ended.wait(PATIENCE_S)
        streams.streaming(streams.generating)(handler)

    with serving(sglang(generate=only_some)) as url:
        words = ["bench", "--url", url, *OWN, "--requests", "50", "-o", "r.json"]
        running = subprocess.Popen(
            [sys.executable, "-m", "gemma4ctl", *words],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert running.stderr is not None
        said = [running.stderr.readline() for _ in range(2)]
        running.send_signal(signal.SIGINT)
        _, err = running.communicate()
        ended.set()
    assert said == ["random-5-4-c1, run 1 of 1: 50 requests, 1 at a time\n", "  13 of 50\n"]
    assert running.returncode == 130
    assert "gemma4ctl: interrupted; results so far: r.json" in err
    assert "Traceback" not in err
    found = document.read(Path("r.json"))
    (run,) = found.scenarios[0].runs
    assert (found.complete, run.interrupted) == (False, True)
    assert run.summary.completed + run.summary.failed["cancelled"] == 50
    assert 13 <= run.summary.completed <= 20
    assert found.command == ("gemma4ctl", *words)


def test_being_ended_ends_sglangs_client_too(
    cli: Cli, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexec sleep 1000\n")
    python.chmod(0o755)
    monkeypatch.setattr("gemma4ctl.bench.sglang_serving.python_with_sglang", lambda: str(python))
    wait, waited_for = subprocess.Popen.communicate, []

    def ended_while_waiting(process: Any, *given: Any, **named: Any) -> Any:
        waited_for.append(process.pid)
        os.kill(os.getpid(), signal.SIGTERM)
        return wait(process, *given, **named)

    monkeypatch.setattr(subprocess.Popen, "communicate", ended_while_waiting)
    done = cli("bench", *OWN, "-o", "r.json")
    assert done.code == 130
    assert "gemma4ctl: interrupted\n" in done.err
    assert not Path("r.json").exists()
    assert not [pid for pid in waited_for if Path(f"/proc/{pid}").exists()] and waited_for


def test_compare(cli: Cli) -> None:
    document.write(result(scenario(1.0, 1.01)), Path("old.json"))
    document.write(result(scenario(2.0, 2.01)), Path("new.json"))
    done = cli("bench", "compare", "old.json", "new.json")
    assert (done.code, done.err) == (0, "")
    assert "text-c1" in done.out
    worse = cli("bench", "compare", "old.json", "new.json", "--fail-below", "0.97")
    assert worse.code == 4
    assert "text-c1: output_throughput is 0.50" in worse.err
    assert cli("bench", "compare", "new.json", "old.json", "--fail-below", "0.97").code == 0
    found = cli("bench", "compare", "old.json", "new.json", "--json").json
    assert found["kind"] == "gemma4ctl-bench-comparison"
    cli("bench", "compare", "old.json", "none.json").refused(2, "none.json cannot be read")


def test_reference(cli: Cli) -> None:
    document.write(result(scenario(1.0)), Path("r.json"))
    done = cli("bench", "reference", "r.json", "--platform", "H200")
    assert done.code == 0
    assert done.out.startswith("text-c1, published in cookbook-2026-04")
    found = cli("bench", "reference", "r.json", "--platform", "H200", "--json").json
    assert (found["variant"], found["platform"]) == ("E2B", "H200")


def test_report(cli: Cli) -> None:
    document.write(result(scenario(1.0)), Path("r.json"))
    done = cli("bench", "report", "r.json", "--html", "r.html", "--plot", "r.svg")
    assert (done.code, done.out) == (0, "")
    assert "E2B" in Path("r.html").read_text()
    assert "<svg" in Path("r.svg").read_text()
    cli("bench", "report", "r.json").refused(2, "--plot FILE or --html FILE")


def test_a_report_of_a_new_measurement(cli: Cli, url: str) -> None:
    assert cli("bench", *OWN, "--html", "r.html").code == 0
    assert "random-5-4-c1" in Path("r.html").read_text()
