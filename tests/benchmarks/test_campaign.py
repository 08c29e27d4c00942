"""The jobs of the campaign, and their order on GPUs; the scripts themselves are stand-ins."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tests.benchmarks.conftest import BENCHMARKS

WRITE = "import os, sys; print(sys.argv[1:], os.environ.get('CUDA_VISIBLE_DEVICES'))"


@pytest.fixture
def campaign(script: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, on a machine with two simulated H200."""
    module = script("campaign")
    monkeypatch.setattr(module, "gpu_names", lambda: ["NVIDIA H200", "NVIDIA H200"])
    monkeypatch.setattr(module, "gpu_gib", lambda: [140.0, 140.0])
    return module


def run(campaign: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *words: str) -> Any:
    folders = [str(tmp_path / "models"), str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", ["campaign.py", "run", *folders, *words])
    campaign.main()
    return json.loads((tmp_path / "out" / "campaign.json").read_text())["jobs"]


def stand_ins(
    campaign: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *jobs: Any
) -> None:
    """Only ``jobs``, whose scripts print what they were given; ``fails.py`` fails."""
    (tmp_path / "does.py").write_text(WRITE)
    (tmp_path / "fails.py").write_text("raise SystemExit(3)")
    monkeypatch.setattr(campaign, "HERE", tmp_path)
    monkeypatch.setattr(campaign, "jobs", lambda: iter(jobs))


def said(tmp_path: Path, name: str) -> str:
    return (tmp_path / "out" / "log" / f"{name}.txt").read_text()


def test_jobs_have_names_of_their_own_and_scripts_that_are_there(campaign: ModuleType) -> None:
    found = list(campaign.jobs())
    assert len({job.name for job in found}) == len(found) > 60
    for job in found:
        script = job.words.split()[0]
        assert script == "-m" or (BENCHMARKS / script).is_file(), job
        assert job.gpus in (1, 2) and job.seconds > 0
        job.words.format(models="m", out="o", root="r", name="n", port=1, gpus=0, gib=0, left=1)


def test_a_job_gets_its_gpu_port_and_flags(
    campaign: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_ins(
        campaign, tmp_path, monkeypatch,
        campaign.Job("seen", 1, "does.py {out}/x --port {port}", gpus=2),
        campaign.Job("named", 1, "does.py --gpus {gpus}", gpus=2, flags=False),
    )  # fmt: skip
    found = run(campaign, tmp_path, monkeypatch, "--", "--load-format", "dummy")
    assert {name: job["status"] for name, job in found.items()} == {"seen": 0, "named": 0}
    out = tmp_path / "out"
    assert said(tmp_path, "seen") == (
        f"['{out}/x', '--port', '20000', '--', '--load-format', 'dummy'] 0,1\n"
    )
    assert said(tmp_path, "named").startswith("['--gpus', '0', '1'] ")


def test_jobs_share_a_gpu_where_its_memory_allows(campaign: ModuleType) -> None:
    args = SimpleNamespace(out=Path("out"), deadline=60, flags=[], only=[])
    found = campaign.Campaign(args, campaign.gpu_names(), campaign.gpu_gib())
    large, small, alone = (campaign.Job(str(gib), 1, "does.py", gib=gib) for gib in (90, 40, 0))
    assert found.fitting(small) == found.fitting(alone) == [0, 1]
    found.running = {large: [0]}
    assert (found.fitting(small), found.fitting(large), found.fitting(alone)) == ([0, 1], [1], [1])
    found.running = {large: [0], small: [0], alone: [1]}
    assert found.fitting(small) == []


def test_jobs_come_in_the_order_in_which_they_are_asked_for(campaign: ModuleType) -> None:
    names = [job.name for job in campaign.asked(["load-", "kernels-answers-E2B", "start-1"])]
    loads = ["load-12B", "load-26B-A4B", "load-31B"]
    assert names == [*loads, "kernels-answers-E2B", "start-12B"]
    assert campaign.asked([]) == list(campaign.jobs())


def test_what_failed_is_run_again_and_nothing_else(
    campaign: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad = campaign.Job("good", 1, "does.py"), campaign.Job("bad", 1, "fails.py")
    stand_ins(campaign, tmp_path, monkeypatch, good, bad)
    assert run(campaign, tmp_path, monkeypatch)["bad"]["status"] == 3
    shutil.copy(tmp_path / "does.py", tmp_path / "fails.py")
    found = run(campaign, tmp_path, monkeypatch)
    assert found["bad"]["status"] == 0
    assert said(tmp_path, "good").count("[") == 1


def test_a_job_is_not_begun_without_time_for_it_or_for_other_gpus(
    campaign: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_ins(
        campaign, tmp_path, monkeypatch,
        campaign.Job("long", 1_000, "does.py"),
        campaign.Job("four", 1, "does.py", gpus=4),
        campaign.Job("elsewhere", 1, "does.py", platforms=("H100",)),
        campaign.Job("not-asked", 1, "does.py"),
        campaign.Job("short", 1, "does.py"),
    )  # fmt: skip
    words = ("--deadline", "60", "--only", "long", "four", "elsewhere", "short")
    assert set(run(campaign, tmp_path, monkeypatch, *words)) == {"short"}


def test_a_job_that_goes_on_later_is_begun_for_a_part(
    campaign: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long, part = (campaign.Job(str(part), 1_000, "does.py", part=part) for part in (900, 10))
    stand_ins(campaign, tmp_path, monkeypatch, long, part)
    assert set(run(campaign, tmp_path, monkeypatch, "--deadline", "60")) == {"10"}


def test_what_a_job_leaves_running_is_ended(
    campaign: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_ins(campaign, tmp_path, monkeypatch, campaign.Job("leaves", 1, "leaves.py"))
    (tmp_path / "leaves.py").write_text(
        "import subprocess\n"
        "left = subprocess.Popen(['sleep', '600'], start_new_session=True)\n"
        "print(left.pid)\n"
    )
    run(campaign, tmp_path, monkeypatch)
    left = said(tmp_path, "leaves").strip()
    while not has_ended(left):  # the test's own time limit ends it otherwise
        time.sleep(0.05)


def test_a_job_of_that_name_in_another_campaign_goes_on(
    campaign: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_ins(campaign, tmp_path, monkeypatch, campaign.Job("same", 1, "does.py"))
    elsewhere = {campaign.MARK: str(tmp_path / "elsewhere" / "log" / "same.txt")}
    with subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE, env=elsewhere) as other:
        run(campaign, tmp_path, monkeypatch)
        other.communicate()
    assert other.returncode == 0


def has_ended(pid: str) -> bool:
    """Whether a process is gone, or only waits for its parent to notice."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True
    return state.rsplit(")", 1)[1].split()[0] == "Z"


def test_the_list_is_for_a_gpu(
    campaign: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["campaign.py", "list", "--on", "H200"])
    campaign.main()
    shown = capsys.readouterr().out
    assert "load-12B" in shown and "pools-" not in shown
