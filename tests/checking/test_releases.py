"""Findings of several releases told as one."""

from __future__ import annotations

from typing import Any

import pytest

from gemma4ctl.checking import releases
from gemma4ctl.checking.finding import Finding, Fix
from gemma4ctl.checking.judge import Options
from gemma4ctl.checking.launch import Launch, Place, Word
from gemma4ctl.checking.releases import judged, merged, spans
from gemma4ctl.flags.table import available

RELEASES = ("0.5.11", "0.5.12", "0.5.13", "0.5.14")


def finding(release: str, message: str = "SGLang {} has no flag --x.", **more: Any) -> Finding:
    given = {"code": "unknown-flag", "level": "error", "path": "f", "place": Place(1, 1)} | more
    return Finding(message=message.format(release), release=release, **given)


def launch(*words: str) -> Launch:
    place = Place(1, 1)
    return Launch("f", "shell", "serve", tuple(Word(word, place) for word in words), place)


@pytest.mark.parametrize(
    ("some", "shown"),
    [
        (RELEASES, "0.5.11 to 0.5.14"),
        (("0.5.12",), "0.5.12"),
        (("0.5.11", "0.5.13", "0.5.14"), "0.5.11, 0.5.13 to 0.5.14"),
        (("0.5.11", "0.5.14"), "0.5.11, 0.5.14"),
    ],
)
def test_releases_are_shown_as_spans(some: tuple[str, ...], shown: str) -> None:
    assert spans(some, RELEASES) == shown


def test_one_finding_of_all_releases_it_is_true_of() -> None:
    (found,) = merged({name: [finding(name)] for name in RELEASES})
    assert found == finding("0.5.11 to 0.5.14")


def test_a_message_that_names_no_release_gets_them() -> None:
    found = {"0.5.1": [], "0.5.11": [finding("0.5.11", "since 0.5.111 or 0.5.11.post1")]}
    (one,) = merged(found)
    assert one.message == "since 0.5.111 or 0.5.11.post1 [SGLang 0.5.11]"


def test_places_and_codes_are_told_apart_and_in_order() -> None:
    later = finding("0.5.12", place=Place(1, 9))
    other = finding("0.5.12", code="bad-type")
    found = merged({"0.5.11": [finding("0.5.11")], "0.5.12": [later, other, finding("0.5.12")]})
    assert [(one.code, one.place.column, one.release) for one in found] == [
        ("bad-type", 1, "0.5.12"),
        ("unknown-flag", 1, "0.5.11 to 0.5.12"),
        ("unknown-flag", 9, "0.5.12"),
    ]


def test_a_fix_stays_only_where_all_releases_agree() -> None:
    fix = Fix(0, 1, "--y")
    (agreed,) = merged({name: [finding(name, fix=fix)] for name in RELEASES})
    assert agreed.fix == fix
    (some,) = merged({"0.5.11": [], "0.5.12": [finding("0.5.12", fix=fix)]})
    assert some.fix is None
    other = finding("0.5.12", fix=Fix(0, 1, "--z"))
    (differing,) = merged({"0.5.11": [finding("0.5.11", fix=fix)], "0.5.12": [other]})
    assert differing.fix is None


def test_all_releases_that_serve_the_model_are_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    first = available()[2]

    def judge(launch: Launch, options: Options) -> list[Finding]:
        name = str(options.sglang_version)
        old = available().index(name) < available().index(first)
        return [finding(name, code="release-too-old" if old else "bad-type")]

    monkeypatch.setattr(releases, "judge", judge)
    (found,) = judged(launch("--x"), Options("all"))
    assert (found.code, found.release) == ("bad-type", f"{first} to {available()[-1]}")


def test_where_no_release_serves_the_model_all_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        releases, "judge", lambda _, o: [finding(o.sglang_version, code="release-too-old")]
    )
    (found,) = judged(launch(), Options("all"))
    assert found.release == f"{available()[0]} to {available()[-1]}"


def test_one_release_is_judged_as_it_is() -> None:
    found = judged(launch("--model-path", "m", "--no-such-flag"), Options("0.5.16"))
    assert [(one.code, one.release) for one in found] == [("unknown-flag", "0.5.16")]


def test_real_tables_are_merged() -> None:
    found = judged(launch("--model-path", "m", "--no-such-flag", "1"), Options("all"))
    assert [one.code for one in found] == ["unknown-flag"]
    assert found[0].release == f"{available()[0]} to {available()[-1]}"
    assert found[0].message.startswith(f"SGLang {found[0].release} has no flag --no-such-flag")
