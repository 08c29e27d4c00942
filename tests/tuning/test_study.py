"""The journal of a search: whatever ends the process, what was measured is kept."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gemma4ctl.errors import UsageError
from gemma4ctl.tuning.space import PLAN, Dimension
from gemma4ctl.tuning.study import JOURNAL, Study, Trial, latest_folder, new_folder

DIMENSIONS = (Dimension("a", ("x",), (PLAN, "1", "2")), Dimension("b", ("y",), (PLAN, "3")))
POINT = {"a": "1", "b": PLAN}


def study(folder: Path) -> Study:
    return Study(folder, DIMENSIONS, higher=True)


def measured(made: Study, point: dict[str, str], value: float) -> Trial:
    asked = made.begin(point)
    trial = Trial(
        number=asked.number, point=asked.point, state="measured", figures=(value,), log="l"
    )
    made.end(asked, trial, value)
    return trial


def test_trials_come_back_as_they_were(tmp_path: Path) -> None:
    first = study(tmp_path)
    kept = [measured(first, POINT, 5.0)]
    asked = first.begin({"a": "2", "b": "3"})
    failed = Trial(
        number=asked.number,
        point=asked.point,
        state="failed",
        code="oom",
        reason="why",
        remedy="less",
    )
    first.end(asked, failed, None)
    assert study(tmp_path).trials == [*kept, failed]


def test_a_trial_that_was_cut_off_is_marked(tmp_path: Path) -> None:
    study(tmp_path).begin(POINT)
    (interrupted,) = study(tmp_path).trials
    assert (interrupted.state, interrupted.point) == ("interrupted", POINT)


def test_the_sampler_proposes_points_of_the_space(tmp_path: Path) -> None:
    made = study(tmp_path)
    measured(made, POINT, 5.0)
    for _ in range(5):
        asked = made.begin(None)
        assert set(asked.point) == {"a", "b"} and asked.point["a"] in (PLAN, "1", "2")
        made.end(asked, Trial(number=asked.number, point=asked.point, state="infeasible"), None)


def test_a_journal_cut_at_any_byte_is_read(tmp_path: Path) -> None:
    made = study(tmp_path)
    for value in range(3):
        measured(made, POINT, float(value))
    journal = tmp_path / JOURNAL
    whole = journal.read_bytes()
    for length in random.Random(5).sample(range(len(whole)), 25):
        journal.write_bytes(whole[:length])
        again = study(tmp_path)
        assert len(again.trials) <= 3
        measured(again, POINT, 9.0)
        assert study(tmp_path).trials[-1].figures == (9.0,)


WRITER = """
import sys
from pathlib import Path
from tests.tuning.test_study import POINT, measured, study
made = study(Path(sys.argv[1]))
print("ready", flush=True)
while True:
    measured(made, POINT, 1.0)
    print("kept", flush=True)
"""


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_kill_9_at_any_time_loses_nothing_that_was_reported(tmp_path: Path, seed: int) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None and writer.stdout.readline() == "ready\n"
    time.sleep(random.Random(seed).uniform(0.02, 0.3))
    os.kill(writer.pid, signal.SIGKILL)
    reported = writer.communicate()[0].count("kept")
    kept = [trial for trial in study(tmp_path).trials if trial.state == "measured"]
    assert reported <= len(kept) <= reported + 1


def test_folders_are_found_by_their_question(tmp_path: Path) -> None:
    question = {"argv": ["sglang"], "space": {"a": (PLAN, "1")}}
    first = new_folder(tmp_path, "E2B", question)
    second = new_folder(tmp_path, "E2B", question)
    assert first != second and first.stat().st_mode & 0o777 == 0o700
    os.utime(first / "question.json", (1, 1))
    new_folder(tmp_path, "E2B", {"argv": ["other"]})
    (new_folder(tmp_path, "broken", {}) / "question.json").write_text("{")
    assert latest_folder(tmp_path, question) == second


def test_nothing_to_resume(tmp_path: Path) -> None:
    new_folder(tmp_path, "E2B", {"argv": ["other"]})
    with pytest.raises(UsageError, match="no search to resume") as caught:
        latest_folder(tmp_path, {"argv": []})
    assert "1 other searches" in str(caught.value)


def test_the_question_is_readable(tmp_path: Path) -> None:
    folder = new_folder(tmp_path, "E2B", {"argv": ["sglang"]})
    assert json.loads((folder / "question.json").read_text()) == {"argv": ["sglang"]}
