from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

import pytest

from gemma4ctl.evaluation.process import LOG, Progress, progress_of, run
from tests.evaluation.conftest import CAPTURED, Standins
from tests.waiting import PATIENCE_S


def replay(name: str, tmp_path: Path, **options):
    """Run a process that prints a recorded output."""
    path = str(CAPTURED / name)
    code = f"import sys; sys.stdout.buffer.write(open({path!r}, 'rb').read())"
    return run([sys.executable, "-c", code], {}, tmp_path, **options)


@pytest.mark.parametrize(
    ("name", "last"),
    [
        ("sgl_eval.txt", Progress(40, 40, 0.75)),
        ("run_eval.txt", Progress(40, 40)),
        ("few_shot.txt", Progress(45, 45)),
    ],
)
def test_progress_is_read_from_the_bars(name: str, last: Progress, tmp_path: Path) -> None:
    seen: list[Progress] = []
    finished = replay(name, tmp_path, on_progress=seen.append)
    assert finished.status == 0
    assert finished.progress == seen[-1] == last
    assert [each.done for each in seen] == sorted(each.done for each in seen)
    assert not any("%|" in line for line in finished.lines)


def test_all_that_is_printed_is_kept(tmp_path: Path) -> None:
    replay("run_eval.txt", tmp_path)
    assert (tmp_path / LOG).read_bytes() == (CAPTURED / "run_eval.txt").read_bytes()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("  0%|          | 0/1319 [00:00<?, ?it/s]", Progress(0, 1319)),
        (
            "gsm8k:  34%|###4      | 452/1319 [02:11<04:12, 3.4it/s, acc=81.42%]",
            Progress(452, 1319, 0.8142),
        ),
        ("Generating test split: 100%|#####| 5/5 [00:00<00:00]", None),
        ("Score: 0.750", None),
    ],
)
def test_bars(line: str, expected: Progress | None) -> None:
    found = progress_of(line)
    assert (found and (found.done, found.total)) == (expected and (expected.done, expected.total))
    if expected and expected.right:
        assert found and found.right == pytest.approx(expected.right)


def test_a_download_without_network_is_not_waited_for(tmp_path: Path) -> None:
    text = (CAPTURED / "run_eval_mmmu_offline.txt").read_text()
    code = f"import time; print({text!r}, flush=True); time.sleep(1000)"
    finished = run([sys.executable, "-c", code], {}, tmp_path)
    assert finished.status is None
    assert finished.stopped == "the questions cannot be downloaded"
    assert finished.seconds < PATIENCE_S


def test_a_task_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    code = "import time; print('begun', flush=True); time.sleep(1000)"
    finished = run([sys.executable, "-c", code], {}, tmp_path, timeout_s=0.5)
    assert (finished.status, finished.stopped) == (None, "it took longer than 0.5 s")
    assert finished.seconds < PATIENCE_S


def test_an_unfinished_last_line_is_kept(tmp_path: Path) -> None:
    assert run([sys.executable, "-c", "print('end', end='')"], {}, tmp_path).lines == ("end",)


def test_an_interruption_ends_the_evaluator(tmp_path: Path) -> None:
    code = """
import os, time
open("pid", "w").write(str(os.getpid()))
try:
    print(" 10%|#  | 1/10 [00:00", flush=True)
    time.sleep(1000)
except KeyboardInterrupt:
    open("asked", "w").close()
"""

    def interrupt(_: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run([sys.executable, "-c", code], {}, tmp_path, on_progress=interrupt)
    assert (tmp_path / "asked").exists()
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_a_signal_that_ends_no_read_is_handled(tmp_path: Path) -> None:
    """As one that comes just before the read: here another thread gets it, so no call ends."""
    code = """
import time
print(" 10%|#  | 1/10 [00:00", flush=True)
time.sleep(20)
open("slept", "w").close()
"""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    def tell() -> None:
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)

    def interrupt(_: Progress) -> None:
        threading.Timer(0.3, tell).start()

    before = signal.signal(signal.SIGUSR1, stop)
    try:
        with pytest.raises(KeyboardInterrupt):
            run([sys.executable, "-c", code], {}, tmp_path, on_progress=interrupt)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert not (tmp_path / "slept").exists()


def test_one_that_does_not_listen_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gemma4ctl.evaluation.process._PATIENCE_S", 0.2)
    code = (
        "import signal, time; signal.signal(2, signal.SIG_IGN); "
        "print(' 10%|#  | 1/10 [00:00', flush=True); time.sleep(1000)"
    )

    def interrupt(_: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run([sys.executable, "-c", code], {}, tmp_path, on_progress=interrupt)


def test_the_standins_are_what_the_interpreter_runs(standins: Standins, tmp_path: Path) -> None:
    standins.says("gsm8k", "run_eval.txt")
    argv = [sys.executable, "-m", "sglang.test.run_eval", "--eval-name", "gsm8k"]
    assert run(argv, standins.environment, tmp_path).status == 0
    assert standins.called["given"] == ["--eval-name", "gsm8k"]
