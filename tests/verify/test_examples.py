"""The examples run, against a server that asks for a key."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
from pathlib import Path

import pytest

from gemma4ctl.endpoint.address import Endpoint
from gemma4ctl.errors import UsageError
from gemma4ctl.verify.examples import write_examples
from gemma4ctl.verify.run import Options
from tests.verify.server import Sglang, serving
from tests.waiting import PATIENCE_S

KEY = "s3cret-key"
OPTIONS = Options(timeout_s=PATIENCE_S)
SAID = {  # by the Python example
    "chat": "Paris\n",
    "image": "red\n",
    "audio": "A beeping tone.\n",
    "thinking_stream": "17 times 20 is 340 and 17 times 3 is 51.\n--- answer ---\n391\n",
    "tools_stream": "get_weather {'city': 'Paris', 'unit': 'celsius'}\n",
}


def written(sglang: Sglang, folder: Path, *, force: bool = False) -> list[str]:
    with serving(sglang) as url:
        return [p.name for p in write_examples(Endpoint(url, KEY), OPTIONS, folder, force=force)]


def test_every_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GEMMA4CTL_API_KEY", KEY)
    monkeypatch.setenv("no_proxy", "*")
    with serving(Sglang(key=KEY)) as url:
        files = write_examples(Endpoint(url, KEY), OPTIONS, tmp_path / "new")
        said = {}
        for file in files:
            if file.suffix == ".py":  # in this process, which has imported openai
                runpy.run_path(str(file), run_name="__main__")
                said[file.stem] = capsys.readouterr().out
            elif file.suffix == ".sh":
                done = subprocess.run(["sh", file], capture_output=True, text=True, check=True)
                _check_raw(file, done.stdout)
                assert not done.stderr
    assert said == SAID
    assert not any(KEY.encode() in file.read_bytes() for file in files)


def _check_raw(file: Path, answer: str) -> None:
    if "stream" in file.name:
        assert "[DONE]" in answer
    else:
        assert json.loads(answer)["object"] == "chat.completion"


def test_only_what_is_served_has_examples(tmp_path: Path) -> None:
    plain = Sglang(model="google/gemma-4-31B-it", server_args={"tool_call_parser": None})
    assert written(plain, tmp_path) == [
        "chat.py", "chat.sh", "image.py", "image.sh", "image.png",
        "thinking_stream.py", "thinking_stream.sh",
    ]  # fmt: skip


def test_no_example_sends_audio_to_a_variant_that_is_not_known(tmp_path: Path) -> None:
    names = written(Sglang(model="my-gemma"), tmp_path)
    assert "image.py" in names
    assert "audio.py" not in names


def test_shell_examples_can_be_executed(tmp_path: Path) -> None:
    written(Sglang(), tmp_path)
    assert os.access(tmp_path / "chat.sh", os.X_OK)
    assert not os.access(tmp_path / "chat.py", os.X_OK)


def test_our_files_are_written_again_and_others_kept(tmp_path: Path) -> None:
    written(Sglang(), tmp_path)
    assert len(written(Sglang(), tmp_path)) == 12
    (tmp_path / "image.png").write_bytes(b"my own")
    with pytest.raises(UsageError, match=r"image.png exists and was not written by gemma4ctl"):
        written(Sglang(), tmp_path)
    assert (tmp_path / "image.png").read_bytes() == b"my own"
    written(Sglang(), tmp_path, force=True)
    assert (tmp_path / "image.png").read_bytes().startswith(b"\x89PNG")


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be made"):
        written(Sglang(), tmp_path / "file" / "folder")


def test_odd_names_stay_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    odd = 'we`id`ird/$HOME-"quoted"\\n\'model'
    sglang = Sglang(model=odd)
    with serving(sglang) as url:
        write_examples(Endpoint(url), OPTIONS, tmp_path)
        runpy.run_path(str(tmp_path / "chat.py"), run_name="__main__")
        subprocess.run(["sh", "chat.sh"], cwd=tmp_path, check=True, capture_output=True)
    assert [request["model"] for request in sglang.requests] == [odd, odd]
