"""Finding SGLang, choosing the runtime, and talking to docker (fake executables)."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from gemma4ctl.errors import PreflightError
from gemma4ctl.launch.container import container_exists, daemon_info, docker, remove_container
from gemma4ctl.launch.install import SGLangInstall, find_sglang, interpreter_of
from gemma4ctl.launch.runtime import choose_runtime, older


def executable(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def distribution(site: Path, name: str, version: str) -> None:
    info = site / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def test_sglang_is_found_on_the_path_with_the_versions_its_interpreter_sees(tmp_path):
    script = executable(tmp_path / "bin" / "sglang", f"#!{sys.executable}\n")
    distribution(tmp_path / "site", "sglang", "0.5.16+cu130")
    distribution(tmp_path / "site", "transformers", "5.12.1")
    environment = {"PATH": str(tmp_path / "bin"), "PYTHONPATH": str(tmp_path / "site")}
    found = find_sglang(environment)
    assert found is not None
    assert found.executable == script
    assert found.release == "0.5.16"
    assert found.versions["transformers"] == "5.12.1"


def test_sglang_beside_this_interpreter_is_found(tmp_path, monkeypatch):
    executable(tmp_path / "sglang", "#!/bin/false\n")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    found = find_sglang({"PATH": ""})
    assert found == SGLangInstall(tmp_path / "sglang", None, {})
    assert found is not None
    assert found.release is None


def test_no_sglang(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert find_sglang({"PATH": str(tmp_path)}) is None


def test_an_interpreter_that_fails_gives_no_versions(tmp_path):
    executable(tmp_path / "python3", "#!/bin/sh\nexit 1\n")
    executable(tmp_path / "sglang", f"#!{tmp_path}/python3\n")
    found = find_sglang({"PATH": str(tmp_path)})
    assert found is not None
    assert found.versions == {}


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        ("#!/opt/venv/bin/python3.12\n", "/opt/venv/bin/python3.12"),
        (
            '#!/bin/sh\n\'\'\'exec\' "/opt/my venv/bin/python" "$0" "$@"\n',
            "/opt/my venv/bin/python",
        ),
        ("#!/bin/sh\n'''exec' /opt/venv/bin/python \"$0\" \"$@\"\n", "/opt/venv/bin/python"),
        ("#!/bin/sh\necho hello\n", None),
        ("#!/bin/bash\n", None),
        ("\x7fELF", None),
        ("", None),
    ],
)
def test_the_interpreter_of_a_script(tmp_path, head, expected):
    script = tmp_path / "sglang"
    script.write_text(head)
    assert interpreter_of(script, {}) == expected


def test_the_interpreter_by_env_and_of_a_script_that_is_not_there(tmp_path):
    python = executable(tmp_path / "python3", "")
    script = executable(tmp_path / "sglang", "#!/usr/bin/env python3\n")
    assert interpreter_of(script, {"PATH": str(tmp_path)}) == str(python)
    assert interpreter_of(tmp_path / "absent", {}) is None


# Choosing


def installed(version: str = "0.5.16") -> SGLangInstall:
    return SGLangInstall(Path("/venv/bin/sglang"), "python", {"sglang": version})


def choose(asked="auto", install=None, info="docker is not installed"):
    return choose_runtime(
        asked, {}, min_release="0.5.15", find=lambda _: install, docker_info=lambda: info
    )


def test_local_when_an_sglang_that_fits_is_installed():
    choice = choose(install=installed(), info={})
    assert (choice.runtime, choice.install) == ("local", installed())
    assert "0.5.16" in choice.reason


@pytest.mark.parametrize(
    ("install", "reason"), [(None, "not installed"), (installed("0.5.12"), "older than 0.5.15")]
)
def test_docker_when_no_sglang_fits(install, reason):
    choice = choose(install=install, info={"ServerVersion": "28"})
    assert choice.runtime == "docker"
    assert reason in choice.reason


def test_neither_is_a_preflight_error_that_says_how_to_get_each():
    with pytest.raises(PreflightError) as caught:
        choose()
    text = str(caught.value)
    assert "SGLang is not installed; docker is not installed" in text
    assert "pip install 'sglang>=0.5.15'" in text
    assert "NVIDIA Container Toolkit" in text


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker "
         "daemon running?", "sudo systemctl start docker"),
        ("Got permission denied while trying to connect to the Docker daemon socket",
         "join the group docker"),
    ],
)  # fmt: skip
def test_docker_that_is_there_but_does_not_answer(said, remedy):
    with pytest.raises(PreflightError) as caught:
        choose(info=said)
    assert said in str(caught.value) and remedy in str(caught.value)
    assert "install docker" not in str(caught.value)


def test_what_was_asked_for_is_taken():
    assert choose("local").runtime == "local"
    assert choose("docker", install=installed()).runtime == "docker"


def test_versions_that_cannot_be_read_are_not_older():
    assert not older("main", "0.5.16")
    assert older("0.5.9", "0.5.16")


# Docker


@pytest.fixture
def fake_docker(tmp_path, monkeypatch):
    def make(body: str) -> Path:
        executable(tmp_path / "bin" / "docker", f"#!/bin/sh\n{body}\n")
        monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
        return tmp_path

    return make


def test_the_daemon_answers(fake_docker):
    fake_docker("""echo '{"ServerVersion": "28.2.2"}'""")
    assert daemon_info() == {"ServerVersion": "28.2.2"}


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("""echo '{"ServerErrors": ["cannot connect"]}'; exit 1""", "cannot connect"),
        ("echo 'warning\npermission denied' >&2; exit 1", "permission denied"),
        ("exit 1", "the docker daemon does not answer"),
    ],
)
def test_the_daemon_does_not_answer(fake_docker, body, why):
    fake_docker(body)
    assert daemon_info() == why


def test_no_docker_client(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert docker("info").returncode == 127
    assert daemon_info() == "docker is not installed"


def test_a_docker_client_that_hangs(fake_docker, monkeypatch):
    fake_docker("sleep 5")
    monkeypatch.setattr("gemma4ctl.launch.container.DOCKER_TIMEOUT_S", 0.1)
    assert docker("info").returncode == 124


def test_containers_are_found_and_removed_by_name(fake_docker):
    folder = fake_docker('echo "$@" >> "$0.calls"')
    assert container_exists("gemma4")
    remove_container("gemma4")
    calls = (folder / "bin" / "docker.calls").read_text().splitlines()
    assert calls == ["container inspect --format {{.Id}} gemma4", "rm --force gemma4"]
