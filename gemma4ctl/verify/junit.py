"""A report as JUnit XML, which CI systems read."""

from __future__ import annotations

import re
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from gemma4ctl.verify.report import Report, Result

MARKER = "gemma4ctl verify"  # the name of the suite, which says whose file it is
# XML 1.0 has no way to write these.
_UNWRITABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_text(report: Report) -> str:
    """``report`` as one test suite, a test case for each check."""
    counts = {
        "name": MARKER,
        "tests": str(len(report.results)),
        "failures": str(report.count("fail")),
        "errors": "0",
        "skipped": str(report.count("skip")),
        "time": f"{report.seconds:.3f}",
    }
    root = Element("testsuites", counts)
    suite = SubElement(root, "testsuite", {**counts, "timestamp": report.date[:19]})
    properties = SubElement(suite, "properties")
    for name in ("url", "model", "variant", "release"):
        value = _text(getattr(report, name) or "")
        SubElement(properties, "property", {"name": name, "value": value})
    for result in report.results:
        suite.append(_case(result))
    indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{tostring(root, encoding="unicode")}\n'


def _case(result: Result) -> Element:
    where = {"classname": "gemma4ctl.verify", "name": result.check}
    case = Element("testcase", {**where, "time": f"{result.seconds:.3f}"})
    if result.status == "skip":
        SubElement(case, "skipped", {"message": _text(result.detail)})
    elif result.status == "fail":
        about = {"type": result.fault or "", "message": _text(result.detail)}
        SubElement(case, "failure", about).text = _text(result.curl or "")
    else:
        SubElement(case, "system-out").text = _text(result.detail)
    return case


def _text(value: str) -> str:
    return _UNWRITABLE.sub("\ufffd", value)
