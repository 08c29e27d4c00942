"""Preflight checks with invented hosts. Inventories, caches and tool outputs are constructed."""

from __future__ import annotations

import errno
import json
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gemma4ctl import __version__
from gemma4ctl.errors import PreflightError
from gemma4ctl.hardware.inventory import Device, Health, Host, Inventory, Process, Unit
from gemma4ctl.launch.install import SGLangInstall
from gemma4ctl.launch.preflight import (
    Check,
    ModelFiles,
    Needs,
    checks,
    containers,
    fabric,
    files,
    gpu,
    host,
    require,
    software,
)

GIB = 1024**3


def device(index: int = 0, **fields: Any) -> Device:
    return Device(
        **{
            "index": index,
            "vendor": "nvidia",
            "name": "NVIDIA H100 80GB HBM3",
            "uuid": f"GPU-{index}",
            "memory_total_mib": 81559,
            "memory_free_mib": 80000,
            **fields,
        }
    )


def inventory(*devices: Device, **fields: Any) -> Inventory:
    facts = {
        "ram_total_mib": 512 * 1024,
        "swap_total_mib": 0,
        "shm_total_mib": 64 * 1024,
        "driver_version": "580.159.04",
        "cuda_driver_version": "13.0",
    }
    return Inventory(devices=devices, host=Host(**{**facts, **fields}))


def needs(*chosen: Unit, **fields: Any) -> Needs:
    return Needs(
        **{
            "runtime": "local",
            "host": "127.0.0.1",
            "port": 30000,
            "units": chosen,
            "release": "0.5.16",
            "min_release": "0.5.15",
            "minimum_mib": 50_000,
            "planned_mib": 70_000,
            "transformers": "5.12.1",
            "cuda_majors": (13,),
            **fields,
        }
    )


def sglang(version: str = "0.5.16", transformers: str = "5.12.1") -> SGLangInstall:
    versions = {"sglang": version, "transformers": transformers}
    return SGLangInstall(Path("/venv/bin/sglang"), "/venv/bin/python", versions)


ONE = inventory(device())
H100 = ONE.units[0]


def test_a_free_port_is_ok_and_a_taken_one_fails_with_the_remedy(port):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        check = host.check_port(needs(port=port))
        assert check.status == "fail"
        assert "--port" in (check.remedy or "")
    assert host.check_port(needs(port=port)).status == "ok"


@pytest.mark.parametrize(
    ("number", "word"),
    [(errno.EADDRNOTAVAIL, "0.0.0.0"), (errno.EACCES, "privileges"), (errno.EIO, "127.0.0.1")],
)
def test_other_reasons_why_a_port_cannot_be_bound(number, word):
    check = host.check_port(needs(), error_of=lambda *_: OSError(number, "why"))
    assert (check.status, check.found) == ("fail", "why")
    assert word in (check.remedy or "")


def test_an_address_of_another_machine_cannot_be_bound():
    assert host.check_port(needs(host="192.0.2.1")).status == "fail"


@pytest.mark.parametrize(
    ("free", "status"), [(80_000, "ok"), (60_000, "warn"), (40_000, "fail"), (None, "ok")]
)
def test_free_gpu_memory_against_the_plan(free, status):
    found = inventory(device(memory_free_mib=free))
    unit = found.units[0]
    assert gpu.check_memory(unit, needs(unit), found).status == status


def test_the_users_of_a_full_gpu_are_named():
    processes = (
        Process(pid=7, name="python", memory_mib=40960),
        Process(pid=8),
        *(Process(pid=pid, name="x") for pid in range(20, 24)),
    )
    found = inventory(device(memory_free_mib=100, processes=processes))
    unit = found.units[0]
    check = gpu.check_memory(unit, needs(unit), found)
    assert "python (pid 7, 40.0 GiB), process (pid 8)" in check.found
    assert "2 more" in check.found


@pytest.mark.parametrize(
    ("health", "status"),
    [
        ("ok", "ok"),
        ("unknown", "ok"),
        ("degraded", "warn"),
        ("lost", "fail"),
        ("unreadable", "fail"),
    ],
)
def test_gpu_health(health, status):
    unit = H100.model_copy(update={"health": Health(status=health, reasons=("Xid 79",))})
    check = gpu.check_health(unit)
    assert check.status == status
    assert "Xid 79" in check.found


@pytest.mark.parametrize(
    ("cuda", "driver", "status"),
    [
        ("13.0", "580.65", "ok"),
        ("12.8", "570.86", "fail"),
        (None, "580.65", "ok"),
        (None, "570.86", "fail"),
        (None, None, "warn"),
    ],
)
def test_the_driver_against_the_cuda_of_the_release(cuda, driver, status):
    found = inventory(device(), driver_version=driver, cuda_driver_version=cuda)
    check = gpu.check_driver(needs(), found)
    assert check is not None
    assert check.status == status
    assert "580" in check.needed


def test_a_release_for_two_cudas_needs_the_older_driver_only():
    check = gpu.check_driver(needs(cuda_majors=(12, 13)), inventory(cuda_driver_version="12.4"))
    assert check is not None
    assert check.status == "ok"


def test_no_driver_check_without_cuda():
    assert gpu.check_driver(needs(cuda_majors=()), ONE) is None


# Constructed after the "Fabric" part of `nvidia-smi -q` in NVIDIA's documentation.
SMI = """\
GPU 00000000:1B:00.0
    Product Name                          : NVIDIA H100 80GB HBM3
    Fabric
        State                             : {}
        Status                            : {}
        CliqueId                          : N/A
    Processes                             : None
"""


@pytest.mark.parametrize(
    ("state", "status", "read"),
    [
        ("Completed", "Success", "completed"),
        ("Completed", "Insufficient Resources", "failed"),
        ("In Progress", "N/A", "in progress"),
        ("Not Started", "N/A", "not started"),
        ("N/A", "N/A", "none"),
        ("Odd", "N/A", "unknown"),
    ],
)
def test_the_fabric_state_is_read_from_nvidia_smi(state, status, read):
    assert fabric.parse_smi(SMI.format(state, status) * 2) == [read, read]


def fake_nvml(monkeypatch, *infos: tuple[int, int]) -> None:
    module = SimpleNamespace(
        nvmlInit=lambda: None,
        nvmlShutdown=lambda: None,
        nvmlDeviceGetCount=lambda: len(infos),
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetGpuFabricInfo=lambda index: SimpleNamespace(
            state=infos[index][0], status=infos[index][1]
        ),
    )
    monkeypatch.setitem(__import__("sys").modules, "pynvml", module)


def test_the_fabric_state_is_read_from_nvml(monkeypatch):
    fake_nvml(monkeypatch, (0, 0), (1, 0), (2, 0), (3, 0), (3, 5), (9, 0))
    assert fabric.fabric_states() == [
        "none", "not started", "in progress", "completed", "failed", "unknown",
    ]  # fmt: skip


def test_without_nvml_nvidia_smi_is_asked(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "pynvml", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert fabric.fabric_states() == []
    smi = tmp_path / "nvidia-smi"
    smi.write_text(f"#!/bin/sh\n/bin/cat <<'END'\n{SMI.format('Completed', 'Success')}END\n")
    smi.chmod(0o755)
    assert fabric.fabric_states() == ["completed"]


@pytest.mark.parametrize(
    ("states", "status"),
    [
        (["completed", "completed"], "ok"),
        (["completed", "in progress"], "fail"),
        (["failed", "failed"], "fail"),
        (["not started", "unknown"], "warn"),
    ],
)
def test_the_fabric_manager(states, status):
    chosen = inventory(device(0), device(1)).units
    check = fabric.check_fabric(chosen, states=lambda: states)
    assert check is not None
    assert check.status == status


def test_no_fabric_check_on_one_gpu_or_without_nvswitch():
    chosen = inventory(device(0), device(1)).units
    assert fabric.check_fabric([H100], states=lambda: ["failed"]) is None
    assert fabric.check_fabric(chosen, states=lambda: ["none", "none"]) is None
    assert fabric.check_fabric(chosen, states=list) is None


@pytest.mark.parametrize(
    ("install", "status"),
    [
        (sglang(), "ok"),
        (sglang("0.5.16+cu130"), "ok"),
        (sglang("0.5.18"), "warn"),
        (sglang("0.5.14"), "fail"),
        (SGLangInstall(Path("/bin/sglang"), None, {}), "warn"),
        (None, "fail"),
    ],
)
def test_sglang(install, status):
    assert software.check_sglang(needs(), install).status == status


@pytest.mark.parametrize(
    ("version", "status"), [("5.12.1", "ok"), ("5.6.0", "fail"), ("5.19.0", "warn")]
)
def test_transformers(version, status):
    check = software.check_transformers(needs(), sglang(transformers=version))
    assert check is not None
    assert check.status == status


def test_transformers_missing_or_unknown():
    install = SGLangInstall(Path("/bin/sglang"), "python", {"sglang": "0.5.16"})
    check = software.check_transformers(needs(), install)
    assert check is not None
    assert (check.status, check.found) == ("fail", "not installed")
    assert software.check_transformers(needs(), None) is None


@pytest.mark.parametrize(
    ("ram", "swap", "status"), [(64, 0, "ok"), (31, 16, "ok"), (31, 0, "fail"), (None, None, "ok")]
)
def test_host_memory_holds_the_largest_shard(ram, swap, status):
    found = Host(
        ram_total_mib=ram and ram * 1024, swap_total_mib=swap if swap is None else swap * 1024
    )
    check = host.check_memory(needs(largest_shard_bytes=49_907_246_508 * 9 // 10), found)
    assert check.status == status


def test_dummy_weights_need_no_host_memory():
    check = host.check_memory(needs(largest_shard_bytes=10**12, weights=False), ONE.host)
    assert check.status == "ok"


@pytest.mark.parametrize(("shm", "status"), [(64, "fail"), (2048, "ok"), (None, "ok")])
def test_shared_memory_of_several_gpus(shm, status):
    chosen = inventory(device(0), device(1)).units
    assert host.check_shared_memory(needs(*chosen), Host(shm_total_mib=shm)).status == status
    assert host.check_shared_memory(needs(H100), Host(shm_total_mib=64)).status == "ok"


@pytest.mark.parametrize(
    ("download", "free", "status"),
    [(0, 0, "ok"), (5 * GIB, 9 * GIB, "ok"), (5 * GIB, GIB, "fail"), (5 * GIB, None, "warn")],
)
def test_disk_space(download, free, status, tmp_path):
    assert host.check_disk(download, tmp_path, free=lambda _: free).status == status


def test_free_space_of_a_folder_that_does_not_exist_yet(tmp_path, monkeypatch):
    assert (host.free_bytes(tmp_path / "a" / "b") or 0) > 0

    def gone(path: Path) -> None:
        raise OSError

    monkeypatch.setattr(host.shutil, "disk_usage", gone)
    assert host.free_bytes(tmp_path) is None


# Model files

E2B = ModelFiles(path="google/gemma-4-E2B-it", local=False, role="model", bytes=10 * GIB)


def cache_model(cache: Path, *, shards: int = 2, present: int = 2) -> Path:
    repository = cache / "models--google--gemma-4-E2B-it"
    snapshot = repository / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc")
    (snapshot / "config.json").write_text("{}")
    names = [f"model-{n}.safetensors" for n in range(shards)]
    (snapshot / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": {f"w{n}": name for n, name in enumerate(names)}})
    )
    for name in names[:present]:
        (snapshot / name).write_text("")
    return snapshot


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"HF_HUB_CACHE": "/a", "HF_HOME": "/b"}, "/a"),
        ({"HUGGINGFACE_HUB_CACHE": "/a"}, "/a"),
        ({"HF_HOME": "/b"}, "/b/hub"),
        ({"XDG_CACHE_HOME": "/c"}, "/c/huggingface/hub"),
        ({}, str(Path("~/.cache/huggingface/hub").expanduser())),
    ],
)
def test_where_the_cache_is(environment, expected):
    assert files.hub_cache(environment) == Path(expected)


def test_a_cached_model_is_ok(tmp_path):
    cache_model(tmp_path)
    environment = {"HF_HUB_CACHE": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    assert files.check_model(E2B, environment, weights=True).status == "ok"


def test_a_half_downloaded_model_counts_as_not_cached(tmp_path):
    cache_model(tmp_path, present=1)
    environment = {"HF_HUB_CACHE": str(tmp_path)}
    check = files.check_model(E2B, environment, weights=True)
    assert check.status == "warn"
    assert "10.0 GiB" in check.found
    assert files.check_model(E2B, environment, weights=False).status == "ok"


def test_offline_without_the_model_fails(tmp_path):
    environment = {"HF_HUB_CACHE": str(tmp_path), "HF_HUB_OFFLINE": "true"}
    check = files.check_model(E2B, environment, weights=True)
    assert check.status == "fail"
    assert "HF_HUB_OFFLINE" in (check.remedy or "")


def test_a_download_names_the_endpoint_and_a_missing_token(tmp_path):
    environment = {"HF_HOME": str(tmp_path), "HF_ENDPOINT": "https://mirror.example"}
    check = files.check_model(E2B, environment, weights=True)
    assert "https://mirror.example" in check.found
    assert "HF_TOKEN" in (check.remedy or "")
    (tmp_path / "token").write_text("hf_secret")
    check = files.check_model(E2B, environment, weights=True)
    assert "HF_TOKEN" not in (check.remedy or "")
    assert "hf_secret" not in check.model_dump_json()


def test_where_a_token_is_found(tmp_path):
    assert files.token_source({"HF_TOKEN": "x", "HF_HOME": str(tmp_path)}) == "HF_TOKEN"
    file = tmp_path / "t"
    file.write_text("x")
    assert files.token_source({"HF_TOKEN_PATH": str(file)}) == str(file)
    assert files.token_source({"HF_HOME": str(tmp_path)}) is None


@pytest.mark.parametrize(
    ("create", "weights", "status", "word"),
    [
        ([], True, "fail", "no such folder"),
        (["x"], True, "fail", "no config.json"),
        (["config.json"], True, "fail", "no *.safetensors"),
        (["config.json"], False, "ok", ""),
        (["config.json", "model.safetensors"], True, "ok", ""),
        (["config.json", "model.safetensors.index.json"], True, "fail", "damaged"),
    ],
)
def test_a_model_folder(tmp_path, create, weights, status, word):
    folder = tmp_path / "my model"
    for name in create:
        folder.mkdir(exist_ok=True)
        (folder / name).write_text("[]")
    model = ModelFiles(path=str(folder), local=True, role="draft model")
    check = files.check_model(model, {}, weights=weights)
    assert (check.name, check.status) == ("draft model", status)
    assert word in check.found


# Docker


def test_the_daemon():
    assert containers.check_daemon({"ServerVersion": "28.2.2"}).found == "docker 28.2.2"
    check = containers.check_daemon("permission denied")
    assert (check.status, check.found) == ("fail", "permission denied")
    assert check.remedy.startswith("join the group docker")


@pytest.mark.parametrize(
    ("info", "tool", "status"),
    [
        ({"Runtimes": {"nvidia": {}}}, None, "ok"),
        ({"DiscoveredDevices": [{"Source": "cdi", "ID": "nvidia.com/gpu=0"}]}, None, "ok"),
        ({}, "nvidia-ctk", "ok"),
        ({"Runtimes": {"runc": {}}}, None, "fail"),
    ],
)
def test_nvidia_gpus_in_containers(info, tool, status):
    check = containers.check_gpu_access(
        needs(H100), info, which=lambda name: name if name == tool else None
    )
    assert check.status == status


@pytest.mark.parametrize(("there", "status"), [(True, "ok"), (False, "fail")])
def test_amd_gpus_in_containers(there, status):
    amd = H100.model_copy(update={"vendor": "amd"})
    check = containers.check_gpu_access(needs(amd), {}, exists=lambda _: there)
    assert check.status == status


@pytest.mark.parametrize(
    ("options", "status"),
    [
        (["name=seccomp,profile=builtin"], "ok"),
        (["name=rootless"], "warn"),
        (["name=userns"], "warn"),
    ],
)
def test_user_namespaces(options, status):
    assert containers.check_isolation({"SecurityOptions": options}).status == status


# All together


def run_all(wanted: Needs, found: Inventory = ONE, **fields: Any) -> dict[str, Check]:
    fields = {"install": sglang(), "docker_info": dict, "fabric": list, **fields}
    return {check.name: check for check in checks(wanted, found, {"HF_HOME": "/no"}, **fields)}


def test_a_host_that_is_ready(tmp_path, port):
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    wanted = needs(
        H100,
        port=port,
        weights=False,
        models=(ModelFiles(path=str(model), local=True, role="model"),),
    )
    found = run_all(wanted)
    assert {check.status for check in found.values()} == {"ok"}
    assert set(found) == {
        "port", "GPU 0 health", "GPU 0 memory", "SGLang", "transformers", "driver",
        "host memory", "shared memory", "model", "disk",
    }  # fmt: skip
    require(list(found.values()))


def test_every_failure_is_in_one_error_with_need_found_and_remedy(port):
    found = run_all(needs(H100, port=port, minimum_mib=90_000), install=None)
    with pytest.raises(PreflightError) as caught:
        require(list(found.values()))
    text = str(caught.value)
    assert caught.value.exit_code == 5
    assert "not ready to launch: GPU 0 memory, SGLang" in text
    assert "need 87.9 GiB free" in text
    assert "try:   SGLang: pip install sglang==0.5.16" in text


def test_no_gpu_is_a_failure(port):
    assert run_all(needs(port=port))["GPU"].status == "fail"


def test_memory_is_what_is_free_now_not_when_the_plan_was_made(port):
    busy = inventory(device(memory_free_mib=10_000))
    assert run_all(needs(H100, port=port), busy)["GPU 0 memory"].status == "fail"


def test_a_planned_gpu_that_is_gone_fails_unless_the_command_names_none(port):
    other = inventory(device(uuid="GPU-other"))
    found = run_all(needs(H100, port=port), other)
    assert found["GPU GPU-0"].status == "fail"
    assert "GPU 0 memory" not in found
    loose = run_all(needs(H100, port=port, pinned=False), other)
    assert loose["GPU 0 memory"].status == "ok"
    assert run_all(needs(H100, port=port, pinned=False), inventory())["GPU GPU-0"].status == "fail"


def test_docker_checks_replace_those_of_the_local_sglang(port):
    wanted = needs(H100, port=port, runtime="docker")
    found = run_all(wanted, docker_info=lambda: {"Runtimes": {"nvidia": {}}})
    assert "SGLang" not in found
    assert found["container GPUs"].status == "ok"
    assert run_all(wanted, docker_info=lambda: "no daemon")["docker"].status == "fail"


def test_a_download_that_does_not_fit_fails(port, monkeypatch):
    monkeypatch.setattr(host.shutil, "disk_usage", lambda _: SimpleNamespace(free=GIB))
    found = run_all(needs(H100, port=port, models=(E2B,)))
    assert found["model"].status == "warn"
    assert "10.0 GiB" in found["disk"].needed


@pytest.mark.parametrize(
    ("versions", "status"),
    [
        ({"sglang": "0.5.16", "gemma4ctl": __version__}, "ok"),
        ({"sglang": "0.5.16", "gemma4ctl": "0.0.1"}, "fail"),
        ({"sglang": "0.5.16"}, "fail"),
    ],
)
def test_the_model_module_is_where_sglang_imports_from(versions, status):
    install = SGLangInstall(Path("/venv/bin/sglang"), "/venv/bin/python", versions)
    check = software.check_module(needs(module=True), install)
    assert check is not None
    assert check.status == status
    if status == "fail":
        assert "/venv/bin/python -m pip install --no-deps gemma4ctl" in check.remedy
        assert "--kernels stock" in check.remedy


def test_the_model_module_is_checked_only_where_it_is_needed():
    there = SGLangInstall(Path("/venv/bin/sglang"), "/venv/bin/python", {"sglang": "0.5.16"})
    assert software.check_module(needs(), there) is None
    assert software.check_module(needs(module=True), None) is None
