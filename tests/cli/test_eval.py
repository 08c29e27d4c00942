"""``gemma4ctl eval`` against a small server, with stand-in evaluators."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import jsonschema
import pytest

from gemma4ctl import evaluation
from gemma4ctl.cli.commands.eval import _Shown
from gemma4ctl.evaluation.process import Progress
from tests.cli.conftest import ROOT, Result
from tests.endpoint.server import fixed, serving
from tests.evaluation.conftest import Standins
from tests.waiting import PATIENCE_S, wait_until

Cli = Callable[..., Result]


@pytest.fixture
def url() -> Iterator[str]:
    models = {"object": "list", "data": [{"id": "google/gemma-4-12B-it", "object": "model"}]}
    with serving({"/v1/models": fixed(json.dumps(models).encode())}) as address:
        yield address


@pytest.fixture
def standins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Standins:
    made = Standins(tmp_path)
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    made.says("gsm8k", "sgl_eval.txt")
    made.scores()
    return made


@pytest.fixture
def run(cli: Cli, url: str, standins: Standins) -> Cli:
    return lambda *words: cli("eval", *words, "--url", url, "--python", sys.executable)


def test_scores_stand_beside_the_published_ones(run: Cli) -> None:
    result = run("gsm8k")
    assert result.code == 0, result.err
    lines = [line.split() for line in result.out.splitlines()]
    assert lines[2][:7] == ["gsm8k", "0.750", "0.598", "to", "0.858", "40", "sgl-eval"]
    assert ["0.960", "sgl-eval", "H200", "1,319", "cookbook-2026-06", "-0.210,", "lower"] in lines
    assert result.out.count("another evaluator") == 2
    assert "gsm8k with sgl-eval 0.1.3" in result.err
    assert "gsm8k: 40 of 40, 75.0% right so far" in result.err


def test_json(run: Cli, tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    result = run("gsm8k", "--json", "--limit", "40", "-o", str(file))
    assert result.code == 0, result.err
    schema = Path(evaluation.__file__).with_name("eval.schema.json")
    jsonschema.validate(result.json, json.loads(schema.read_text(encoding="utf-8")))
    assert result.json["kind"] == "gemma4ctl-eval"
    assert result.json["scores"][0]["score"] == 0.75
    assert result.json == json.loads(file.read_text())
    assert "the first 40 questions" in result.err


def test_a_gate(run: Cli) -> None:
    assert run("gsm8k", "--gate").code == 4
    assert run("gsm8k", "--gate", "--model", "E2B").code == 0  # nothing comparable is published


def test_a_task_without_a_score(run: Cli, standins: Standins) -> None:
    (standins.outputs / "metrics.json").unlink()
    standins.says("mmlu", "sgl_eval_offline.txt")
    result = run("gsm8k", "mmlu")
    assert result.code == 4
    assert result.out == ""
    assert "gsm8k: sgl-eval ended with status 0 and no score [evaluator-failed]" in result.err
    assert "  | Metrics: " in result.err
    assert "mmlu: the questions of mmlu cannot be downloaded" in result.err


def test_what_evaluators_write_can_be_kept(run: Cli) -> None:
    run("gsm8k", "--keep", "kept")
    assert [path.name for path in Path("kept/gsm8k").iterdir() if path.is_file()] == ["output.log"]


def test_a_model_of_another_kind(cli: Cli, standins: Standins) -> None:
    models = fixed(b'{"data": [{"id": "llama"}]}')
    with serving({"/v1/models": models}) as url:
        result = cli("eval", "gsm8k", "--url", url, "--python", sys.executable, "--json")
    assert result.code == 0
    assert (result.json["variant"], result.json["scores"][0]["published"]) == (None, [])
    assert "not known to be a variant of Gemma 4" in result.err


def test_no_endpoint(cli: Cli) -> None:
    result = cli("eval", "gsm8k", "--url", "http://127.0.0.1:1")
    result.refused(1, "nothing answers at http://127.0.0.1:1", "Connection refused")


@pytest.mark.parametrize(
    ("words", "texts"),
    [
        (["mmmu", "--harness", "sgl-eval"], ["sgl-eval does not score mmmu"]),
        (["gsm8k", "mmlu", "--dataset", "q"], ["--dataset is for one task", "gsm8k and mmlu"]),
        (["gsm8k", "--dataset", "q"], ["there is no file q"]),
        (["gsm8k", "--model", "E9B"], ["E9B"]),
        (["gsm8k", "--output", "none/r.json"], ["Cannot write none/r.json"]),
        (["gsm8k", "--keep", "/dev/null/kept"], ["folder /dev/null/kept cannot be made"]),
    ],
)
def test_refusals(run: Cli, words: list[str], texts: list[str]) -> None:
    run(*words).refused(2, *texts)


def test_a_dataset_is_handed_on_with_its_whole_path(run: Cli, standins: Standins) -> None:
    Path("q.jsonl").touch()
    assert run("gsm8k", "--dataset", "q.jsonl").code == 0
    assert standins.called["given"][-2:] == ["--from-dataset", str(Path("q.jsonl").resolve())]


def test_no_evaluator(cli: Cli, url: str) -> None:
    result = cli("eval", "gsm8k", "--url", url, "--python", "/nonexistent/python")
    result.refused(2, "no evaluator for gsm8k is installed", "pip install sgl-eval")


def runs(pid: int) -> bool:
    """Whether a process runs: one that waits for its parent to ask after it does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_signal_ends_the_evaluator_too(
    url: str, standins: Standins, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    monkeypatch.setenv("FAKE_STALL", "1")
    words = ["-m", "gemma4ctl", "eval", "gsm8k", "--url", url, "--python", sys.executable]
    environment = {**os.environ, "PYTHONPATH": f"{os.environ['PYTHONPATH']}:{ROOT}"}
    with subprocess.Popen(
        [sys.executable, *words], env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        while "right so far" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(number)
        try:
            process.communicate(timeout=PATIENCE_S)
        finally:
            process.kill()
    assert process.returncode == (-9 if number is signal.SIGKILL else 128 + number)
    wait_until(lambda: not runs(standins.called["pid"]))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_on_a_terminal_stays_in_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    shown = _Shown()
    shown("gsm8k", Progress(1, 2, 0.5))
    shown("gsm8k", Progress(2, 2, 1.0))
    assert screen.getvalue() == (
        "\rgsm8k: 1 of 2, 50.0% right so far\x1b[K\rgsm8k: 2 of 2, 100.0% right so far\x1b[K\n"
    )


def test_progress_in_a_file_is_told_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.StringIO()
    monkeypatch.setattr("sys.stderr", file)
    shown = _Shown()
    for done in (1, 2, 3):
        shown("mmlu", Progress(done, 3))
    assert file.getvalue() == "mmlu: 1 of 3\nmmlu: 3 of 3\n"
