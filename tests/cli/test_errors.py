"""Bad input: a clear error of one screen on stderr, nothing on stdout, the documented status."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Result

Cli = Callable[..., Result]
H200 = ("--hardware", "H200")
SUGGEST = ("suggest", "-m", "31B", *H200)


@pytest.mark.parametrize(
    ("code", "words", "texts"),
    [
        (2, ("suggest", "-m", "27B", *H200), ["27B", "E2B, E4B, 12B, 31B, 26B-A4B"]),
        (2, ("suggest", *H200), ["no model is named", "--model"]),
        (2, ("suggest", "-m", "x" * 5000, *H200), ["unknown model"]),
        (2, ("suggest", "-m", "./none", *H200), ["no folder ./none", "config.json"]),
        (2, ("suggest", "-m", "~nobody/31B", *H200), ["no folder ~nobody/31B"]),
        (2, ("suggest", "-m", "org/gemma-4-31B-x", *H200), ["--model-path org/gemma-4-31B-x"]),
        (2, (*SUGGEST, "--host", "a b"), ["--host", "127.0.0.1"]),
        (2, (*SUGGEST, "--host", "0.0.0.0:30000"), ["--host", "alone"]),
        (2, ("suggest", "-m", "31B", "--hardware", "H2000"), ["H2000", "did you mean H200"]),
        (2, (*SUGGEST, "--gpus", "0"), ["--gpus", "from 1"]),
        (2, (*SUGGEST, "--gpus", "-1"), ["--gpus", "from 1"]),
        (2, (*SUGGEST, "--gpus", "99"), ["99 GPUs", "at most 72"]),
        (2, (*SUGGEST, "--gpus", "0,1"), ["not ids"]),
        (3, ("suggest", "-m", "31B", "--hardware", "RTX 4090", "--gpus", "1"), ["RTX-4090"]),
        (3, (*SUGGEST, "--tp-size", "3"), ["TP 3", "heads", "--tp-size 2"]),
        (3, (*SUGGEST, "--tp-size", "16"), ["16"]),
        (3, (*SUGGEST, "--context-length", "999999"), ["999,999", "262,144"]),
        (2, (*SUGGEST, "--context-length", "many"), ["--context-length", "32768"]),
        (2, (*SUGGEST, "--context-length", "9" * 5000), ["--context-length", "whole number"]),
        (2, (*SUGGEST, "--port", "0"), ["--port", "65535"]),
        (2, (*SUGGEST, "--port", "²"), ["--port", "65535"]),
        (2, (*SUGGEST, "--modality", "video"), ["--modality", "text, image, audio"]),
        (2, (*SUGGEST, "--objective", "fast"), ["latency, balanced, throughput"]),
        (2, (*SUGGEST, "--mem-fraction", "1.5"), ["between 0 and 1"]),
        (2, (*SUGGEST, "--checkpoint", "fp3"), ["fp3"]),
        (2, (*SUGGEST, "--sglang-version", "newest"), ["newest"]),
        (3, (*SUGGEST, "--sglang-version", "0.4.0"), ["0.4.0"]),
        (2, (*SUGGEST, "--model-path", "a\0b"), ["NUL"]),
        (2, (*SUGGEST, "--model-path", os.fsdecode(b"/x/\xff")), ["UTF-8"]),
        (2, (*SUGGEST, "--model-path", ""), ["--model-path"]),
        (2, (*SUGGEST, "--hardware-file", "x.json"), ["exclude each other"]),
        (2, ("suggest", "-m", "31B", "--hardware-file", "none.json"), ["none.json"]),
        (2, ("suggest", "-m", "31B", "--hardware-file", "."), ["cannot be read"]),
        (2, (*SUGGEST, "--profiles", "none.yaml"), ["none.yaml"]),
        (2, (*SUGGEST, "--api-key-file", "none"), ["none", "found: No such file"]),
        (2, (*SUGGEST, "--api-key-file", "~nobody/key"), ["found: No such file"]),
        (2, (*SUGGEST, "--json", "--format", "shell"), ["exclude each other"]),
        (2, (*SUGGEST, "--format", "xml"), ["xml"]),
        (2, ("suggest", "stray", "-m", "31B"), ["stray"]),
        (2, (*SUGGEST, "stray", "--", "--log-level", "debug"), ["stray"]),
        (2, (*SUGGEST, "--", "stray"), ["stray"]),
        (2, (*SUGGEST, "--gpu", "1"), ["--gpu"]),
        (2, ("sugest",), ["sugest"]),
        (2, ("serve", "-m", "31B", *H200), ["cannot simulate"]),
        (2, ("serve", "--plan", "p.json", "-m", "31B"), ["no other options", "--model"]),
        (2, ("docker", "--plan", "none.json"), ["none.json"]),
        (2, ("docker", "--plan", "p.json", "--", "--log-level", "debug"), ["no other options"]),
        (2, ("docker", "-m", "31B", *H200, "-o", "x.yaml"), ["needs --compose"]),
        (2, ("docker", "-m", "31B", *H200, "--compose", "--name", "x"), ["--name"]),
        (2, ("docker", "-m", "31B", *H200, "--compose", "--json"), ["--json and --compose"]),
        (2, ("docker", "-m", "31B", *H200, "--name", "x", "--json"), ["--json and --name"]),
        (2, ("serve", "-m", "31B", "--runtime", "podman"), ["auto, local, docker"]),
        (2, ("serve", "-m", "31B", "--grace", "soon"), ["--grace"]),
        (2, ("profiles", "list", "colours"), ["colours", "variants"]),
        (2, ("profiles", "show", "H2000"), ["H2000"]),
        (2, ("profiles", "validate", "none.yaml"), ["none.yaml"]),
    ],
)
def test_bad_options(cli: Cli, code: int, words: tuple[str, ...], texts: list[str]) -> None:
    cli(*words).refused(code, *texts)


@pytest.mark.parametrize(
    "words",
    [
        ("--api-key", "S3CRET"),
        ("--api-key=S3CRET",),
        ("--api-k=S3CRET",),
        ("--ap", "S3CRET"),
        ("--api_key=S3CRET",),
        ("--log-level", "debug", "--api-ke", "S3CRET"),
        ("--admin-api-key=S3CRET",),
        ("--ad", "S3CRET"),
        ("--ssl-keyfile-password", "S3CRET"),
    ],
)
@pytest.mark.parametrize("command", ["suggest", "docker", "serve"])
def test_secrets_are_refused_after_dashes(cli: Cli, command: str, words: tuple[str, ...]) -> None:
    result = cli(command, "-m", "31B", "--", *words)
    result.refused(2, "secret", words[-1].split("=")[0] if "=" in words[-1] else words[-2])
    assert "S3CRET" not in result.err


def test_a_secret_before_the_dashes_is_not_repeated(cli: Cli) -> None:
    result = cli(*SUGGEST, "--api-key=S3CRET")
    result.refused(2, "--api-key")
    assert "S3CRET" not in result.err


def test_flags_that_resemble_secrets_are_accepted(cli: Cli) -> None:
    for words in (["--ssl-keyfile", "k.pem", "--ssl-certfile", "c.pem"], ["--config", "c.yaml"]):
        assert cli(*SUGGEST, "--", *words).code == 0


def test_words_after_dashes_must_be_text(cli: Cli) -> None:
    cli(*SUGGEST, "--", "--served-model-name", os.fsdecode(b"\xff")).refused(2, "UTF-8")


@pytest.mark.parametrize("value", ["abc", "70000"])
def test_a_bad_variable_is_named(cli: Cli, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("GEMMA4CTL_PORT", value)
    cli(*SUGGEST).refused(2, "GEMMA4CTL_PORT", value)


def test_an_unusable_key_is_not_repeated(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMMA4CTL_API_KEY", "S3CRET S3CRET")
    result = cli(*SUGGEST)
    result.refused(2, "GEMMA4CTL_API_KEY")
    assert "S3CRET" not in result.err


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        ("port: [", ["line 1"]),
        ("- port", ["mapping"]),
        ("prot: 1", ["prot", "did you mean port"]),
        ("api-key: S3CRET", ["secret", "GEMMA4CTL_API_KEY"]),
        ("port: abc", ["--port", "project file"]),
        ("port: {a: b}", ["--port", "one value"]),
        ("gpus: [[1]]", ["--gpus", "one value"]),
        ("a: &a [x]\nport: *a", ["a is no option"]),
        ("port: !!python/object:os.system 1", ["gemma4ctl.yaml"]),
        (b"\xff", ["UTF-8"]),
        ("x" * (1 << 20) + "x", ["1 MiB"]),
    ],
)
def test_a_bad_options_file(
    cli: Cli, surroundings: Path, content: str | bytes, texts: list[str]
) -> None:
    data = content if isinstance(content, bytes) else content.encode()
    (surroundings / "gemma4ctl.yaml").write_bytes(data)
    result = cli(*SUGGEST)
    result.refused(2, *texts)
    assert "S3CRET" not in result.err


def test_an_unreadable_options_file(cli: Cli, surroundings: Path) -> None:
    (surroundings / "gemma4ctl.yaml").mkdir()
    cli(*SUGGEST).refused(2, "gemma4ctl.yaml", "directory")


def test_a_bad_profile_table(cli: Cli, surroundings: Path) -> None:
    table = surroundings / "own.yaml"
    table.write_text("platforms:\n  H200:\n    colour: red\n")
    cli(*SUGGEST, "--profiles", "own.yaml").refused(2, "own.yaml:3", "colour")
    result = cli("profiles", "validate", "own.yaml")
    assert result.code == 4 and "colour" in result.out and "1 problem" in result.err
    table.write_text("platforms: [\n")
    cli(*SUGGEST, "--profiles", "own.yaml").refused(2, "own.yaml")
    table.write_text("platforms:\n  H200:\n    bandwidth_gbs: 4800\n")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"devices": 3}', "\0"])
def test_a_bad_hardware_file(cli: Cli, surroundings: Path, content: str) -> None:
    (surroundings / "h.json").write_text(content)
    cli("suggest", "-m", "31B", "--hardware-file", "h.json").refused(2, "h.json")


@pytest.mark.parametrize("content", ["", "{}", '{"kind": "gemma4ctl-plan", "schema_version": 9}'])
def test_a_bad_plan_file(cli: Cli, surroundings: Path, content: str) -> None:
    (surroundings / "p.json").write_text(content)
    for command in ("serve", "docker"):
        cli(command, "--plan", "p.json").refused(2, "p.json")


@pytest.mark.parametrize("command", [SUGGEST, ("docker", "-m", "31B", *H200, "--compose")])
def test_foreign_files_are_kept(cli: Cli, surroundings: Path, command: tuple[str, ...]) -> None:
    file = surroundings / "out"
    file.write_text("mine")
    cli(*command, "-o", "out").refused(2, "--force")
    assert file.read_text() == "mine"
    assert cli(*command, "-o", "out", "--force").code == 0
    first = file.read_text()
    assert first != "mine"
    assert cli(*command, "-o", "out").code == 0  # its own file
    assert [path.name for path in surroundings.iterdir()] == ["out"]
    cli(*command, "-o", "no/such/folder/out").refused(2, "no/such/folder/out")
    cli(*command, "-o", ".").refused(2, ".")


def test_folders_that_are_no_models(cli: Cli, surroundings: Path) -> None:
    (surroundings / "empty").mkdir()
    cli("suggest", "-m", "./empty", *H200).refused(2, "config.json")


def test_a_folder_of_another_variant(cli: Cli, model: Path) -> None:
    cli(*SUGGEST, "--model-path", str(model)).refused(2, "holds Gemma 4 E2B, not 31B")


def test_too_many_gpus_for_a_hardware_file(cli: Cli, surroundings: Path) -> None:
    from gemma4ctl.hardware.simulate import simulate
    from gemma4ctl.profiles.load import load

    (surroundings / "h.json").write_text(simulate("H100", 2, load()).model_dump_json())
    words = ("suggest", "-m", "E2B", "--hardware-file", "h.json")
    cli(*words, "--gpus", "3").refused(3, "3")
    cli(*words, "--gpus", "0,7").refused(2, "7")
