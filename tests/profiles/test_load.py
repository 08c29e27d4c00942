"""Loading: the overlay rules, and every way a user's file can be wrong."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from functools import lru_cache
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gemma4ctl.errors import UsageError
from gemma4ctl.profiles import load as load_module
from gemma4ctl.profiles import reading
from gemma4ctl.profiles.load import IDENTITY, builtin_file, default_user_file, load, text_hash
from gemma4ctl.profiles.lookup import cell, checkpoint
from gemma4ctl.profiles.reading import MAX_BYTES, parse, parse_trusted, position
from gemma4ctl.profiles.table import Profiles
from gemma4ctl.profiles.views import validate
from tests.effort import calls

parsed_once = lru_cache(parse_trusted)  # the built-in table, under every user's file


@pytest.fixture(autouse=True)
def no_user_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(reading, "parse_trusted", parsed_once)


@pytest.fixture
def write(tmp_path: Path):  # type: ignore[no-untyped-def]
    def write_text(text: str) -> Path:
        path = tmp_path / "mine.yaml"
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    return write_text


# The built-in table


def test_builtin_table_passes_the_strict_reader() -> None:
    text = builtin_file().read_text(encoding="utf-8")
    assert parse(text, builtin_file()) == parse_trusted(text)


def test_builtin_file_prefers_the_packaged_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    module = tmp_path / "profiles" / "load.py"
    module.parent.mkdir()
    monkeypatch.setattr(load_module, "__file__", str(module))
    assert builtin_file() == tmp_path.parent / "profiles.yaml"
    packaged = module.with_name("profiles.yaml")
    packaged.touch()
    assert builtin_file() == packaged


def test_compiled_table_says_the_same(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fast = load()
    monkeypatch.setattr(load_module, "COMPILED_FILE", tmp_path / "absent.json")
    assert load() == fast


def test_compiled_table_of_another_file_is_ignored(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    edited = tmp_path / "profiles.yaml"
    text = builtin_file().read_text(encoding="utf-8")
    edited.write_text(text.replace("memory_mib: 143771", "memory_mib: 143000"))
    monkeypatch.setattr(load_module, "builtin_file", lambda: edited)
    profiles = load()
    assert profiles.platforms["H200"].memory_mib == 143000
    assert profiles.hash == text_hash(edited.read_text(encoding="utf-8"))


def test_the_yaml_parser_is_not_imported_without_a_user_file() -> None:
    code = (
        "import sys; from gemma4ctl.profiles.load import load; load(); "
        "sys.exit('yaml' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_dates_stay_text() -> None:
    assert load().releases["0.5.16"].date == "2026-07-25"


def test_loading_the_compiled_table_is_little_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load()
    compiled = calls(load)
    monkeypatch.setattr(load_module, "COMPILED_FILE", tmp_path / "none")
    monkeypatch.setattr(reading, "parse_trusted", parse_trusted)
    assert 10 * compiled < calls(load)  # which reads the YAML


# Overlay


def test_the_built_in_table_is_not_changed(write) -> None:  # type: ignore[no-untyped-def]
    load(write("platforms: {H200: {memory_mib: 1}}\nmtp: {steps: 3}\ncells: []\n"))
    text = builtin_file().read_text(encoding="utf-8")
    assert parsed_once(text) == parse_trusted(text)


def test_overlay_changes_fields_and_keeps_the_rest(write) -> None:  # type: ignore[no-untyped-def]
    path = write("""
        platforms:
          H200: {memory_mib: 140000}
        cells:
          - {variant: 31B, platform: H200, tp: 4}
        mtp: {steps: 3}
    """)
    base, profiles = load(), load(path)
    assert profiles.platforms["H200"].memory_mib == 140000
    assert profiles.platforms["H200"].bandwidth_gb_s == base.platforms["H200"].bandwidth_gb_s
    row = cell(profiles, "31B", "H200", "standard", mtp=False)
    assert row is not None
    assert (row.tp, row.mem_fraction, row.source) == (4, 0.85, "user-file")
    assert len(profiles.cells) == len(base.cells)
    assert (profiles.mtp.steps, profiles.mtp.draft_tokens) == (3, 6)
    assert str(path) in profiles.sources["user-file"].title
    assert profiles.hash != base.hash


def test_overlay_adds_rows_before_the_builtin_ones(write) -> None:  # type: ignore[no-untyped-def]
    path = write("""
        sources:
          mine: {title: our registry}
        images:
          - reference: registry.example/sglang:0.5.16
            vendor: nvidia
            release: 0.5.16
            cuda: "13.0"
            status: verified
            source: mine
          - {reference: "lmsysorg/sglang:v0.5.23", status: verified}
    """)
    profiles = load(path)
    assert profiles.images[0].reference == "registry.example/sglang:0.5.16"
    assert profiles.images[0].source == "mine"
    changed = next(i for i in profiles.images if i.reference == "lmsysorg/sglang:v0.5.23")
    assert (changed.status, changed.cuda) == ("verified", "13.0")


def test_overlay_of_a_checkpoint_is_found_by_variant_and_name(write) -> None:  # type: ignore[no-untyped-def]
    path = write("""
        checkpoints:
          - {variant: 12B, name: bf16, id: mirror/gemma-4-12B-it}
    """)
    profiles = load(path)
    assert checkpoint(profiles, "12B", "bf16").id == "mirror/gemma-4-12B-it"
    assert len(profiles.checkpoints) == len(load().checkpoints)


def test_cells_are_told_apart_by_mtp(write) -> None:  # type: ignore[no-untyped-def]
    path = write("cells: [{variant: 26B-A4B, platform: H200, mtp: true, tp: 4}]")
    profiles = load(path)
    with_mtp = cell(profiles, "26B-A4B", "H200", "standard", mtp=True)
    without = cell(profiles, "26B-A4B", "H200", "standard", mtp=False)
    assert with_mtp is not None
    assert without is not None
    assert (with_mtp.tp, without.tp) == (4, 1)


def test_file_of_the_configuration_folder_is_read(tmp_path: Path) -> None:
    path = default_user_file()
    assert path == tmp_path / "config" / "gemma4ctl" / "profiles.yaml"
    assert load().platforms["H200"].memory_mib == 143771
    path.parent.mkdir(parents=True)
    path.write_text("platforms: {H200: {memory_mib: 1}}")
    assert load().platforms["H200"].memory_mib == 1


def test_explicit_file_replaces_that_of_the_configuration_folder(write) -> None:  # type: ignore[no-untyped-def]
    path = default_user_file()
    path.parent.mkdir(parents=True)
    path.write_text("platforms: {H200: {memory_mib: 1}}")
    assert load(write("")).platforms["H200"].memory_mib == 143771


def test_home_is_the_default_configuration_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", "/home/someone")
    assert str(default_user_file()) == "/home/someone/.config/gemma4ctl/profiles.yaml"


@pytest.mark.parametrize("text", ["", "---\n", "# nothing\n", "{}\n"])
def test_an_empty_file_changes_nothing(write, text: str) -> None:  # type: ignore[no-untyped-def]
    assert load(write(text)).cells == load().cells


def test_every_list_section_has_an_identity() -> None:
    lists = {name for name, field in Profiles.model_fields.items() if "tuple" in str(field.type)}
    assert lists == set(IDENTITY)


# Wrong files: what stands in the file, what the message must say.

BROKEN = {
    "unknown section": (
        "platfroms: {}",
        ["mine.yaml:1:1: platfroms", "unknown key", "'platforms'"],
    ),
    "unknown key": (
        "platforms:\n  H200:\n    memory: 5\n",
        ["mine.yaml:3:5: platforms.H200.memory: unknown key", "'memory_mib'"],
    ),
    "unknown key of a row": (
        "cells:\n  - {variant: 31B, platform: H200, tpp: 2}\n",
        ["mine.yaml:2:36: cells.0.tpp: unknown key", "did you mean 'tp'?"],
    ),
    "unknown nested key": (
        "variants:\n  E2B:\n    audio: {layer: 1}\n",
        ["mine.yaml:3:13: variants.E2B.audio.layer: unknown key", "'layers'"],
    ),
    "wrong choice": (
        "images:\n  - {reference: 'lmsysorg/sglang:v0.5.16', status: good}\n",
        ["mine.yaml:2:", "images.0.status: is 'good'", "verified, guess"],
    ),
    "unquoted version": (
        "images:\n  - {reference: 'lmsysorg/sglang:v0.5.16', cuda: 13.0}\n",
        ["images.0.cuda: must be text, is 13.0 (quote it)"],
    ),
    "missing field": (
        "platforms:\n  MINE: {vendor: nvidia, title: x}\n",
        ["mine.yaml:2:3: platforms.MINE.architecture: is required"],
    ),
    "unknown variant": (
        "cells:\n  - {variant: 32B, platform: H200, tp: 2, status: verified}\n",
        ["mine.yaml:2:6: cells.0.variant: '32B' does not exist", "did you mean", "accepted: E2B"],
    ),
    "unknown platform": (
        "platforms:\n  H20: {like: H2OO}\n",
        ["platforms.H20.like: 'H2OO' does not exist", "H200"],
    ),
    "unknown release": (
        "default_release: 0.5.160\n",
        ["default_release: '0.5.160'", "did you mean '0.5.16'"],
    ),
    "unknown release of a checkpoint": (
        "checkpoints:\n  - {variant: 12B, name: qat, broken_in: [0.5.160]}\n",
        ["mine.yaml:2:31: checkpoints.0.broken_in: '0.5.160' does not exist"],
    ),
    "bad pattern": (
        "platforms:\n  H200: {names: ['(']}\n",
        ["mine.yaml:2:18: platforms.H200.names.0: not a regular expression"],
    ),
    "tp of zero": (
        "cells:\n  - {variant: 31B, platform: H200, tp: 0}\n",
        ["cells.0.tp: input should be greater than or equal to 1, is 0"],
    ),
    "fraction above one": (
        "cells:\n  - {variant: 31B, platform: H200, mem_fraction: 85}\n",
        ["cells.0.mem_fraction: input should be less than 1, is 85"],
    ),
    "not a number": ("platforms: {H200: {memory_mib: lots}}", ["valid integer", "is 'lots'"]),
    "a list for a mapping": ("platforms: [H200]", ["mine.yaml:1:1: platforms: ", "dictionary"]),
    "a mapping for a list": ("cells: {a: 1}", ["mine.yaml:1:1: cells: ", "tuple"]),
    "a word for a row": ("cells: [oops]", ["mine.yaml:1:9: cells.0: ", "is 'oops'"]),
    "a computed field": ("hash: abc", ["mine.yaml:1:1: hash: is computed, not given"]),
    "other schema version": ("schema_version: 2", ["schema_version: is 2"]),
    "numeric key": ("releases: {1: {}}", ["mine.yaml:1:"]),
    "top level list": ("- 1\n- 2\n", ["the top level is a list, not a mapping"]),
    "top level text": ("hello", ["the top level is a str, not a mapping"]),
    "tab": ("platforms:\n\tH200: {}\n", ["mine.yaml:2:1"]),
    "unclosed": ("platforms: {H200: {", ["mine.yaml:2:1: did not find"]),
    "duplicate key": (
        "platforms:\n  H200: {tp: 1}\nmtp: {}\nplatforms: {}\n",
        ["mine.yaml:4:1: the key 'platforms' is given twice"],
    ),
    "nested duplicate key": (
        "platforms:\n  H200: {title: a, title: b}\n",
        ["mine.yaml:2:20: the key 'title' is given twice"],
    ),
    "alias": ("a: &x [1]\nb: *x\n", ["mine.yaml:1:4: anchors and aliases are not accepted"]),
    "tag": ("a: !!python/object/apply:os.system [id]\n", ["mine.yaml:1:4: the tag"]),
    "deep nesting": ("[" * 200 + "]" * 200, ["nested deeper than 12 levels"]),
    "bad integer": ("a: 0b_\n", ["mine.yaml: "]),
    "second document": ("a: 1\n---\nb: 2\n", ["mine.yaml:2:1"]),
    "unprintable": ("a: '\x07'\n", ["mine.yaml: "]),
    "unhashable key": ("? [a, b]\n: 1\n", ["mine.yaml:1:"]),
}


@pytest.mark.parametrize(("text", "expected"), BROKEN.values(), ids=BROKEN)
def test_a_wrong_file_is_explained(write, text: str, expected: list[str]) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UsageError) as caught:
        load(write(text))
    message = str(caught.value)
    for part in expected:
        assert part in message
    assert "gemma4ctl profiles validate" in message
    assert len(message.splitlines()) <= 12, "one screen"


def test_only_the_first_problems_are_shown(write) -> None:  # type: ignore[no-untyped-def]
    path = write("platforms: {H200: {a: 1, b: 2, c: 3, d: 4, e: 5, f: 6, g: 7}}")
    with pytest.raises(UsageError, match="and 2 more"):
        load(path)
    assert len(validate(path)) == 7


def test_alias_bomb_is_refused_at_once(write) -> None:  # type: ignore[no-untyped-def]
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 60)]
    with pytest.raises(UsageError, match="anchors and aliases"):
        load(write("\n".join(lines)))


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read the profile file"):
        load(tmp_path / "absent.yaml")
    with pytest.raises(UsageError, match="cannot read the profile file"):
        load(tmp_path)
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="not UTF-8"):
        load(binary)
    large = tmp_path / "large.yaml"
    large.write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(UsageError, match="more than"):
        load(large)


def test_position_of_absent_steps_is_that_of_the_parent() -> None:
    text = "a:\n  b: [1, 2]\n"
    assert position(text, ("a", "b", 1)) == (2, 10)
    assert position(text, ("a", "missing")) == (1, 1)
    assert position(text, ("a", "b", "wrong")) == (2, 3)
    assert position(text, ("a", "b", 9)) == (2, 3)
    assert position("", ("a",)) == (1, 1)


# Fuzzing: whatever stands in the file, the only error is UsageError.

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(["H200", "31B", "0.5.16", "verified", "standard", "tp", "source"]),
)
KEYS = st.one_of(
    st.sampled_from(
        [*Profiles.model_fields, "H200", "31B", "E2B", "0.5.16", "tp", "like", "names", "layers"]
    ),
    st.text(max_size=6),
    st.integers(),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=4)),
    max_leaves=12,
)
SECTIONS = st.dictionaries(st.sampled_from(list(Profiles.model_fields)), VALUES, max_size=3)
QUICK = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@QUICK
@given(data=st.one_of(SECTIONS, VALUES))
def test_random_data_never_raises_anything_else(tmp_path: Path, data: object) -> None:
    path = tmp_path / "fuzz.yaml"
    path.write_text(yaml.safe_dump(data, allow_unicode=True), encoding="utf-8")
    try:
        profiles = load(path)
    except UsageError as error:
        assert str(path) in str(error)
    else:
        assert profiles.hash


@QUICK
@given(text=st.text(alphabet=st.sampled_from("ab0:-?[]{}&*!|>'\"%@`#,\n\t .é\x00"), max_size=40))
def test_random_text_never_raises_anything_else(tmp_path: Path, text: str) -> None:
    path = tmp_path / "fuzz.yaml"
    path.write_bytes(text.encode())
    try:
        load(path)
    except UsageError as error:
        assert str(path) in str(error)
