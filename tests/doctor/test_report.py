from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gemma4ctl.doctor import KIND, recording, report, report_text, sections
from gemma4ctl.doctor.document import SECTION_BYTES, cut
from gemma4ctl.hardware.detect import detect
from gemma4ctl.hardware.files import read_inventory
from gemma4ctl.hardware.identify import identify
from gemma4ctl.hardware.inventory import Inventory
from gemma4ctl.planning.engine import plan
from gemma4ctl.planning.plan import Plan
from gemma4ctl.planning.request import Request
from gemma4ctl.profiles.load import load
from tests.hardware.recorded import access_to, recorded

from .conftest import FQDN, HOST, USER, docker_says

Make = Callable[..., dict[str, Any]]
FIRST = "GPU-00000000-0000-0000-0000-000000000001"


def written(document: Any, folder: Path) -> Inventory:
    path = folder / "report.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return identify(read_inventory(path), load())


def choices(made: Plan) -> dict[str, Any]:
    """What the plan decides, whatever its devices are called and their inventory came from."""
    return {d.name: d.value for d in made.decisions if d.name != "devices"}


@pytest.mark.parametrize(
    "host",
    ["h100-mig", "mi300x-amd-smi", "mi300x-amdsmi", "mi300x-sysfs", "mi300x-cpx-nps4", "gb200"],
)
def test_works_as_hardware_file_with_an_equal_plan(host: str, made: Make, tmp_path: Path) -> None:
    document = made(host)
    again = written(document, tmp_path)
    original = identify(detect({}, access_to(recorded(host), tmp_path / "other")), load())
    assert [d.platform for d in again.devices] == [d.platform for d in original.devices]
    assert len(again.devices) == len(original.devices) > 0
    known = [d.uuid for d in original.devices if d.uuid]
    known += [s.uuid for d in original.devices for s in d.slices]
    text = json.dumps(document).lower()
    assert not [uuid for uuid in known if uuid.lower().removeprefix("gpu-") in text]
    request = Request(model="E2B")
    before, after = (plan(request, i, load()) for i in (original, again))
    assert choices(before) == choices(after)
    assert before.hardware.platform == after.hardware.platform
    assert before.capacity == after.capacity


@pytest.mark.parametrize(
    "host", ["mi300x-amd-smi", "mi300x-rocm-smi", "mi300x-sysfs", "mi300x-cpx-nps4"]
)
def test_recording_replays_as_the_same_host(host: str, made: Make, tmp_path: Path) -> None:
    """The report is a fixture: detection on what it recorded finds the inventory it shows."""
    document = made(host)
    replayed = identify(detect({}, access_to(document["recorded"], tmp_path / "replay")), load())
    shown = Inventory.model_validate(document["inventory"])
    assert replayed.devices == shown.devices
    assert replayed.links == shown.links
    assert len(document["recorded"]["files"]) > 2


def test_parts(made: Make, machine: dict[str, str]) -> None:
    document = made(
        "mixed-nvidia",
        {
            "CUDA_VISIBLE_DEVICES": "0",
            "HF_TOKEN": "hf_QWERTYUIOPasdfghjkl",
            "HF_HUB_OFFLINE": "1",
            "HF_ENDPOINT": "https://me:geheimnis@hub.example.org",
            "GEMMA4CTL_PORT": "31000",
            "GEMMA4CTL_API_KEY": "not-for-the-report",
            "NCCL_DEBUG": "INFO",
            "SGLANG_SOMETHING": "a sentence",
            "UNRELATED": "x",
        },
    )
    assert document["schema_version"] == 1
    assert document["kind"] == KIND
    assert document["environment"] == {
        "CUDA_VISIBLE_DEVICES": "0",
        "GEMMA4CTL_API_KEY": "set",
        "GEMMA4CTL_PORT": "set",
        "HF_ENDPOINT": "https://***@hub.example.org",
        "HF_HUB_OFFLINE": "1",
        "HF_TOKEN": "set",
        "NCCL_DEBUG": "INFO",
        "SGLANG_SOMETHING": "set",
    }
    assert document["settings"]["port"] == {
        "value": 31000,
        "origin": "environment GEMMA4CTL_PORT",
    }
    assert document["profiles"]["hash"] == f"sha256:{load().hash}"
    assert document["profiles"]["overlay"] is None
    assert document["docker"]["daemon"] == "28.1.1"
    assert document["docker"]["nvidia_runtime"] is True
    assert document["sglang"] is None and document["log"] is None
    assert [row["variant"] for row in document["plans"]] == list(load().variants)
    assert document["system"]["python"].startswith("3.")
    assert "not-for-the-report" not in json.dumps(document)


def test_settings_reach_the_plans(made: Make) -> None:
    document = made("gb200", {"GEMMA4CTL_TP_SIZE": "2", "GEMMA4CTL_MEM_FRACTION": "0.5"})
    assert {row["tensor_parallel_size"] for row in document["plans"]} == {2}
    assert {row["mem_fraction_static"] for row in document["plans"]} == {0.5}
    failed = made("gb200", {"GEMMA4CTL_TP_SIZE": "3"})["plans"]
    assert all("3" in row["error"] for row in failed)


def test_names_that_the_machine_gives_itself(made: Make) -> None:
    host = recorded("mi300x-amd-smi")
    host["files"] |= {
        "/etc/hostname": FQDN,
        "/etc/hosts": f"127.0.0.1 localhost\n10.1.2.3 {FQDN} {HOST} mars-alias # {HOST}",
        "/etc/resolv.conf": "nameserver 10.0.0.2\nsearch lab.example.net corp.example.org",
        "/proc/self/cgroup": f"0::/jobs/{HOST}/mars-alias/box2.lab.example.net/zoebart.slice",
    }
    document = made(host)
    assert document["recorded"]["files"]["/proc/self/cgroup"] == (
        "0::/jobs/HOST/HOST/box2.DOMAIN/USER.slice"
    )
    text = json.dumps(document)
    for secret in (HOST, "mars-alias", "corp.example.org", "lab.example.net", "zoebart"):
        assert secret not in text
    assert "/etc/hosts" not in document["recorded"]["files"]


def test_machine_named_like_a_word_of_the_report(
    made: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plain = made("mi300x-amd-smi")["inventory"]["devices"]
    for name in ("mi300x", "devices", "gpu", "amd"):
        monkeypatch.setattr("socket.gethostname", lambda name=name: name)
        document = made("mi300x-amd-smi", {"USER": "index"})
        assert document["inventory"]["devices"] == plain


def test_only_gpu_lines_of_the_kernel_log(made: Make) -> None:
    xid = "[ 1.5] NVRM: Xid (PCI:0000:00:0a): 79, GPU has fallen off the bus."
    host = {**recorded("h100-mig"), "commands": {"dmesg": f"usb: stick of Bob\n{xid}\nmore"}}
    document = made(host)
    assert document["recorded"]["commands"]["dmesg"] == xid
    assert document["inventory"]["devices"][0]["health"]["status"] == "degraded"


def test_nvidia_smi_is_recorded_also_where_nvml_answers(made: Make) -> None:
    csv = (Path(__file__).parents[1] / "hardware/fixtures/captured/query-gpu.csv").read_text()
    failed = {"$status": 6, "stdout": "", "stderr": "no topology here"}
    host = {**recorded("h100-mig"), "commands": {"nvidia-smi": csv, "nvidia-smi topo -m": failed}}
    commands = made(host)["recorded"]["commands"]
    query = next(text for line, text in commands.items() if "--query-gpu" in line)
    assert query.splitlines()[0] == csv.splitlines()[0]
    assert commands["nvidia-smi topo -m"] == failed
    assert "GPU-00000000-1111-2222-3333-444444444444" not in json.dumps(commands)


def test_other_pci_devices_are_left_out(made: Make) -> None:
    folder = "/sys/bus/pci/devices"
    files = {
        f"{folder}/0000:01:00.0/class": "0x030200",
        f"{folder}/0000:01:00.0/vendor": "0x10de",
        f"{folder}/0000:02:00.0/class": "0x020000",
        f"{folder}/0000:02:00.0/vendor": "0x8086",
    }
    document = made({"files": files})
    recorded_files = [path for path in document["recorded"]["files"] if path.startswith(folder)]
    assert recorded_files == sorted(files)[:2]
    assert "no driver" in document["inventory"]["problems"][0]


def test_newest_log(made: Make, machine: dict[str, str], tmp_path: Path) -> None:
    logs = Path(machine["HOME"], ".local/state/gemma4ctl/logs")
    logs.mkdir(parents=True)
    old, new = logs / "serve-1.log", logs / "serve-2.log"
    old.write_text("old")
    os.utime(old, (1, 1))
    lines = [f"line {n}" for n in range(30_000)]
    first = "server_args=ServerArgs(host='0.0.0.0', api_key='grandma-7', admin_api_key=None)"
    new.write_text("\n".join([first, *lines, "401 for grandma-7 from 10.9.8.7"]))
    found = made("empty")["log"]
    assert found["file"] == "serve-2.log"
    assert found["bytes"] == new.stat().st_size
    shown = found["last_lines"].splitlines()
    assert len(shown) == sections.LOG_LINES
    assert shown[-1] == "401 for *** from 192.0.2.1"
    assert shown[0] == f"line {30_000 - sections.LOG_LINES + 1}"


def test_texts_are_cut_and_say_so(made: Make) -> None:
    host = recorded("mi300x-amd-smi")
    host["commands"]["amd-smi process --json"] = "x\n" * 200_000
    text = made(host)["recorded"]["commands"]["amd-smi process --json"]
    assert text.endswith("[cut after 16384 bytes]")
    assert len(text) < SECTION_BYTES + 100
    assert cut("ä" * 100, 21) == "ä" * 10 + "[cut after 20 bytes]"
    assert cut("a" * 21, 21) == "a" * 21
    assert cut(["a\nbc" * 9], 6, mark=False) == ["a\nbca\n"]


def test_a_broken_part_says_so_in_its_place(
    made: Make, monkeypatch: pytest.MonkeyPatch, machine: dict[str, str]
) -> None:
    def broken(*_: Any) -> Any:
        raise ZeroDivisionError(f"on {HOST}")

    names = "inventory system profile_table settings environment_names serve_log log_start"
    for name in (*names.split(), "packages", "sglang", "docker", "user_table"):
        monkeypatch.setattr(sections, name, broken)
    document = made("h100-mig")
    error = {"error": "ZeroDivisionError: on HOST"}
    for name in ("inventory", "system", "profiles", "settings", "environment", "log"):
        assert document[name] == error
    for name in ("packages", "sglang", "docker"):
        assert document[name] == error
    assert document["plans"] == error
    assert document["recorded"]["cut_short"] == {"nvidia": error["error"]}
    monkeypatch.setattr("gemma4ctl.doctor.document.recorded_host", broken)
    assert made("h100-mig")["recorded"] == error


def test_broken_option_file_and_table(made: Make, machine: dict[str, str]) -> None:
    Path("gemma4ctl.yaml").write_text("contxt-length: 1")
    table = Path(machine["HOME"], ".config/gemma4ctl/profiles.yaml")
    table.parent.mkdir(parents=True)
    table.write_text("platforms: [")
    document = made("mi300x-amd-smi")
    assert "did you mean context-length" in document["settings"]["error"]
    assert "~/.config/gemma4ctl/profiles.yaml" in document["profiles"]["error"]
    assert document["plans"] == document["profiles"]
    assert [d["platform"] for d in document["inventory"]["devices"]] == [None, None]


def test_user_table_is_named(made: Make, machine: dict[str, str]) -> None:
    table = Path(machine["HOME"], "own.yaml")
    table.write_text("platforms: {}")
    document = made("empty", {"GEMMA4CTL_PROFILES": str(table)})
    assert document["profiles"]["overlay"] == "~/own.yaml"


def test_sglang_of_the_path(made: Make, tmp_path: Path) -> None:
    script = tmp_path / "bin" / "sglang"
    script.parent.mkdir()
    script.write_text("#!/usr/bin/env nothing\n")
    script.chmod(0o755)
    found = made("empty", {"PATH": str(script.parent)})["sglang"]
    assert Path(found["executable"]).name == "sglang"
    assert found["versions"] == {}


def test_release_of_the_path_counts(made: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    from gemma4ctl.launch.install import SGLangInstall

    install = SGLangInstall(Path("/opt/venv/bin/sglang"), "python", {"sglang": "0.5.16+cu130"})
    monkeypatch.setattr("gemma4ctl.doctor.document.find_sglang", lambda _: install)
    document = made("mi300x-amd-smi")
    assert document["inventory"]["host"]["packages"] == {"sglang": "0.5.16"}
    assert document["sglang"]["versions"] == {"sglang": "0.5.16+cu130"}


@pytest.mark.parametrize("says", ["", "[]", '{"ServerErrors": ["no daemon"]}'])
def test_no_docker_daemon(made: Make, says: str) -> None:
    found = made("empty", docker=docker_says(says, status=1))["docker"]
    assert found["daemon"] is None and found["problem"]


def test_a_hanging_tool_is_asked_once(
    made: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, machine: dict[str, str]
) -> None:
    monkeypatch.setattr("gemma4ctl.doctor.document.SOFTWARE_LIMIT_S", 0.05)
    asked, clock, over = [], [0.0], threading.Event()
    monkeypatch.setattr(recording, "time", SimpleNamespace(monotonic=lambda: clock[0]))

    def hang(argv: Any) -> None:
        asked.append(argv[0])
        clock[0] += recording.COMMAND_TIMEOUT_S if argv[0] == "amd-smi" else 0

    access = access_to({}, tmp_path)
    access = type(access)(root=access.root, run=hang, load=access.load)
    document = report(machine, access, lambda *_: over.wait())
    over.set()
    assert asked.count("amd-smi") == 1
    commands = document["recorded"]["commands"]
    answer = commands["amd-smi list --json"]
    assert answer["$status"] == 124 and "no answer within" in answer["stderr"]
    assert "amd-smi static --json" not in commands
    assert not [line for line in commands if line.startswith("rocm-smi")]
    assert document["docker"] == {"error": "TimeoutError: no answer within 0.05 s"}
    assert document["inventory"]["devices"] == []


@given(
    token=st.text(st.sampled_from("ABCDEFabcdef23456789-_."), min_size=8, max_size=40),
    around=st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=8),
)
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_no_secret_from_anywhere_is_in_the_report(
    made: Make, machine: dict[str, str], token: str, around: str
) -> None:
    token = f"zq{token}"
    text = f"{around}{token}{around} /home/{USER}/x on {HOST} for {USER} ({FQDN})"
    logs = Path(machine["HOME"], ".local/state/gemma4ctl/logs")
    logs.mkdir(parents=True, exist_ok=True)
    (logs / "serve-1.log").write_text(f"{text}\n", encoding="utf-8")
    host = recorded("mi300x-amd-smi")
    static = host["commands"]["amd-smi static --json"]
    host["commands"] |= {
        "amd-smi process --json": {"$status": 1, "stdout": text, "stderr": text},
        "amd-smi static --json": [{**static[0], text: text}, *static[1:]],
        "dmesg": f"NVRM: {text}",
    }
    host["files"]["/proc/1/cgroup"] = text
    environment = {
        "HF_TOKEN": token,
        "PYTHONPATH": text,
        "CUDA_VISIBLE_DEVICES": f"0,{text}",
        "NCCL_SOCKET_IFNAME": text,
        "GEMMA4CTL_IMAGE": text,
        f"SGLANG_{token}": "1",
    }
    document = made(host, environment, docker_says({"ServerErrors": [text]}))
    for output in (json.dumps(document, ensure_ascii=False), report_text(document)):
        assert token not in output
        for name in (HOST, USER, "corp.example.org"):
            assert not re.search(rf"(?<![A-Za-z0-9]){name}(?![A-Za-z0-9])", output)
    assert len(document["inventory"]["devices"]) == 2
