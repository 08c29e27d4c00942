"""Redaction stays linear on hostile lines."""

import time

from gemma4ctl.launch.redact import Redactor


def test_unterminated_key_with_backslashes_is_fast() -> None:
    redact = Redactor(())
    start = time.perf_counter()
    redact("api_key='" + "\\" * 50_000)
    assert time.perf_counter() - start < 2


def test_escaped_quotes_inside_a_key_are_part_of_it() -> None:
    assert Redactor(())(r"x api_key='a\'secret' y") == "x api_key=*** y"
