"""``gemma4ctl doctor``: a redacted report of this machine, to paste into a bug.

- :mod:`~gemma4ctl.doctor.document`: the document and the order in which its parts are made
- :mod:`~gemma4ctl.doctor.sections`: one function for each part
- :mod:`~gemma4ctl.doctor.recording`: what detection's tools and files said, in the layout of the
  recorded hosts under ``tests/hardware``, so that a report can become a test
- :mod:`~gemma4ctl.doctor.identity`: what must not be in a report: names and secrets of this machine
- :mod:`~gemma4ctl.doctor.redaction`: takes it out of the finished document
- :mod:`~gemma4ctl.doctor.text`: the report as Markdown
"""

from gemma4ctl.doctor.document import KIND, report
from gemma4ctl.doctor.text import TITLE, report_text

__all__ = ["KIND", "TITLE", "report", "report_text"]
