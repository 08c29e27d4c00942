"""SGLang's own client: how it is called, and what is read of its results."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from gemma4ctl.bench import sglang_serving
from gemma4ctl.bench.summary import Distribution
from gemma4ctl.bench.workload import SCENARIOS
from gemma4ctl.endpoint.address import Endpoint
from gemma4ctl.errors import ProblemsFoundError, UsageError
from tests.waiting import wait_until

STAND_IN = Path(__file__).with_name("bench_serving_output.py")
ENDPOINT = Endpoint("http://127.0.0.1:30000", "secret-key")
TEXT, IMAGES = SCENARIOS["text-c1"], SCENARIOS["image-c100"]


@pytest.fixture
def python(tmp_path: Path) -> str:
    """An "interpreter" that runs the stand-in whatever it is asked for."""
    path = tmp_path / "python"
    path.write_text(f'#!/bin/sh\nexec {sys.executable} {STAND_IN} "$@"\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def environment(**changes: str) -> dict[str, str]:
    return {**os.environ, **changes}


def test_the_arguments_of_the_published_text_runs() -> None:
    words = sglang_serving.command(
        ENDPOINT, SCENARIOS["text-c100"], "generate", "/v/python", Path("/r"), Path("/d")
    )
    assert words == (
        *("/v/python", "-m", "sglang.bench_serving"),
        *("--backend", "sglang"),
        *("--base-url", "http://127.0.0.1:30000"),
        *("--dataset-name", "random", "--dataset-path", "/d"),
        *("--random-input-len", "1024", "--random-output-len", "1024"),
        *("--random-range-ratio", "0"),
        *("--num-prompts", "1000", "--max-concurrency", "100"),
        *("--seed", "1", "--flush-cache", "--disable-tqdm"),
        *("--output-file", "/r"),
    )


def test_token_ids_instead_of_text(python: str) -> None:
    text, ids = (
        sglang_serving.measure(ENDPOINT, TEXT, api="generate", python=python, token_ids=wanted)
        for wanted in (False, True)
    )
    options = [word for word in ids.command if word.startswith("--")]
    options.remove("--tokenize-prompt")
    assert options == [word for word in text.command if word.startswith("--")]


def test_the_arguments_of_the_published_image_runs() -> None:
    words = sglang_serving.command(ENDPOINT, IMAGES, "chat", "python", Path("/r"), None)
    shown = " ".join(words)
    assert "--backend sglang-oai-chat" in shown
    assert "--dataset-name image --image-count 2 --image-resolution 720p" in shown
    assert "--random-input-len 128 --random-output-len 1024" in shown
    own = IMAGES.model_copy(update={"image_width": 640, "image_height": 360})
    words = sglang_serving.command(ENDPOINT, own, "chat", "python", Path("/r"), None)
    assert words[words.index("--image-resolution") + 1] == "360x640"


def test_a_run(python: str) -> None:
    found = sglang_serving.measure(ENDPOINT, TEXT, api="generate", python=python)
    summary = found.summary
    assert found.command[0] == python
    assert "secret-key" not in " ".join(found.command)
    assert (summary.seconds, summary.completed, summary.failed) == (17.5, 10, {})
    assert (summary.input_tokens, summary.output_tokens) == (6101, 4220)
    assert summary.total_throughput == pytest.approx(348.6 + 241.1)
    assert (summary.peak_output_throughput, summary.peak_concurrency) == (252.0, 2)
    assert summary.tpot_ms == Distribution(mean=1.0, median=2.0, std=3.0, p90=4.0, p99=5.0)
    assert "tpot_ms.max" not in summary.figures()


def test_it_imports_nothing_from_here(
    python: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    texts = [{"conversations": [{"value": f"{n} " * 1024}]} for n in range(TEXT.requests)]
    Path("texts.json").write_text(json.dumps(texts))
    found = sglang_serving.measure(
        ENDPOINT, TEXT, api="generate", python=python, dataset=Path("texts.json")
    )
    given = found.command[found.command.index("--dataset-path") + 1]
    assert given == str(tmp_path / "texts.json")
    with pytest.raises(ProblemsFoundError) as failed:
        sglang_serving.measure(
            ENDPOINT, TEXT, api="generate", python=python, environment=environment(FAIL="status")
        )
    (folder,) = re.findall(r"in (\S+gemma4ctl\S+)", str(failed.value))
    assert Path(folder).name.startswith("gemma4ctl-bench-")


def test_images_need_no_file_of_texts(python: str) -> None:
    found = sglang_serving.measure(ENDPOINT, IMAGES, api="chat", python=python)
    assert "--dataset-path" not in found.command


def test_the_key_goes_through_the_environment(python: str) -> None:
    with pytest.raises(ProblemsFoundError) as failed:
        sglang_serving.measure(
            ENDPOINT, TEXT, api="generate", python=python, environment=environment(FAIL="status")
        )
    assert "a key\n" in str(failed.value)  # says the stand-in
    assert "secret-key" not in str(failed.value)
    assert "Warmup failed" in str(failed.value)
    assert "ended with status 3" in str(failed.value)
    assert "--client builtin" in str(failed.value)


@pytest.mark.parametrize("fail", ["nothing", "field"])
def test_no_results(python: str, fail: str) -> None:
    with pytest.raises(ProblemsFoundError, match="left no results"):
        sglang_serving.measure(
            ENDPOINT, TEXT, api="generate", python=python, environment=environment(FAIL=fail)
        )


def test_lost_requests_are_counted(python: str) -> None:
    found = sglang_serving.measure(
        ENDPOINT, TEXT, api="generate", python=python, environment=environment(FAIL="one")
    )
    assert found.summary.failed == {"not-completed": 1}


def test_an_interpreter_that_is_not_there() -> None:
    with pytest.raises(UsageError, match="/none/python does not run"):
        sglang_serving.measure(ENDPOINT, TEXT, api="generate", python="/none/python")


def test_what_differs_from_the_published_procedure() -> None:
    generated, seeded, flushed = sglang_serving.notes(TEXT, None)
    assert "instead of ShareGPT" in generated
    assert sglang_serving.notes(TEXT, Path("/d")) == (seeded, flushed)
    assert sglang_serving.notes(IMAGES, None) == (seeded, flushed)
    own = TEXT.model_copy(update={"seed": 2})
    assert sglang_serving.notes(own, Path("/d")) == (flushed,)


def test_which_interpreter_has_sglang(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = {"PATH": str(tmp_path)}
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert sglang_serving.python_with_sglang(nowhere) is None
    command = tmp_path / "sglang"
    command.write_text(f"#!{tmp_path}/python\n")
    command.chmod(0o755)
    assert sglang_serving.python_with_sglang(nowhere) is None  # it cannot say that it has SGLang
    answer = tmp_path / "python"
    answer.write_text('#!/bin/sh\necho \'{"sglang": "0.5.16"}\'\n')
    answer.chmod(0o755)
    assert sglang_serving.python_with_sglang(nowhere) == str(answer)


def test_it_ends_with_us_however_we_end(tmp_path: Path) -> None:
    pid_file, python = tmp_path / "pid", tmp_path / "python"
    python.write_text(f"#!/bin/sh\necho $$ > {pid_file}\nexec sleep 1000\n")
    python.chmod(0o755)
    code = (
        "from gemma4ctl.bench.sglang_serving import *\n"
        "from gemma4ctl.bench.workload import SCENARIOS\n"
        f"measure(Endpoint('http://127.0.0.1:1'), SCENARIOS['image-c1'], api='chat', "
        f"python={str(python)!r})"
    )
    ours = subprocess.Popen([sys.executable, "-c", code])
    wait_until(lambda: pid_file.is_file() and pid_file.read_text().strip())
    ours.kill()
    ours.wait()
    theirs = Path(f"/proc/{pid_file.read_text().strip()}")
    wait_until(lambda: not theirs.exists() or "Z (zombie)" in (theirs / "status").read_text())


def test_texts_are_not_of_a_few_tokens() -> None:
    """Tokenizers cut numbers into digits: half of the words are letters, and of many kinds."""
    for each in sglang_serving.conversations(TEXT):
        words = each["conversations"][0]["value"].split()
        letters = [word for word in words if word.isalpha()]
        assert len(words) == TEXT.input_tokens and len(letters) == len(words) // 2
        assert len({word[:3] for word in letters}) > 0.9 * len(letters)
