from __future__ import annotations

from gemma4ctl.checking.formats import render
from tests.checking.formats.reports import REPORT


def test_each_finding_is_one_command_with_everything_escaped() -> None:
    assert render(REPORT, "github").splitlines() == [
        "::warning file=a/run.sh,line=1,col=1,endLine=1,endColumn=6,"
        "title=gemma4ctl remote-code::two%0Alines",
        "::notice file=a/run.sh,line=2,col=19,endLine=2,endColumn=24,"
        "title=gemma4ctl abbreviated-flag::100%25: a,b",
        "::error file=a/run.sh,line=2,col=37,endLine=2,endColumn=42,title=gemma4ctl unknown-flag"
        "::SGLang 0.5.16 has no flag --tpp. Did you mean --tp?%0ATry: write --tp-size",
        "::error file=b%2Cc%3A%25.sh,title=gemma4ctl::Cannot read it%0A  try:   chmod",
    ]
