from __future__ import annotations

from gemma4ctl.checking.formats import render
from gemma4ctl.checking.report import Checked, Report
from tests.checking.formats.reports import FIXABLE, REPORT


def test_a_line_a_finding_and_its_remedy_below() -> None:
    assert render(REPORT, "text").splitlines() == [
        "a/run.sh:1:1: warning[remote-code]: two lines",
        "a/run.sh:2:19: note[abbreviated-flag]: 100%: a,b",
        "a/run.sh:2:37: error[unknown-flag]: SGLang 0.5.16 has no flag --tpp. Did you mean --tp?",
        "    try: write --tp-size",
    ]


def test_no_findings_print_nothing() -> None:
    assert render(Report((Checked("x"),)), "text") == ""


def test_colour_stands_round_the_level_only() -> None:
    lines = render(REPORT, "text", colour=True).splitlines()
    assert lines[2].startswith("a/run.sh:2:37: \x1b[1;31merror[unknown-flag]\x1b[0m: SGLang")
    assert "\x1b" not in lines[3]


def test_a_hostile_file_cannot_write_to_the_terminal() -> None:
    hostile = FIXABLE._replace(path="a\x1b]0;x\x07\udcff.sh", message="flag --\x1b[2J\u202e?")
    out = render(Report((Checked("a", findings=(hostile,)),)), "text")
    assert out.startswith("a\\x1b]0;x\\x07\\udcff.sh:2:37: ")
    assert "--\\x1b[2J\\u202e?" in out
    out.encode("utf-8")


def test_words_of_every_script_stay_readable() -> None:
    named = FIXABLE._replace(path="é/日本.sh")
    assert render(Report((Checked("a", findings=(named,)),)), "text").startswith("é/日本.sh:2:37")
