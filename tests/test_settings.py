"""Where values come from: flag > environment > project file > user file > rule."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gemma4ctl.cli.app import app
from gemma4ctl.errors import UsageError
from gemma4ctl.settings import OPTIONS, BadValueError, gather, image, option_name

# Option: its values in the user file, the project file, the environment and on the command line,
# and how a plan holds them.
LAYERS: dict[str, tuple[tuple[Any, Any, str, tuple[str, ...]], tuple[Any, ...]]] = {
    "port": ((30001, "30002", "30003", ("--port", "30004")), (30001, 30002, 30003, 30004)),
    "mtp": (("yes", False, "on", ("--no-mtp",)), (True, False, True, False)),
    "context_length": (
        ("1k", 2048, "3072", ("--context-length", "4k")),
        (1024, 2048, 3072, 4096),
    ),
    "objective": (
        ("latency", "throughput", "Latency", ("--objective", "balanced")),
        ("latency", "throughput", "latency", "balanced"),
    ),
}
DECIDED = {"port": "port", "mtp": "mtp", "context_length": "context_length"}


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "config/gemma4ctl").mkdir(parents=True)


def options_file(path: str, **options: Any) -> None:
    Path(path).write_text("".join(f"{name}: {value}\n" for name, value in options.items()))


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("layers", range(5))
def test_the_nearest_layer_wins(name: str, layers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    import json

    (user, project, variable, flag), values = LAYERS[name]
    if layers >= 1:
        options_file("config/gemma4ctl/config.yaml", **{name.replace("_", "-"): user})
    if layers >= 2:
        options_file("gemma4ctl.yaml", **{name: project})
    if layers >= 3:
        monkeypatch.setenv(f"GEMMA4CTL_{name.upper()}", variable)
    words = ["suggest", "-m", "26B-A4B", "--hardware", "H200", *(flag if layers >= 4 else ())]
    document = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)
    explained = " ".join(CliRunner().invoke(app, [*words, "--explain"]).stdout.split())
    origin = [
        None,
        f"user file {Path.cwd()}/config/gemma4ctl/config.yaml",
        "project file gemma4ctl.yaml",
        f"environment GEMMA4CTL_{name.upper()}",
        "flag",
    ][layers]
    assert document["request"]["origins"].get(name) == origin
    decided = next((d for d in document["decisions"] if d["name"] == DECIDED.get(name)), None)
    if layers == 0:
        assert decided is None or decided["origin"] == "rule"
        assert f"asked for: {name}" not in explained
        return
    assert document["request"][name] == values[layers - 1]
    if name in DECIDED:
        assert decided is not None
        assert (decided["value"], decided["origin"]) == (values[layers - 1], origin)
    assert f"asked for: {name} = " in explained and f"[from {origin}]" in explained


@pytest.mark.parametrize(
    ("yaml", "name", "value"),
    [
        ("mtp: true", "mtp", True),
        ("mtp: off", "mtp", False),
        ("tools: 0", "tools", False),
        ("modality: [image, text]", "modality", ("text", "image")),
        ("modality: audio", "modality", ("audio",)),
        ("gpus: 2", "gpus", 2),
        ("gpus: [0]", "gpus", ("0",)),
        ("gpus: [0, 3]", "gpus", ("0", "3")),
        ("gpus: GPU-1a", "gpus", ("GPU-1a",)),
        ("mem-fraction: 0.5", "mem_fraction", 0.5),
        ("mem-fraction: Auto", "mem_fraction", "auto"),
        ("context-length: 32K", "context_length", 32768),
        ("model-path: a & b", "model_path", "a & b"),
        ("port: null", "port", None),
        ("", "port", None),
    ],
)
def test_values_of_a_file(yaml: str, name: str, value: object) -> None:
    Path("gemma4ctl.yaml").write_text(yaml)
    assert gather({}, {}).get(name) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("mtp", "maybe"),
        ("gpus", ","),
        ("gpus", "0"),
        ("gpus", "+0"),
        ("modality", ""),
        ("modality", "text,smell"),
        ("mem_fraction", "nan"),
        ("mem_fraction", "half"),
        ("mem_fraction", "1"),
        ("context_length", "0"),
        ("context_length", "-1"),
        ("context_length", "1e3"),
        ("context_length", "10000000000"),
        ("port", "65536"),
        ("port", "-1"),
        ("port", "٣٠٠٠"),
        ("host", "a b"),
        ("host", "http://0.0.0.0"),
        ("host", "127.0.0.1:30000"),
        ("host", "[::1]"),
        ("model", " "),
        ("model", "\0"),
        ("model", "\udcff"),
        ("runtime", "podman"),
    ],
)
def test_bad_values(name: str, text: str) -> None:
    with pytest.raises(UsageError) as caught:
        gather({name: text}, {})
    assert caught.value.code == "bad-value"
    assert option_name(name) in str(caught.value) and "flag" in str(caught.value)
    assert caught.value.needed


def test_an_empty_variable_sets_nothing() -> None:
    assert gather({}, {"GEMMA4CTL_PORT": ""}).values == {}


def test_user_file_without_a_configuration_folder(tmp_path: Path) -> None:
    folder = tmp_path / ".config/gemma4ctl"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("port: 1234\n")
    assert gather({}, {"HOME": str(tmp_path)}).get("port") == 1234


def test_every_option_of_a_command_can_be_set() -> None:
    from gemma4ctl.cli.options import REQUEST

    assert set(REQUEST) <= set(OPTIONS)


@pytest.mark.parametrize(
    "reference",
    [
        "ubuntu",
        "lmsysorg/sglang:v0.5.16-rocm700-mi30x",
        "localhost:5000/a/b__c--d:x_Y.1",
        "Registry.Example.org/sglang",
        "[::1]:5000/sglang",
        "a@sha256:" + "0" * 64,
        "a:t@sha256:" + "0" * 64,
        "sha256:" + "0" * 64,
    ],
)
def test_images(reference: str) -> None:
    assert image(f" {reference} ") == reference


@pytest.mark.parametrize(
    "reference",
    [
        *("x y;z", "", "A", "a:", "a//b", "/a", "a/", "a@", "a:b:c", "--x", "a:$(b)", "a\nb"),
        *("a..b", "a@sha256:0", "a:" + "t" * 129, "https://x.org/a", "a-" * 5000),
    ],
)
def test_what_is_no_image(reference: str) -> None:
    with pytest.raises(BadValueError, match="image reference"):
        image(reference)


def test_a_long_value_is_not_shown_in_part() -> None:
    with pytest.raises(UsageError) as caught:
        gather({"port": "secret " * 20}, {})
    assert "a text of 140 characters" in str(caught.value) and "secret" not in str(caught.value)
