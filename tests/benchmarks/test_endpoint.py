"""Recording answers of a server, and keeping them: nothing of the machine stays in them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.verify.replay import CAPTURED, REPORTS
from tests.verify.server import Sglang, serving

Script = Callable[[str], ModuleType]
UUID = "GPU-01234567-89ab-cdef-0123-456789abcdef"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("/tmp/models/E2B-it", "/redacted/E2B-it"),
        ("asked for /srv/a/12B-it, found /x/y", "asked for /redacted/12B-it, found /redacted/y"),
        ('{"model":"/m/n/E2B-it"}', '{"model":"/redacted/E2B-it"}'),
        ("--model-path=/m/n/E2B-it", "--model-path=/redacted/E2B-it"),
        ("/redacted/E2B-it", "/redacted/E2B-it"),
        ("/v1/models: HTTP 500 from http://127.0.0.1:1/v1/chat/completions", None),
        ("12 tokens/s of text/event-stream, google/gemma-4-E2B-it, /health", None),
        (UUID, "GPU-redacted"),
        ("MIG-01234567-89ab-cdef-0123-456789abcdef", "MIG-redacted"),
        ("http://10.1.2.3:80, 0.0.0.0 and 127.0.0.1", "http://redacted:80, 0.0.0.0 and 127.0.0.1"),
        ("driver 580.159.04", None),
        ("on node7 as node70", "on redacted as node70"),
    ],
)
def test_what_is_of_one_machine_is_taken_out(script: Script, text: str, left: str | None) -> None:
    redacted = script("redaction").redacted({"a": [text, 1, None]}, ["node7"])
    assert redacted == {"a": [text if left is None else left, 1, None]}


def test_an_answer_is_recorded_without_the_machine(
    script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = script("verify_endpoint")
    monkeypatch.setattr(recorder, "machine_names", lambda: ["node7"])
    sglang = Sglang(random_weights=True, key="hunter22secret", model="/srv/node7/E2B-it")
    monkeypatch.setenv("GEMMA4CTL_API_KEY", "hunter22secret")
    with serving(sglang) as url:
        monkeypatch.setattr(sys, "argv", ["verify_endpoint.py", url, str(tmp_path / "verify")])
        assert recorder.main() == 0
    texts = {file.name: file.read_text() for file in (tmp_path / "verify").glob("*.json")}
    assert {"chat.json", "audio.json", "thinking-off-stream.json", "verify.json"} <= texts.keys()
    for name, text in texts.items():
        assert "/srv" not in text and "node7" not in text and "hunter22" not in text, name
    assert json.loads(texts["chat.json"])["request"]["model"] == "/redacted/E2B-it"


def test_a_request_without_an_answer_is_asked_again(script: Script, tmp_path: Path) -> None:
    recorder, answers = script("verify_endpoint"), iter([None, 200, 200])
    file = tmp_path / "chat.json"

    def ask() -> Any:
        return recorder.http.Answer(next(answers), b"{}", "application/json", None, 0.1)

    for _ in range(3):
        recorder.record(file, {}, ask)
    assert json.loads(file.read_text())["status"] == 200
    assert next(answers) == 200  # what is there is kept


@pytest.mark.parametrize(
    ("model", "limits", "names"),
    [
        ("google/gemma-4-E2B-it", None, ["audio"]),
        ("google/gemma-4-26B-A4B-it", None, []),
        ("google/gemma-4-26B-A4B-it", {"audio": 0}, ["audio-refused"]),
        ("my-model", None, []),
    ],
)
def test_only_what_survives_it_is_asked_about_a_sound(
    script: Script,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    model: str,
    limits: dict[str, int] | None,
    names: list[str],
) -> None:
    recorder = script("verify_endpoint")
    monkeypatch.setattr(recorder, "verify", lambda *_: 0)
    arguments = {"limit_mm_data_per_request": limits}
    sglang = Sglang(random_weights=True, model=model, server_args=arguments)
    with serving(sglang) as url:
        monkeypatch.setattr(sys, "argv", ["verify_endpoint.py", url, str(tmp_path)])
        recorder.main()
    assert [file.stem for file in tmp_path.glob("audio*.json")] == names


def test_a_recorded_server_is_kept(
    script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = tmp_path / "out" / "E2B"
    (recorded / "verify").mkdir(parents=True)
    (recorded / "eval").mkdir()
    state = {"port": 1, "host": "::", "memory_usage": {}}
    info = {"port": 1, "host": "127.0.0.1", "internal_states": [state]}
    answers = {
        "chat": {"status": 200, "body": f"{UUID} /a/b"},
        "audio": {"status": None, "body": ""},
        "server_info": {"status": 200, "body": json.dumps(info)},
        "metrics": {
            "status": 200,
            "body": 'sglang:time_to_first_token_seconds_bucket{le="1"} 1\n'
            'sglang:other_bucket{le="1"} 1\nsglang:other_count 1\n',
        },
        "verify": {"kind": "gemma4ctl-verify", "model": "/a/b"},
    }
    for name, answer in answers.items():
        (recorded / "verify" / f"{name}.json").write_text(json.dumps(answer))
    (recorded / "server.serve.json").write_text(json.dumps({"env": {"GPUS": UUID}}))
    (recorded / "eval" / "few_shot.json").write_text(json.dumps({"dataset": "/a/b/q.jsonl"}))
    words = ["keep_endpoint.py", str(recorded), "--driver", "1.2", "--root", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", words)
    assert script("keep_endpoint").main() == 0

    def kept(path: str) -> Any:
        return json.loads((tmp_path / path).read_text())

    fixtures = "tests/verify/captured/E2B"
    names = {file.stem for file in (tmp_path / fixtures).iterdir()}
    assert names == {"chat", "server_info", "metrics"}
    assert kept(f"{fixtures}/chat.json")["body"] == "GPU-redacted /redacted/b"
    states = json.loads(kept(f"{fixtures}/server_info.json")["body"])["internal_states"]
    assert states == [{"host": "::", "memory_usage": {}}]
    assert "other_bucket" not in kept(f"{fixtures}/metrics.json")["body"]
    assert kept(f"{fixtures}/metrics.json")["body"].count("\n") == 2
    results = "benchmarks/results/endpoint/E2B"
    assert kept(f"{results}/server.json") == {"driver": "1.2", "env": {"GPUS": "GPU-redacted"}}
    assert kept(f"{results}/verify.json")["model"] == "/redacted/b"
    assert kept(f"{results}/eval/few_shot.json") == {"dataset": "/redacted/q.jsonl"}


def test_what_is_kept_is_redacted(script: Script) -> None:
    redacted = script("redaction").redacted
    kept = (REPORTS.parent / kind for kind in ("endpoint", "bench", "tune", "kernels"))
    files = [file for folder in (CAPTURED, *kept) for file in folder.rglob("*.json")]
    assert len(files) > 50
    for file in files:
        document = json.loads(file.read_text(encoding="utf-8"))
        assert redacted(document) == document, file
