"""``gemma4ctl doctor``: a report to paste into a bug."""

from __future__ import annotations

from gemma4ctl.cli.options import JsonOption


def doctor(json: JsonOption = False) -> None:
    """Print a redacted report of this machine.

    Tokens, host names, UUIDs and home folders are replaced. Its JSON can be given back as
    --hardware-file.
    """
    from gemma4ctl.cli.show import print_json
    from gemma4ctl.doctor import report, report_text

    found = report()
    print_json(found) if json else print(report_text(found))
