"""Fixes in memory and on disk."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemma4ctl.checking.finding import Finding, Fix
from gemma4ctl.checking.fix import apply, difference, fixed, quoted, write
from gemma4ctl.checking.launch import Place
from gemma4ctl.checking.report import Checked
from gemma4ctl.errors import UsageError


def finding(fix: Fix | None) -> Finding:
    return Finding("unknown-flag", "error", "f", Place(1, 1), "wrong", fix=fix)


def spelled(text: str, spellings: dict[str, str]) -> Checked:
    """A check that finds the keys of ``spellings`` and wants their values; a line is a launch."""
    found = [
        finding(Fix(match.start(), match.end(), spellings[match[0]]))
        for word in spellings
        if spellings[word] != word
        for match in re.finditer(rf"(?<!\S){re.escape(word)}(?!\S)", text)
    ]
    return Checked("f", text, text.count("\n"), tuple(found))


def settled(text: str, spellings: dict[str, str]) -> Checked:
    return fixed(spelled(text, spellings), lambda text: spelled(text, spellings))


@pytest.mark.parametrize(
    ("text", "words", "expected"),
    [
        ('"--a"', "--b", '"--b"'),
        ("'--a'", "--b=1", "'--b=1'"),
        ("--a", "--b", "--b"),
        ('"--a=1"', "--b 1", "--b 1"),
        ('"--a"', '"--b"', '"--b"'),
        ('"', "--b", "--b"),
        ("", "--b", "--b"),
    ],
)
def test_quotes_stay_round_a_plain_word(text: str, words: str, expected: str) -> None:
    assert quoted(Fix(0, len(text), words), text).text == expected


def test_fixes_are_put_in_from_whatever_order() -> None:
    fixes = [Fix(6, 9, "TWO"), Fix(0, 3, "ONE-LONGER"), Fix(6, 9, "TWO")]
    assert apply("one a two", fixes) == ("ONE-LONGER a TWO", 2)


def test_of_overlapping_fixes_the_first_is_made() -> None:
    assert apply("abcdef", [Fix(0, 4, "X"), Fix(2, 6, "Y")]) == ("Xef", 1)


@pytest.mark.parametrize("fix", [Fix(-1, 2, "x"), Fix(2, 9, "x"), Fix(2, 1, "x")])
def test_a_fix_outside_the_text_is_not_made(fix: Fix) -> None:
    assert apply("abc", [fix]) == ("abc", 0)


def test_a_fix_that_uncovers_another_is_followed_by_it() -> None:
    after = settled("a b\n", {"a": "b c", "b": "d"})
    assert (after.text, after.fixed, after.findings) == ("d c d\n", 3, ())


def test_fixes_that_lead_round_in_a_circle_are_not_made() -> None:
    before = spelled("c\n", {"c": "a", "a": "b", "b": "a"})
    assert settled("c\n", {"c": "a", "a": "b", "b": "a"}) == before


def test_fixes_that_never_end_are_not_made() -> None:
    assert settled("a\n", {"a": "a a"}).text == "a\n"


def test_a_fix_that_would_lose_a_launch_is_not_made() -> None:
    found = Checked("f", "a\nb\n", 2, (finding(Fix(1, 2, " ")),))
    assert fixed(found, lambda text: Checked("f", text, text.count("\n"))) is found


def test_without_fixes_nothing_is_checked_again() -> None:
    found = Checked("f", "a", 1, (finding(None),))
    assert fixed(found, lambda text: pytest.fail("checked again")) is found


WORDS = st.sampled_from(["a", "b", "c", "d", "é", "😀"])


@given(
    st.lists(WORDS, max_size=6).map(" ".join),
    st.dictionaries(WORDS, st.lists(WORDS, min_size=1, max_size=2).map(" ".join)),
)
def test_fixing_twice_changes_nothing_more(text: str, spellings: dict[str, str]) -> None:
    once = settled(text, spellings)
    twice = settled(once.text, spellings)
    assert twice.text == once.text
    assert twice.fixed == 0
    if once.text != text:
        assert not [one for one in once.findings if one.fix]


@pytest.mark.parametrize(
    ("data", "after"),
    [
        (b"one\r\ntwo\rthree\n", b"ONE\r\ntwo\rthree\n"),
        (b"\xef\xbb\xbfone\n", b"\xef\xbb\xbfONE\n"),
        ("é one 😀".encode(), "é ONE 😀".encode()),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_mark_newlines_and_the_rest_stay(
    tmp_path: Path, data: bytes, after: bytes, encoding: str
) -> None:
    file = tmp_path / "f"
    file.write_bytes(data)
    before = data.decode(encoding)
    write(file, before, before.replace("one", "ONE"))
    assert file.read_bytes() == after


def test_mode_stays_and_nothing_is_left_behind(tmp_path: Path) -> None:
    file = tmp_path / "run.sh"
    file.write_text("one")
    file.chmod(0o4751)
    write(file, "one", "two")
    assert file.stat().st_mode & 0o7777 == 0o4751
    assert os.listdir(tmp_path) == ["run.sh"]


def test_the_owner_stays(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root gives files away")
    file = tmp_path / "run.sh"
    file.write_text("one")
    os.chown(file, 12345, 23456)
    write(file, "one", "two")
    assert (file.stat().st_uid, file.stat().st_gid) == (12345, 23456)


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("one")
    link = tmp_path / "link"
    link.symlink_to(target)
    with pytest.raises(UsageError, match="symbolic link") as caught:
        write(link, "one", "two")
    assert str(target) in str(caught.value)
    assert (link.is_symlink(), target.read_text()) == (True, "one")


@pytest.mark.parametrize("data", [b"changed", b"one\xff"])
def test_a_file_that_is_not_what_was_checked_is_left_alone(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "f"
    file.write_bytes(data)
    with pytest.raises(UsageError, match="changed while"):
        write(file, "one", "two")
    assert file.read_bytes() == data


def test_a_file_that_cannot_be_written_is_a_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "f"
    file.write_text("one")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UsageError, match="No space left"):
        write(file, "one", "two")
    assert (file.read_text(), os.listdir(tmp_path)) == ("one", ["f"])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("one\ntwo\nthree\n", "one\nTWO\nthree\n"),
        ("one\r\ntwo\r\n", "one\r\nTWO\r\n"),
        ("one\ntwo", "one\nTWO"),
        ("\x0ctwo\x0b\u2028\n", "\x0cTWO\x0b\u2028\n"),
    ],
)
def test_patch_takes_the_difference(tmp_path: Path, before: str, after: str) -> None:
    if shutil.which("git") is None:
        pytest.skip("no git")
    (tmp_path / "f").write_bytes(before.encode())
    change = difference("f", before, after)
    subprocess.run(
        ["git", "apply", "-p0", "--whitespace=nowarn", "-"],
        cwd=tmp_path,
        input=change.encode(),
        check=True,
        capture_output=True,
    )
    assert (tmp_path / "f").read_bytes() == after.encode()


def test_no_difference_is_nothing() -> None:
    assert difference("f", "same\n", "same\n") == ""
