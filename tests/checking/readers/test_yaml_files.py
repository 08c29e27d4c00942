"""Launches in YAML: Compose files, Kubernetes manifests, Helm charts, workflows, broken files."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gemma4ctl.checking.launch import Launch
from gemma4ctl.checking.readers.yaml_files import read_yaml
from gemma4ctl.errors import UsageError
from tests.effort import HUNG_S, calls, cpu_seconds


def launches(text: str) -> list[Launch]:
    return read_yaml(Path("file.yaml"), dedent(text))


def only(text: str) -> Launch:
    found = launches(text)
    assert len(found) == 1, [launch.argv for launch in found]
    return found[0]


def service(body: str) -> Launch:
    """The launch of a Compose service with the keys ``body``."""
    return only("services:\n  llm:\n" + "".join(f"    {line}\n" for line in body.splitlines()))


# --- Compose


@pytest.mark.parametrize(
    "body",
    [
        "command: sglang serve --model-path m --tp-size 2",
        "command: [sglang, serve, --model-path, m, --tp-size, '2']",
        "entrypoint: [sglang, serve]\ncommand: [--model-path, m, --tp-size, 2]",
        "entrypoint: sglang serve\ncommand: --model-path m --tp-size 2",
        "command: >-\n  sglang serve\n  --model-path m\n  --tp-size 2",
        'command: sh -c "exec sglang serve --model-path m --tp-size 2"',
        "command: [bash, -c, 'sglang serve --model-path m --tp-size 2']",
        "command:\n  - bash\n  - -c\n  - |\n    sglang serve \\\n      --model-path m --tp-size 2",
        "image: me/sglang\ncommand: [--model-path, m, --tp-size, 2]",
        "environment: {TP: 2}\ncommand: sh -c 'sglang serve --model-path m --tp-size $$TP'",
        "command: sglang serve --model-path ${MODEL:-m} --tp-size ${TP-2}",
    ],
)
def test_a_service_runs_its_entrypoint_and_command(body: str) -> None:
    launch = service(body)
    assert (launch.kind, launch.entry) == ("compose", "serve")
    assert launch.argv == ("--model-path", "m", "--tp-size", "2")
    assert all(word.certain for word in launch.words)


def test_words_stand_where_they_are_written() -> None:
    text = "services:\n  llm:\n    command: [sglang, serve, '--model-path', \"m\", --tp-size, 2]\n"
    launch = only(text)
    written = [text[word.start : word.end] for word in launch.words]
    assert written == ["'--model-path'", '"m"', "--tp-size", "2"]
    assert [word.place.line for word in launch.words] == [3, 3, 3, 3]
    assert {word.style for word in launch.words} == {"yaml"}


def test_a_variable_without_a_value_is_not_certain() -> None:
    launch = service("command: sglang serve --model-path ${MODEL} --port=${PORT:?} --tp-size 2")
    certain = {word.text: word.certain for word in launch.words}
    assert certain == {
        "--model-path": True,
        "…": False,
        "--port=…": False,
        "--tp-size": True,
        "2": True,
    }


@pytest.mark.parametrize(
    ("body", "published"),
    [
        ("", False),
        ("expose: [30000]", False),
        ("ports: ['30000:30000']", True),
        ("ports: ['30000']", True),
        ("ports: ['0.0.0.0:30000:30000']", True),
        ("ports: ['127.0.0.1:30000:30000']", False),
        ("ports: ['[::1]:30000:30000/tcp']", False),
        ("ports: ['localhost:30000:30000']", False),
        ("ports: ['10.0.0.5:30000:30000']", True),
        ("ports: ['${BIND:-127.0.0.1}:30000:30000']", False),
        ("ports: ['${BIND}:30000:30000']", None),
        ("ports: ['${PORT}:30000']", True),
        ("ports: ['${PORTS}']", None),
        ("ports: [{target: 30000, published: 30000}]", True),
        ("ports: [{target: 30000, published: 30000, host_ip: 127.0.0.1}]", False),
        ("ports: ['127.0.0.1:1:1', '2:2']", True),
        ("ports: [[]]", None),
        ("network_mode: host", None),
    ],
)
def test_ports_say_who_can_reach_a_service(body: str, published: bool | None) -> None:
    assert service(f"command: sglang serve --model-path m\n{body}").published is published


@pytest.mark.parametrize(
    ("body", "vendor", "gpus"),
    [
        ("", None, None),
        ("devices: [/dev/kfd, /dev/dri]", "amd", None),
        ("runtime: nvidia", "nvidia", None),
        ("gpus: all", "nvidia", None),
        ("gpus: [{driver: nvidia, count: 4}]", "nvidia", "4"),
        ("gpus: 2", "nvidia", "2"),
        ("image: lmsysorg/sglang:v0.5.16-rocm720-mi30x", "amd", None),
        ("image: lmsysorg/sglang:v0.5.16-cu130", "nvidia", None),
        (
            "deploy: {resources: {reservations: {devices: [{driver: nvidia, count: 2}]}}}",
            "nvidia",
            "2",
        ),
        (
            "deploy: {resources: {reservations: {devices: [{device_ids: ['0', '3']}]}}}",
            "nvidia",
            "2",
        ),
        (
            "deploy: {resources: {reservations: {devices: [{driver: other, count: 2}]}}}",
            None,
            None,
        ),
    ],
)
def test_devices_say_the_vendor_and_how_many(
    body: str, vendor: str | None, gpus: str | None
) -> None:
    launch = service(f"command: sglang serve --model-path m\n{body}")
    assert launch.vendor == vendor
    assert launch.directives.get("gpus") == gpus


@pytest.mark.parametrize(
    ("body", "environment"),
    [
        ("environment: {A: 1, B: , C: '${X:-y}', D: '${X}'}", {"A": "1", "B": None, "C": "y"}),
        ("environment: [A=1, B, 'C=${X:-y}', 'D=${X}']", {"A": "1", "B": None, "C": "y"}),
        ("environment: {A: ''}\nenv_file: .env", {"A": "", "*": None}),
    ],
)
def test_the_environment_of_a_service(body: str, environment: dict[str, str | None]) -> None:
    found = service(f"command: sglang serve --model-path m\n{body}").environment
    assert {name: found[name] for name in environment} == environment
    assert found.get("D") is None


def test_services_share_what_they_merge_and_each_command_is_found_once() -> None:
    text = """
        x-base: &base
          image: lmsysorg/sglang:v0.5.16
          command: [sglang, serve, --model-path, m]
        services:
          one: {<<: *base}
          two: {<<: *base}
          three: {<<: *base, image: lmsysorg/sglang:v0.5.23}
    """
    assert [launch.image for launch in launches(text)] == [
        "lmsysorg/sglang:v0.5.16",
        "lmsysorg/sglang:v0.5.23",
    ]


# --- Kubernetes

POD = """
apiVersion: {version}
kind: {kind}
metadata: {{labels: {{app: gemma}}}}
spec:
  {more}
  containers:
    - name: sglang
      image: lmsysorg/sglang:v0.5.16
      command: [python3, -m, sglang.launch_server]
      args: [--model-path, $(MODEL), --port=$(PORT), $(ABSENT), $$(MODEL)]
      env:
        - {{name: MODEL, value: google/gemma-4-E2B-it}}
        - {{name: PORT, valueFrom: {{fieldRef: {{fieldPath: x}}}}}}
      {container}
"""


def pod(more: str = "", container: str = "", tail: str = "") -> Launch:
    text = POD.format(version="v1", kind="Pod", more=more, container=container)
    return only(text + tail)


def test_a_container_runs_its_command_and_args_with_its_variables() -> None:
    launch = pod()
    assert (launch.kind, launch.entry) == ("kubernetes", "module")
    assert launch.argv == (
        "--model-path",
        "google/gemma-4-E2B-it",
        "--port=…",
        "$(ABSENT)",
        "$(MODEL)",
    )
    assert [word.certain for word in launch.words] == [True, True, False, False, True]
    assert launch.words[1].start == -1
    assert launch.environment == {"MODEL": "google/gemma-4-E2B-it", "PORT": None}
    assert launch.published is False


def test_a_script_in_args_knows_the_variables_of_its_container() -> None:
    text = """
        apiVersion: apps/v1
        kind: Deployment
        spec:
          template:
            spec:
              containers:
                - command: [/bin/bash, -c]
                  args:
                    - |
                      exec sglang serve --model-path "$MODEL" \\
                        --tp-size $(TP) --port $(date)
                  env: [{name: MODEL, value: m}, {name: TP, value: "2"}]
                  envFrom: [{secretRef: {name: s}}]
    """
    launch = only(text)
    assert launch.argv[:4] == ("--model-path", "m", "--tp-size", "2")
    assert not launch.words[-1].certain
    assert launch.words[2].place.line == 12
    assert "*" in launch.environment


@pytest.mark.parametrize(
    ("more", "container", "tail", "published"),
    [
        ("hostNetwork: true", "", "", None),
        ("", "ports: [{containerPort: 1, hostPort: 1}]", "", True),
        ("", "ports: [{containerPort: 1}]", "", False),
        ("", "", "---\nkind: Service\nspec: {type: LoadBalancer, selector: {app: gemma}}", True),
        ("", "", "---\nkind: Service\nspec: {type: NodePort, selector: {app: other}}", False),
        ("", "", "---\nkind: Service\nspec: {type: ClusterIP, selector: {app: gemma}}", False),
        (
            "",
            "",
            "---\nkind: List\nitems: [{kind: Service, spec: {type: NodePort}}]",
            True,
        ),
    ],
)
def test_services_and_host_ports_say_who_can_reach_a_pod(
    more: str, container: str, tail: str, published: bool | None
) -> None:
    assert pod(more, container, tail).published is published


@pytest.mark.parametrize(
    ("container", "vendor", "gpus"),
    [
        ("resources: {limits: {nvidia.com/gpu: 2}}", "nvidia", "2"),
        ("resources: {requests: {amd.com/gpu: '8'}}", "amd", "8"),
        ("resources: {limits: {gpu.intel.com/xe: 1}}", "intel", None),
        ("resources: {limits: {nvidia.com/mig-1g.10gb: 1}}", "nvidia", None),
    ],
)
def test_resources_say_the_vendor_and_how_many(
    container: str, vendor: str, gpus: str | None
) -> None:
    launch = pod(container=container)
    assert launch.vendor == vendor
    assert launch.directives.get("gpus") == gpus


@pytest.mark.parametrize(
    ("more", "hardware"),
    [
        ("nodeSelector: {nvidia.com/gpu.product: NVIDIA-H100-80GB-HBM3}", "H100"),
        ("nodeSelector: {nvidia.com/gpu.product: NVIDIA-A100-SXM4-80GB}", "A100-80G"),
        ("nodeSelector: {amd.com/gpu.product-name: AMD_Instinct_MI300X_OAM}", "MI300X"),
        ("nodeSelector: {nvidia.com/gpu.product: Tesla-T4}", None),
        ("nodeSelector: {disk: ssd}", None),
    ],
)
def test_node_labels_say_the_hardware(more: str, hardware: str | None) -> None:
    assert pod(more).directives.get("hardware") == hardware


def test_a_node_affinity_with_one_product_says_the_hardware() -> None:
    text = """
        apiVersion: v1
        kind: Pod
        spec:
          nodeSelector: {nvidia.com/gpu.product: NVIDIA-H200}
          containers: [{name: a, args: [sglang, serve, --model-path, m]}]
    """
    assert only(text).directives["hardware"] == "H200"


@pytest.mark.parametrize("kind", ["LeaderWorkerSet", "InferenceService", "Anything"])
def test_containers_are_found_in_any_kind_of_object(kind: str) -> None:
    text = f"""
        apiVersion: example.com/v1
        kind: {kind}
        spec: {{leader: {{x: [{{template: {{args: [sglang, serve, --model-path, m]}}}}]}}}}
    """
    assert only(text).argv == ("--model-path", "m")


def test_scripts_in_config_maps_are_read() -> None:
    text = """
        apiVersion: v1
        kind: ConfigMap
        data:
          run.sh: |
            #!/bin/bash
            MODEL=m
            sglang serve --model-path $MODEL
          README: sglang serve starts the server.
    """
    launch = only(text)
    assert launch.argv == ("--model-path", "m")
    assert (launch.kind, launch.place.line) == ("kubernetes", 8)


def test_files_in_config_maps_are_read_as_what_they_are() -> None:
    found = launches(
        """
        apiVersion: v1
        kind: ConfigMap
        data:
          Dockerfile: |
            FROM lmsysorg/sglang:v0.5.16
            CMD ["sglang", "serve", "--model-path", "a"]
          compose.yaml: |
            services:
              llm:
                command: [sglang, serve, --model-path, b]
          guide.md: |
            It's how `sglang serve --model-path` is used:
            ```sh
            sglang serve --model-path c
            ```
        """
    )
    assert [(launch.argv[1], launch.words[1].place.line) for launch in found] == [
        ("a", 7),
        ("b", 11),
        ("c", 15),
    ]


# --- Helm and templates


def test_values_hold_flags_as_lists_beside_an_image() -> None:
    launch = only(
        """
        server:
          image: {registry: docker.io, repository: lmsysorg/sglang, tag: v0.5.16}
          modelPath: google/gemma-4-E2B-it
          extraArgs: [--tp-size, "2"]
          nodeSelector: {nvidia.com/gpu.product: NVIDIA-H100-80GB-HBM3}
          resources: {limits: {nvidia.com/gpu: 2}}
          service: {type: LoadBalancer}
          env: {SGLANG_X: "1"}
        """
    )
    assert launch.argv == ("--model-path", "google/gemma-4-E2B-it", "--tp-size", "2")
    assert (launch.kind, launch.published, launch.vendor) == ("helm", True, "nvidia")
    assert launch.image == "docker.io/lmsysorg/sglang:v0.5.16"
    assert launch.directives == {"gpus": "2", "hardware": "H100"}
    assert launch.environment == {"SGLANG_X": "1"}


def test_values_hold_flags_as_maps() -> None:
    text = (
        "image: lmsysorg/sglang:v0.5.16\nsglangArgs:\n  tp_size: 2\n  --host: h\n"
        "  enable-metrics: true\n  disable-x: false\n  other: null\n  camelCase: 1\n  deep: {}\n"
    )
    launch = only(text)
    assert launch.argv == ("…", "--tp-size", "2", "--host", "h", "--enable-metrics")
    assert not launch.words[0].certain
    host = launch.words[3]
    assert text[host.start : host.end] == "--host"
    assert launch.words[1].start == -1


@pytest.mark.parametrize(
    "text",
    [
        "image: {repository: a/sglang}\nserver: {args: [--model-path, m, --x]}\n",
        "global: {image: a/sglang}\nargs: [--model-path, m, --x]\n",
        "servers: [{image: a/sglang, sglang: {extraArgs: --model-path m --x}}]\n",
    ],
)
def test_flags_may_stand_below_the_image(text: str) -> None:
    assert only(text).argv == ("--model-path", "m", "--x")


def test_arguments_beside_a_model_key_are_those_of_its_server() -> None:
    launch = only("image: a/sglang\nmodel: google/gemma-4-E2B-it\nargs: [--tp-size, 2]\n")
    assert launch.argv == ("--model-path", "google/gemma-4-E2B-it", "--tp-size", "2")


def test_flags_below_the_image_that_are_of_another_program_are_left() -> None:
    assert not launches("image: a/sglang\nproxy: {args: [--listen, '1']}\n")


def test_values_with_the_whole_command_are_one_launch() -> None:
    launch = only("image: lmsysorg/sglang\nargs: [sglang, serve, --model-path, m]\n")
    assert launch.argv == ("--model-path", "m")


def test_values_of_other_images_hold_no_launch() -> None:
    assert not launches("image: me/other\nargs: [--tp, 2]\nnote: sglang\nargs2: []\n")
    assert not launches("image: lmsysorg/sglang\nargs: [run, --tp]\nmoreArgs: text\n")


def test_a_template_is_read_with_what_it_leaves_open() -> None:
    text = dedent(
        """
        {{- if .Values.enabled }}
        apiVersion: apps/v1
        kind: Deployment
        metadata:
          labels:
            {{- include "labels" . | nindent 4 }}
        spec:
          template:
            spec:
              containers:
                - name: {{ .Chart.Name }}
                  image: "{{ .Values.image.repository }}:{{ .Values.image.tag }}"
                  command: ["sglang", "serve"]
                  args:
                    - --model-path
                    - {{ .Values.model | quote }}
                    {{- if .Values.tp }}
                    - --tp-size={{ .Values.tp }}
                    {{- end }}
                    - --port
                    - "30000"
                    {{- toYaml .Values.extraArgs | nindent 12 }}
                  env:
                    {{- toYaml .Values.env | nindent 12 }}
        {{- end }}
        """
    )
    launch = only(text)
    assert launch.kind == "helm"
    assert launch.image is None
    assert launch.argv == ("--model-path", "…", "--tp-size=…", "--port", "30000", "…")
    assert [word.certain for word in launch.words] == [True, False, False, True, True, False]
    assert text[launch.words[3].start : launch.words[3].end] == "--port"
    assert launch.environment == {"*": None}


# --- anything else


def test_workflow_steps_are_scripts_with_the_variables_around_them() -> None:
    launch = only(
        """
        on: push
        env: {MODEL: google/gemma-4-E2B-it}
        jobs:
          test:
            steps:
              - name: sglang serve --with-words
              - run: |
                  sglang serve --model-path $MODEL --port ${{ inputs.port }} &
                env: {PORT: "${{ inputs.port }}"}
        """.replace("- name: sglang serve --with-words", "- name: start")
    )
    assert launch.kind == "workflow"
    assert launch.argv == ("--model-path", "google/gemma-4-E2B-it", "--port", "…")
    assert launch.environment["PORT"] is None


def test_lists_and_texts_anywhere_are_read() -> None:
    found = launches(
        """
        tasks:
          - shell: sglang serve --model-path m
          - argv: [env, A=1, python3, -m, sglang.launch_server, --model-path, m]
          - note: sglang serve is started above
          - lines: [echo, 'sglang serve --model-path m']
          - mixed: [sglang, {a: serve}]
          - [[sglang], serve]
        """
    )
    assert [launch.argv for launch in found] == [("--model-path", "m")] * 3
    assert found[1].environment == {"A": "1"}


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_what_is_no_yaml_is_read_in_fragments(newline: str) -> None:
    text = (
        "services:\n  a: {{ x\n    image: lmsysorg/sglang:v0.5.16\n    command: [sglang, serve]\n"
        "    args:\n    - --model-path\n    - m\n\n    # more\n    - --nope\n   weird: [\n"
        "    command: [sglang, serve, --model-path, n]\n    args: }\n"
    ).replace("\n", newline)
    found = launches(text)
    assert [launch.argv for launch in found] == [
        ("--model-path", "m", "--nope"),
        ("--model-path", "n"),
    ]
    assert found[0].image == "lmsysorg/sglang:v0.5.16"
    assert text[found[0].words[2].start : found[0].words[2].end] == "--nope"


def test_documents_are_read_one_by_one() -> None:
    text = "a: [\n---\nargs: [sglang, serve, --model-path, m]\n...\n--- # end\nb: sglang\n"
    launch = only(text)
    assert (launch.path, launch.words[0].place.line) == ("file.yaml", 3)
    assert read_yaml(None, text)[0].path == "-"


@pytest.mark.parametrize(
    "text", ["", "a: 1\n", "sglang", "- sglang serve\n", "# sglang serve --x\n"]
)
def test_files_without_launches(text: str) -> None:
    assert launches(text) == []


# --- hostile input


@pytest.mark.parametrize(
    "text",
    [
        "sglang: " + "[" * 1_000_000,
        "sglang: " + "{a: " * 300_000,
        "sglang: [" + "1," * 600_000 + "]",
        "---\nsglang: 1\n" * 15_000,
        "a: [sglang, serve, --x" + ", $(A)" * 20_000 + "]",
        "sglang:\n" + "".join(f"- &a{n}\n  <<: *a{n - 1}\n" for n in range(1, 200)),
    ],
    ids=["lists", "maps", "long", "documents", "words", "merged"],
)
def test_documents_that_are_too_large_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"too (large|many|much)"):
        launches(text)


@pytest.mark.parametrize(
    "text",
    [
        "a: sglang {{" + "{{ x }}" * 100_000,
        "command: [sglang, serve\n" * 40_000,
        "args:\n" + "  - sglang\n  {{\n" * 40_000,
        "a: |\n" + "  sglang serve --model-path m '\n" * 20_000,
        "---\nsglang: 1\n" * 4_999,
        "a: 'sglang serve --x " + "${A:-" * 100_000,
        "services:\n  a: {command: 'sglang serve --x " + "${A:-" * 20_000 + "'}",
        "a: [sglang, serve, --x" + ", $(A)" * 500 + "]",
        "sglang\x00\x01: \ud800",
        "\n".join(f"{' ' * depth}services: |" for depth in range(400)) + " sglang",
        "services:sglang serve",
    ],
    ids=[
        "open",
        "broken",
        "template",
        "script",
        "documents",
        "default",
        "nested",
        "many",
        "binary",
        "files in files",
        "itself",
    ],
)
def test_hostile_files_are_read_in_bounded_time(text: str) -> None:
    assert cpu_seconds(lambda: launches(text)) < HUNG_S


def test_an_alias_bomb_is_read_in_bounded_time() -> None:
    lines = ["a0: &a0 [sglang, serve, --x]"]
    lines += [f"a{n}: &a{n} {{b: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 40)]
    lines += ["loop: &loop {<<: *loop, again: *loop, args: [sglang, serve, --y, *loop]}"]
    assert len(launches("\n".join(lines))) == 2
    assert calls(lambda: launches("\n".join(lines))) < 100_000


PIECES = (
    *("sglang serve", "args:", "- ", "  ", "\n", "{{", "}}", "|", "'", '"', "&a", "*a", "<<: "),
    *("command: ", "services:", "image: sglang", "--x", "[", "]", "{", "}", ",", "${A:-", "$"),
    *("kind: Pod", "apiVersion: v1", "env:", "---", "\t", ": ", "é", "ports: ", "#"),
)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.sampled_from(PIECES),
        max_size=30,
    )
)
def test_any_text_is_read_without_a_traceback(pieces: list[str]) -> None:
    text = "".join(pieces)
    for launch in read_yaml(None, text):
        for word in launch.words:
            assert word.start <= word.end <= len(text)


PATCH = """apiVersion: apps/v1
kind: Deployment
metadata: {name: sglang}
spec:
  template:
    spec:
      containers:
        - name: server
          args: [--model-path, google/gemma-4-31B-it, FLAG]
"""


def test_a_patch_without_an_image_is_known_by_its_flags() -> None:
    assert [one.argv[-1] for one in launches(PATCH.replace("FLAG", "--tp-size=2"))] == [
        "--tp-size=2"
    ]
    assert launches(PATCH.replace("FLAG", "--max-model-len=8192")) == []
    other = PATCH.replace("args:", "image: vllm/vllm-openai\n          args:")
    assert launches(other.replace("FLAG", "--tp-size=2")) == []


@pytest.mark.parametrize(
    "command",
    [
        ">\n      sglang serve\n        --model-path m\n        --tp-size 2\n",
        "|\n      sglang serve\n      --model-path m\n      --tp-size 2\n",
        "|\n      sglang serve \\\n        --model-path m \\\n        --tp-size 2\n",
        "sglang serve\n      --model-path m\n\n      --tp-size 2\n",
        "sglang serve --model-path m --tp-size 2 && echo --done\n",
    ],
    ids=["deeper", "literal", "continued", "plain", "operator"],
)
def test_the_command_of_a_service_goes_on_over_lines(command: str) -> None:
    (found,) = launches(f"services:\n  a:\n    image: lmsysorg/sglang\n    command: {command}")
    assert found.argv == ("--model-path", "m", "--tp-size", "2")


INJECTED = """apiVersion: v1
kind: Pod
spec:
  containers:
  - image: lmsysorg/sglang
    args: {}
    env: [{{name: PORT, value: "30000"}}]
"""


def test_variables_that_a_controller_sets_are_not_known() -> None:
    (found,) = launches(
        INJECTED.format("[sglang, serve, --nnodes, $(LWS_GROUP_SIZE), --port, $(PORT)]")
    )
    assert [word.certain for word in found.words] == [True, False, True, True]
    assert found.argv[1] == "$(LWS_GROUP_SIZE)"


def test_switches_in_a_map_of_values() -> None:
    values = """image: lmsysorg/sglang
args: {--model-path: m, --enable-metrics: "", log-level: "", trust-remote-code: false, tp-size: ~}
"""
    (found,) = launches(values.replace("~", "null"))
    assert found.argv == ("--model-path", "m", "--enable-metrics")
