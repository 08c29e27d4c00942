from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, PathDistribution
from pathlib import Path

import pytest

from gemma4ctl.errors import NoPlanError, UsageError
from gemma4ctl.planning.plan import Plan
from gemma4ctl.rendering import own_package
from gemma4ctl.rendering.container import HostContext, Mount, container, this_host
from gemma4ctl.sglang_model.switches import fused_environment, shared_kv_environment

from .plans import HOST, PLANS, decision, make


def mounts_by_target(name: str) -> dict[str, Mount]:
    return {mount.target: mount for mount in container(PLANS[name], HOST).mounts}


def test_same_folder_name_twice_gets_two_places() -> None:
    spec = container(PLANS["local-model-and-draft"], HOST)
    folders = {mount.source: mount.target for mount in spec.mounts if mount.read_only}
    assert folders == {"/data/a/gemma": "/models/gemma", "/data/b/gemma": "/models/gemma-2"}
    assert "/models/gemma-2" in spec.argv


def test_same_folder_for_model_and_draft_is_mounted_once() -> None:
    plan = make(model_path="/data/a", local=True, draft="/data/a", draft_local=True)
    spec = container(plan, HOST)
    assert [mount.source for mount in spec.mounts if mount.read_only] == ["/data/a"]
    assert spec.argv.count("/models/a") == 2


def test_snapshot_is_mounted_with_its_blobs() -> None:
    mount = mounts_by_target("local-snapshot")["/models/models--google--gemma-4-12B-it"]
    assert mount.source.endswith("/hub/models--google--gemma-4-12B-it")
    argv = container(PLANS["local-snapshot"], HOST).argv
    assert "/models/models--google--gemma-4-12B-it/snapshots/707f0a3b" in argv


def test_path_after_dashes_is_mounted_too() -> None:
    spec = container(make(extra=("--tokenizer-path=/data/tok",)), HOST)
    assert "--tokenizer-path=/models/tok" in spec.argv


def test_relative_local_path_is_mounted_from_here() -> None:
    spec = container(make(model_path="gemma", local=True), HOST)
    assert [mount.source for mount in spec.mounts if mount.read_only] == [f"{os.getcwd()}/gemma"]


def test_name_without_letters_is_still_a_place() -> None:
    spec = container(make(model_path="/data/模型", local=True), HOST)
    assert "/models/checkpoint" in spec.argv


def test_key_file_is_a_read_only_secret_and_its_path_is_not_inside() -> None:
    spec = container(PLANS["api-key-file"], HOST)
    secret = mounts_by_target("api-key-file")["/run/secrets/sglang.yaml"]
    assert secret.read_only
    assert secret.kind == "secret"
    assert secret.source not in spec.argv


def test_host_flag_is_added_where_the_argv_has_none() -> None:
    plan = make()
    bare = plan.model_copy(
        update={"decisions": tuple(d for d in plan.decisions if d.name not in ("host", "port"))}
    )
    spec = container(bare, HOST)
    assert spec.argv[-2:] == ("--host", "0.0.0.0")
    assert (spec.publish.address, spec.publish.port) == ("127.0.0.1", 30000)


@pytest.mark.parametrize(
    ("asked", "published"),
    [("localhost", "127.0.0.1"), ("0.0.0.0", "0.0.0.0"), ("::", "::"), ("[::1]", "::1")],
)
def test_published_address(asked: str, published: str) -> None:
    assert container(make(host=asked), HOST).publish.address == published


def test_port_is_not_published_on_a_name() -> None:
    with pytest.raises(UsageError, match="gpu-server") as caught:
        container(make(host="gpu-server"), HOST)
    assert caught.value.exit_code == 2
    assert "--host 127.0.0.1" in str(caught.value)


def test_no_image_is_no_plan() -> None:
    with pytest.raises(NoPlanError, match="No container image") as caught:
        container(make(image=None), HOST)
    assert caught.value.exit_code == 3


def test_kernel_volume_is_keyed_by_image_and_architecture() -> None:
    names = {
        container(make(image=image, architecture=architecture), HOST).mounts[0].source
        for image in ("a/b:1", "a/b:2", "a/b@sha256:00")
        for architecture in ("sm_90", "sm_100")
    }
    assert len(names) == 6
    assert "gemma4ctl-cache-a-b-sha256-00-sm_90" in names


def test_hub_cache_apart_from_home_is_mounted_inside_it() -> None:
    host = HostContext(hf_home="/a", hf_hub_cache="/b")
    targets = {mount.source: mount.target for mount in container(make(), host).mounts}
    assert targets["/a"] == "/root/.cache/huggingface"
    assert targets["/b"] == "/root/.cache/huggingface/hub"


def test_variable_of_the_plan_is_not_also_passed_by_name() -> None:
    spec = container(make(flags=(decision("offline", "1", env="HF_HUB_OFFLINE"),)), HOST)
    assert spec.env["HF_HUB_OFFLINE"] == "1"
    assert spec.env_names == ("HF_TOKEN", "HF_ENDPOINT")


def test_guessed_image_is_noted() -> None:
    assert "guess" in container(PLANS["mi300x-e2b"], HOST).notes[0]
    assert not any("guess" in note for note in container(PLANS["h200-26b-mtp-tp2"], HOST).notes)


def test_who_owns_the_weights_is_noted() -> None:
    assert "belong to root" in container(PLANS["h200-26b-mtp-tp2"], HOST).notes[-1]


def test_intel_gpus_come_with_their_links() -> None:
    place = "/dev/dri/by-path"
    assert mounts_by_target("arc")[place] == Mount("bind", place, place, read_only=True)
    for name in ("xeon", "mi300x-e2b", "h200-26b-mtp-tp2"):
        assert place not in mounts_by_target(name)


def test_privileges() -> None:
    single = container(PLANS["mi300x-e2b"], HOST)
    several = container(PLANS["mi300x-31b-tp2-simulated"], HOST)
    assert single.security_options == ("no-new-privileges:true",)
    assert several.security_options == ("no-new-privileges:true", "seccomp=unconfined")
    assert container(PLANS["h200-26b-mtp-tp2"], HOST).security_options == single.security_options
    assert container(PLANS["xeon"], HOST).cap_add == ("SYS_NICE",)
    assert several.cap_add == ()
    assert not {"DAC_OVERRIDE", "CHOWN", "SETUID"} & set(single.cap_drop)


def test_shared_memory_grows_with_the_ranks() -> None:
    sizes = [container(make(gpu_count=count), HOST).shm_gib for count in (1, 2, 8)]
    assert sizes == [16, 24, 72]


def test_groups_of_this_host_only_for_its_own_devices() -> None:
    assert container(PLANS["mi300x-e2b"], HOST).groups == ("44", "109")
    elsewhere = container(PLANS["mi300x-31b-tp2-simulated"], HOST)
    assert elsewhere.groups == ("44",)
    assert "stat -c %g /dev/kfd /dev/dri/renderD*`" in elsewhere.notes[0]
    intel = container(PLANS["arc"], HostContext(hf_home="/h"))
    assert "stat -c %g /dev/dri/renderD*`" in intel.notes[0]
    unknown = container(PLANS["mi300x-e2b"], HostContext(hf_home="/h"))
    assert unknown.groups == ("44",)
    assert container(PLANS["xeon"], HOST).groups == ()


def test_this_host_reads_cache_folders(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    assert this_host({}, tmp_path) == HostContext("/home/someone/.cache/huggingface")
    assert this_host({"XDG_CACHE_HOME": "/x"}, tmp_path).hf_home == "/x/huggingface"
    given = this_host({"HF_HOME": "~/hf", "HUGGINGFACE_HUB_CACHE": "/hub"}, tmp_path)
    assert (given.hf_home, given.hf_hub_cache) == ("/home/someone/hf", "/hub")


def test_this_host_reads_device_groups(tmp_path) -> None:
    (tmp_path / "dri").mkdir()
    nodes = [tmp_path / "kfd", tmp_path / "dri" / "renderD128", tmp_path / "dri" / "card0"]
    for node in nodes:
        node.touch()
    if os.geteuid() == 0:
        for node, group in zip(nodes, (109, 109, 44), strict=True):
            os.chown(node, 0, group)
        assert this_host({}, tmp_path).device_groups == ("109",)
    else:
        assert this_host({}, tmp_path).device_groups == (str(os.getegid()),)


def switched_on() -> Plan:
    plan = PLANS["h200-node-simulated"]
    given = {**fused_environment(), **shared_kv_environment()}
    on = tuple(decision(name.lower(), value, env=name) for name, value in given.items())
    return plan.model_copy(update={"decisions": (*plan.decisions, *on)})


def test_the_model_module_is_mounted_where_it_is_switched_on() -> None:
    host = HOST._replace(module=("/venv/gemma4ctl", "/venv/gemma4ctl-0.1.0.dist-info"))
    spec = container(switched_on(), host)
    module = [mount for mount in spec.mounts if mount.target.startswith("/opt/gemma4ctl")]
    assert [(m.source, m.target, m.kind, m.read_only) for m in module] == [
        ("/venv/gemma4ctl", "/opt/gemma4ctl/gemma4ctl", "bind", True),
        (
            "/venv/gemma4ctl-0.1.0.dist-info",
            "/opt/gemma4ctl/gemma4ctl-0.1.0.dist-info",
            "bind",
            True,
        ),
    ]
    assert spec.env["PYTHONPATH"] == "/opt/gemma4ctl"
    assert {**fused_environment(), **shared_kv_environment()}.items() <= spec.env.items()
    assert any("model module" in note for note in spec.notes)


def test_the_module_that_runs_is_mounted_with_its_metadata() -> None:
    module = [m for m in container(switched_on(), HOST).mounts if m.target.startswith("/opt/")]
    folders = [Path(mount.source) for mount in module]
    assert (folders[0] / "sglang_model" / "plugin.py").is_file()
    assert all((folder / "entry_points.txt").is_file() for folder in folders[1:])


def test_the_plugin_is_found_in_the_mounts_alone(tmp_path: Path) -> None:
    """As SGLang in the container looks for it, where nothing else is installed."""
    module = [m for m in container(switched_on(), HOST).mounts if m.target.startswith("/opt/")]
    for mount in module:
        (tmp_path / Path(mount.target).name).symlink_to(mount.source)
    code = (
        "from importlib.metadata import entry_points; "
        "(found,) = entry_points(group='sglang.srt.plugins'); print(found.load().__module__)"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    answer = subprocess.run(
        [sys.executable, "-S", "-c", code], env=environment, cwd="/", capture_output=True, text=True
    )
    assert answer.stdout == "gemma4ctl.sglang_model.plugin\n", answer.stderr


def test_metadata_without_a_list_of_files_are_mounted_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Some installers write no RECORD; SGLang finds the plugin by the entry point."""
    info = tmp_path / "gemma4ctl-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: gemma4ctl\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text(
        "[sglang.srt.plugins]\ngemma4ctl = gemma4ctl.sglang_model.plugin:load\n"
    )
    found = PathDistribution(info)
    assert found.files is None
    monkeypatch.setattr("importlib.metadata.distribution", lambda name: found)
    spec = container(switched_on(), HOST)
    assert str(info) in [mount.source for mount in spec.mounts]
    assert not any("KV pools" in note for note in spec.notes)


def test_a_module_without_metadata_is_mounted_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.distribution", missing)
    spec = container(switched_on(), HOST)
    module = [mount for mount in spec.mounts if mount.target.startswith("/opt/")]
    assert [mount.target for mount in module] == ["/opt/gemma4ctl/gemma4ctl"]
    assert any("KV pools stay SGLang's" in note for note in spec.notes)


def test_pools_are_not_spoken_of_where_the_plan_leaves_them_to_sglang() -> None:
    mounted = ("/venv/gemma4ctl",)
    assert len(own_package.notes(mounted, shared_kv=True)) == 2
    assert own_package.notes(mounted, shared_kv=False) == (own_package.MOUNTED,)


def test_no_module_no_mount() -> None:
    spec = container(PLANS["h200-node-simulated"], HOST)
    assert not [mount for mount in spec.mounts if "/opt/" in mount.target]
    assert "PYTHONPATH" not in spec.env
