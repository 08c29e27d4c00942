"""Redaction stays linear on hostile lines."""

from gemma4ctl.launch.redact import Redactor
from tests.effort import HUNG_S, cpu_seconds


def test_unterminated_key_with_backslashes_is_fast() -> None:
    redact = Redactor(())
    assert cpu_seconds(lambda: redact("api_key='" + "\\" * 50_000)) < HUNG_S


def test_escaped_quotes_inside_a_key_are_part_of_it() -> None:
    assert Redactor(())(r"x api_key='a\'secret' y") == "x api_key=*** y"
