from __future__ import annotations

import stat
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from gemma4ctl.errors import UsageError
from gemma4ctl.flags.parse import parse
from gemma4ctl.hardware.simulate import simulate
from gemma4ctl.planning.engine import plan
from gemma4ctl.planning.request import Request
from gemma4ctl.profiles.load import load as load_profiles
from gemma4ctl.profiles.table import Cell, Profiles
from gemma4ctl.rendering.command import argv
from gemma4ctl.tuning import cell, userfile
from gemma4ctl.tuning.metrics import METRICS
from gemma4ctl.tuning.space import TITLES, settings, space
from gemma4ctl.tuning.verdict import Verdict
from tests.planning.hosts import gpu, host, mig, planned, table

from .conftest import judged, workload

ROW = {"variant": "E2B", "platform": "H200", "line": "standard", "mtp": False, "tp": 1}
ROW |= {"status": "verified", "source": "tune-1", "triton_attention_num_kv_splits": 32}
EVIDENCE = {"title": "measured", "date": "2026-11-22"}

OWN = """\
# my table
cells:
  # a card of ours
  - {variant: E4B, platform: H100, tp: 1, mem_fraction: 0.8, status: verified}  # tested in May
  - variant: E2B
    platform: H200
    mtp: false
    tp: 1
    status: estimated
    note: 'old'   # to be replaced
platforms:
  H100: {note: "ours"}  # the end
"""


def found(path: Path, variant: str = "E2B", platform: str = "H200") -> list[Cell]:
    cells = load_profiles(path).cells
    return [c for c in cells if (c.variant, c.platform, c.mtp) == (variant, platform, False)]


def test_a_new_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "profiles.yaml"
    assert userfile.add(path, ROW, "tune-1", EVIDENCE) is None
    assert path.read_text().startswith("# Your own rows")
    (mine,) = found(path)
    assert mine.triton_attention_num_kv_splits == 32
    assert load_profiles(path).sources["tune-1"].title == "measured"


def test_comments_and_other_rows_stay(tmp_path: Path) -> None:
    path = tmp_path / "profiles.yaml"
    path.write_text(OWN)
    path.chmod(0o600)
    backup = userfile.add(path, ROW, "tune-1", EVIDENCE)
    assert backup is not None and backup.read_text() == OWN
    text = path.read_text()
    for kept in ("# my table", "# a card of ours", "# tested in May", 'note: "ours"}  # the end'):
        assert kept in text
    assert len(yaml.safe_load(text)["cells"]) == 2  # the old row of the same identity is replaced
    (mine,) = found(path)
    assert mine.status == "verified" and mine.note is None
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_again_replaces_the_row(tmp_path: Path) -> None:
    path = tmp_path / "profiles.yaml"
    userfile.add(path, ROW, "tune-1", EVIDENCE)
    userfile.add(path, {**ROW, "source": "tune-2", "tp": 2}, "tune-2", EVIDENCE)
    (mine,) = found(path)
    assert (mine.tp, mine.source) == (2, "tune-2")
    assert {"tune-1", "tune-2"} <= set(load_profiles(path).sources)


@pytest.mark.parametrize("text", ["", "# only a comment\n", "cells:\nsources:\n", "cells: []\n"])
def test_files_without_rows(tmp_path: Path, text: str) -> None:
    path = tmp_path / "profiles.yaml"
    path.write_text(text)
    userfile.add(path, ROW, "tune-1", EVIDENCE)
    assert len(found(path)) == 1
    assert text.startswith("#") <= path.read_text().startswith(text)


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    real = tmp_path / "dotfiles.yaml"
    real.write_text(OWN)
    link = tmp_path / "profiles.yaml"
    link.symlink_to(real)
    userfile.add(link, ROW, "tune-1", EVIDENCE)
    assert link.is_symlink() and "tune-1" in real.read_text()


def test_a_bad_row_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "profiles.yaml"
    path.write_text(OWN)
    with pytest.raises(UsageError):
        userfile.add(path, {**ROW, "tp": "many"}, "tune-1", EVIDENCE)
    assert path.read_text() == OWN
    assert [file.name for file in tmp_path.iterdir()] == ["profiles.yaml"]


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "folder" / "profiles.yaml"
    with pytest.raises(UsageError, match="cannot be made"):
        userfile.add(path, ROW, "tune-1", EVIDENCE)
    with pytest.raises(UsageError, match="Cannot write"):
        userfile.check(path)


def test_a_table_that_can_be_written_is_not_made_before(tmp_path: Path) -> None:
    userfile.check(tmp_path / "new" / "folder" / "profiles.yaml")
    assert not list(tmp_path.iterdir())


def test_two_searches_that_end_together_both_keep_their_rows(tmp_path: Path) -> None:
    path = tmp_path / "profiles.yaml"
    variants = ("E2B", "E4B", "12B", "31B")
    rows = [{**ROW, "variant": name, "source": f"tune-{name}"} for name in variants]
    adding = [
        threading.Thread(target=userfile.add, args=(path, row, row["source"], EVIDENCE))
        for row in rows
    ]
    for thread in adding:
        thread.start()
    for thread in adding:
        thread.join()
    table = yaml.safe_load(path.read_text())
    assert {row["variant"] for row in table["cells"]} == set(variants)
    assert len(table["sources"]) == 4


# --- the row


def winner(**request: object) -> cell.Winner:
    made = planned("H200", **{"model": "26B-A4B", "mtp": False, **request})
    settings = {"mem_fraction_static": "0.9", "cuda_graph_max_bs_decode": "512"}
    verdict = Verdict(
        better=True,
        gain=0.12,
        noise=0.01,
        repeated=True,
        plan_figure=100.0,
        best_figure=112.0,
        reason="measured again on 2 and 2 starts",
    )
    load = workload(concurrency=512)
    date = "2026-11-22T06:07:08+00:00"
    metric = METRICS["output-throughput"]
    return cell.Winner(made, settings, load, metric, verdict, Path("/r.json"), date)


def test_the_row_keeps_what_was_published_and_adds_what_was_measured() -> None:
    row = cell.cell(winner(extra_args=("--load-format", "dummy")), table())
    assert row["mem_fraction"] == 0.9 and row["cuda_graph_max_bs"] == 512
    assert isinstance(row["cuda_graph_max_bs"], int)
    assert row["load"] == "1,024 in / 256 out, 512 at once, output-throughput"
    assert row["note"] == "Measured with --load-format dummy."
    assert (row["tp"], row["mtp"], row["line"], row["status"]) == (1, False, "standard", "verified")


def test_the_backend_that_a_platform_needs_is_not_lost() -> None:
    made = planned("B300", model="E2B", mtp=False)
    row = cell.cell(replace(winner(), plan=made), table())
    assert (row["attention_backend"], row["attention_backend_for"]) == ("triton", ["image"])


def test_the_evidence_names_everything() -> None:
    evidence = cell.source(winner())
    for part in ("1 x H200", "SGLang 0.5.16", "100 tok/s -> 112 tok/s", "+12.0%", "/r.json"):
        assert part in evidence["title"]
    assert evidence["date"] == "2026-11-22"
    assert cell.source_name(winner()) == "tune-26b-a4b-h200-202611220607"


def test_rows_are_for_whole_gpus_of_the_table() -> None:
    assert cell.unwritable(winner().plan, table()) is None
    unknown = planned(host(gpu(0, name="Odd GPU", platform=None)), model="E2B")
    assert "no platform Odd GPU" in str(cell.unwritable(unknown, table()))
    slice_ = planned(host(mig(0, "H100", 40_000)), model="E2B")
    assert "slice" in str(cell.unwritable(slice_, table()))


def test_the_next_plan_has_every_setting_that_a_search_can_find(tmp_path: Path) -> None:
    load = workload(input_tokens=30_000, concurrency=300)
    asked = {"model": "E2B", "mtp": True, "concurrency": 300, "safe": True}
    judge = judged(load, **asked)
    dimensions = space(judge.situation, load, "output-throughput", room=0.5)
    assert {dimension.name for dimension in dimensions} == set(TITLES)
    point = {dimension.name: dimension.choices[1] for dimension in dimensions}
    won = replace(winner(), plan=judge.baseline, settings=settings(point, dimensions))
    path = tmp_path / "profiles.yaml"
    userfile.add(path, cell.cell(won, table()), cell.source_name(won), cell.source(won))
    tuned = load_profiles(path)
    request = Request(**{**asked, "hardware": "H200"})
    made = plan(request, simulate("H200", 1, tuned), tuned)
    given = parse(argv(made)[2:], judge.situation.flags).values
    assert {name: str(given.get(name)) for name in won.settings} == won.settings


def test_the_next_plan_uses_the_row(tmp_path: Path) -> None:
    path = tmp_path / "profiles.yaml"
    won = winner()
    userfile.add(path, cell.cell(won, table()), cell.source_name(won), cell.source(won))
    tuned: Profiles = load_profiles(path)
    request = Request(model="26B-A4B", mtp=False, hardware="H200")
    made = plan(request, simulate("H200", 1, tuned), tuned)
    share = made.decision("mem_fraction_static")
    assert share is not None and (share.value, share.status) == (0.9, "verified")
    assert "gemma4ctl tune" in share.source
