"""Texts made to take long, of any length, for every kind of file.

``python -m tests.checking.readers.hostile MIB`` prints how long it takes to check each.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

from gemma4ctl.checking.files import check
from gemma4ctl.checking.judge import Options
from gemma4ctl.errors import UsageError

Text = Callable[[int], str]  # length in characters -> text

SERVE = "sglang serve --model-path google/gemma-4-E4B-it "
SERVICE = "services:\n  a:\n    image: lmsysorg/sglang:v0.5.16\n    command: "
POD = "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - image: lmsysorg/sglang:v0.5.16\n"

# Repeated between what begins and what ends a file of that name.
REPEATED: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "run.sh": (
        "",
        "\n" + SERVE,
        (
            *("(", '"""', "'\n\"\n", "\\", "$(", '"$(\n', "${", "${a:-", "`", "$((", "<a", "\r"),
            *(
                "cat <<A\n",
                "<<a ",
                "cat <<A <<B\nsglang\n",
                "a=(",
                "A=$A$A\n",
                "a=(sglang serve)\n",
            ),
            *('A+=(--x "${A[@]}")\n', 'bash -c "', "$(sglang serve ", "docker run ", "env "),
            *("# gemma4ctl: a=b\nsglang serve\n", SERVE + "\n", "sglang serve --x 'y\n", "\u2028"),
            *("pip install sglang==0.5.16\n", "#SBATCH --gres=gpu:H100:8\n", SERVE + "--tp 3\n"),
        ),
    ),
    "README.md": (
        "",
        f"\n```sh\n{SERVE}\n```\n",
        (
            *("```\n", "~~~\n", "> ", "- ", "* a\n  ", "+ \n", "<a>\n", "[a](", "| a "),
            *(f"```sh\n{SERVE}\n```\n", f"    {SERVE}\n", f"```console\n$ {SERVE}\n```\n"),
            f"```yaml\ncommand: {SERVE}\n```\n",
        ),
    ),
    "Dockerfile": (
        "FROM a\n",
        f"\nCMD {SERVE}\n",
        (
            *("FROM a AS a\nENV A=$A$A\n", 'CMD ["a",', "RUN <<EOF\nsglang\n", "ENV A=b\n"),
            *("ENV A=b \\\n", "ARG A\n", "\\\n", f"FROM a\nCMD {SERVE}\n", f"RUN {SERVE}\n"),
        ),
    ),
    "gemma.service": (
        "[Service]\n",
        f"\nExecStart={SERVE}\n",
        ("Environment=A=b\n", 'Environment="A=$A$A"\n', "%i ", "\\\n", f"ExecStart={SERVE}\n"),
    ),
    "gemma.container": (
        "[Container]\n",
        f"\nExec={SERVE}\n",
        ("Environment=A=b\n", "PublishPort=1:1\n", "Exec=", "PodmanArgs=--env A=b \\\n", '["a",'),
    ),
    "guide.rst": (
        "",
        f"\n.. code-block:: sh\n\n   {SERVE}\n",
        (
            *("a::\n\n b\n", "::\n", " ", "   .. code-block:: sh\n", ".. highlight:: sh\n"),
            f".. code-block:: sh\n\n   {SERVE}\n",
        ),
    ),
    "notes.txt": ("", "\n" + SERVE, ("sglang '\n", f"{SERVE}\n", "sglang\\\n", "$ ", "a=b\n")),
    "compose.yaml": (
        SERVICE + "'sglang serve ",
        "'\n",
        ("${A:-", "${A", "$(", '"', "`", "$A ", "$$", "--x ", "a ", "{", "}", "a=(", "${A:-b} "),
    ),
    "compose.yml": (SERVICE + "[sglang, serve", "]\n", (", --x", ", $A", ', "${A:-b}"')),
    "pod.yaml": (
        POD + "    args:\n",
        "",
        ("    - --tp-size=2\n", "  - image: lmsysorg/sglang\n    args: [--x]\n", "    - $(A)\n"),
    ),
    "values.yaml": ("image: lmsysorg/sglang\nargs:\n", "", ("- --tp-size\n",)),
    "any.yaml": (
        "a: &a sglang serve --x\nb: ",
        "",
        (
            *("[", "- ", "*a, ", "!a ", "{{ ", "{{a}}", "x", "--x ", " ", "\n---\nrun: sglang\n"),
            *(
                "\n- sglang serve --x\n",
                "\n  - {{a}}b\n",
                "\tcommand: sglang serve\n",
                "\n# sglang",
            ),
        ),
    ),
}


def numbered(form: str, head: str = "", tail: str = "") -> Text:
    """``form`` with ``{n}`` and the number before it, ``{m}``, over and over."""

    def text(length: int) -> str:
        forms = (form.format(n=n, m=n - 1) for n in range(1, length // len(form)))
        return "".join((head, *forms, tail))

    return text


def repeated(head: str, piece: str, tail: str) -> Text:
    """``piece`` over and over between ``head`` and ``tail``."""
    return lambda length: head + piece * (length // len(piece)) + tail


OTHERS: dict[str, tuple[str, Text]] = {
    "unknown flags": ("run.sh", numbered("--atention-backend{n} ", SERVE)),
    "variables": (
        "compose.yaml",
        numbered("      A{n}: b\n", f"{SERVICE}{SERVE}\n    environment:\n"),
    ),
    "services": ("compose.yaml", numbered(f"  a{{n}}:\n    command: {SERVE}\n", "services:\n")),
    "services of one": (
        "compose.yaml",
        lambda length: (
            f"x-a: &a\n  image: lmsysorg/sglang\n  command: {SERVE}\n  environment:\n"
            + numbered("    A{n}: b\n")(length // 2)
            + numbered("  a{n}: *a\n", "services:\n")(length // 2)
        ),
    ),
    "long default": (
        "compose.yaml",
        repeated(f"{SERVICE}\n      - sglang\n      - '", "${A:-", "'"),
    ),
    "merged": ("any.yaml", numbered("a{n}: &a{n}\n  <<: *a{m}\n  k{n}: 1\n", "a: sglang\n")),
    "laughs": ("any.yaml", numbered("a{n}: &a{n} [*a{m}, *a{m}, *a{m}]\n", "a0: &a0 [sglang]\n")),
    "stages": (
        "Dockerfile",
        numbered("FROM s{m} AS s{n}\nENV A{n}=x\nCMD sglang serve\n", "FROM a AS s0\n"),
    ),
    "chained variables": (
        "pod.yaml",
        numbered(
            "    - {{name: A{n}, value: $(A{m})$(A{m})}}\n", f"{POD}    args: [--x]\n    env:\n"
        ),
    ),
    "open services": (
        "all.yaml",
        lambda length: (
            "apiVersion: v1\nkind: List\nitems:\n"
            + numbered("- kind: Service\n  spec: {{type: NodePort, selector: {{a: b{n}}}}}\n")(
                length // 2
            )
            + numbered("- spec: {{containers: [{{image: sglang, args: [--x, a{n}]}}]}}\n")(
                length // 2
            )
        ),
    ),
    "long blocks": ("a.md", repeated("", f"```sh\n{'$(' * 60_000}\n```\nsglang serve\n", "")),
    "nested keys": (
        "any.yaml",
        lambda length: (
            "\t{\n"
            + "".join(" " * min(n, 1_000) + "command:\n" for n in range(length // 500))
            + "sglang"
        ),
    ),
}

TEXTS: dict[str, tuple[str, Text]] = {
    **{
        f"{name} {piece!r}": (name, repeated(head, piece, tail))
        for name, (head, tail, pieces) in REPEATED.items()
        for piece in pieces
    },
    **OTHERS,
}


def seconds(name: str, text: str) -> tuple[float, str]:
    """The CPU time of checking ``text`` as the file ``name``, and what came out."""
    began = time.process_time()
    try:
        checked = check(Path(name), text, Options())
        outcome = f"{checked.launches} launches, {len(checked.findings)} findings"
    except UsageError as error:
        outcome = error.message
    return time.process_time() - began, outcome


def main(mebibytes: float) -> None:
    """Prints a line for each text, the slowest last."""
    rows = []
    for label, (name, make) in TEXTS.items():
        text = make(int(mebibytes * 2**20) - 1_000)
        rows.append((*seconds(name, text), label, len(text) / 2**20))
    for spent, outcome, label, size in sorted(rows):
        print(f"{spent:6.2f} s  {size:5.2f} MiB  {label[:40]:40}  {outcome}")


if __name__ == "__main__":
    main(float(sys.argv[1]))
