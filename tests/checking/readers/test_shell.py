"""Launches in shell scripts: every way to write one, with exact places."""

from __future__ import annotations

import pytest

from tests.checking.readers.reading import argv, launch, launches, uncertain, written


@pytest.mark.parametrize(
    "prefix",
    [
        "sglang serve",
        "/opt/venv/bin/sglang serve",
        "python -m sglang.launch_server",
        "python3.12 -u -X dev -m sglang.launch_server",
        "exec sglang serve",
        "nohup sglang serve",
        "sudo -E -u me sglang serve",
        "env -u X A=b sglang serve",
        "timeout 5m numactl -N 0 -m 0 sglang serve",
        "srun --ntasks=1 --gres gpu:4 python3 -m sglang.launch_server",
        "uv run --with sglang sglang serve",
        "uvx --from sglang sglang serve",
        "conda run -n x sglang serve",
        "docker exec -it box sglang serve",
        "kubectl exec -it pod -- sglang serve",
        "apptainer exec --nv sglang.sif sglang serve",
        "./entrypoint.sh sglang serve",
        "$PYTHON -m sglang.launch_server",
        "if true; then sglang serve",
        "cd /srv && sglang serve",
        "A=b C='d e' sglang serve",
        "( sglang serve",
        "start() { sglang serve",
        "! time sglang serve",
        "true | sglang serve",
        "x=$(sglang serve",
        "x=`true`; sglang serve",
        "case $x in a) sglang serve",
        "cat <(sglang serve",
        "'sglang' \"serve\"",
        "sglang \\\n serve",
        "> log 2>&1 sglang serve",
    ],
)
def test_a_launch_is_found_behind(prefix: str) -> None:
    text = f"#!/bin/sh\n{prefix} --model-path m --tp-size 2"
    assert argv(text)[:4] == ["--model-path", "m", "--tp-size", "2"]
    assert written(text)[:2] == ["--model-path", "m"]


@pytest.mark.parametrize(
    "text",
    [
        "echo sglang serve --x",
        "# sglang serve --x",
        "pip install sglang serve",
        "pkill -f 'sglang serve --x'",
        "grep 'sglang.launch_server' log",
        "sglang generate --x",
        "python -m sglang.bench_serving --x",
        "python -m",
        "python -m sglang_router.launch_router --worker-urls http://a",
        "bash -c",
        "docker run",
        "docker ps; podman run lmsysorg/sglang",
        "python - <<EOF\nsglang serve --x\nEOF",
    ],
)
def test_no_launch_in(text: str) -> None:
    assert launches(text) == []


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (" > log 2>&1 &", ["--x"]),
        (" 2> log", ["--x"]),
        (" &> log --y", ["--x", "--y"]),
        (" >> log; sleep 1", ["--x"]),
        (" | tee log", ["--x"]),
        (" || exit 1", ["--x"]),
        (" # --comment", ["--x"]),
        (" a#b", ["--x", "a#b"]),
        (" \\\n  --y \\\r\n --z", ["--x", "--y", "--z"]),
        (" \\\n# comment\n --y", ["--x"]),
        (" \\ \n --y", ["--x", " "]),
        ("\n--y", ["--x"]),
        (" < in <<< here", ["--x"]),
        (")", ["--x"]),
        (" '' \"\"", ["--x", "", ""]),
        (" 'a b'\"c d\"e\\ f", ["--x", "a bc de f"]),
        (' "a\\"b\\\\c\\d\\$"', ["--x", 'a"b\\c\\d$']),
        (" $'a b'", ["--x", "a b"]),
        (' "a\\\nb"', ["--x", "ab"]),
        (' {"a":1}', ["--x", "{a:1}"]),
        (" '{\"a\": [1]}'", ["--x", '{"a": [1]}']),
        (" a\\", ["--x", "a\\"]),
        (" $", ["--x", "$"]),
        (" <", ["--x"]),
    ],
)
def test_where_words_and_the_command_end(end: str, words: list[str]) -> None:
    assert argv(f"sglang serve --x{end}") == words


def test_places_are_those_of_the_words_as_written() -> None:
    text = "echo é\nsglang serve --a 'b c' \\\n  \"--d=e\""
    found = launch(text)
    assert (found.place.line, found.place.column) == (2, 1)
    assert [(w.text, w.place.line, w.place.column) for w in found.words] == [
        ("--a", 2, 14),
        ("b c", 2, 18),
        ("--d=e", 3, 3),
    ]
    assert written(text) == ["--a", "'b c'", '"--d=e"']
    assert {word.style for word in found.words} == {"shell"}


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_line_ends_and_a_byte_order_mark_keep_places_right(newline: str) -> None:
    text = newline.join(["\ufeffA=1", "sglang serve \\", "  --x y", "sglang serve --z", ""])
    first, second = launches(text)
    assert first.argv == ("--x", "y")
    assert (first.words[0].place.line, first.words[0].place.column) == (3, 3)
    assert second.place.line == 4


@pytest.mark.parametrize(
    ("before", "written_words", "words"),
    [
        ("M=m", "$M ${M} '$M'", ["m", "m", "$M"]),
        ("M='a b'", '$M "$M" x$M', ["a", "b", "a b", "xa", "b"]),
        ('ARGS="--a 1\n --b"', "$ARGS --c", ["--a", "1", "--b", "--c"]),
        ("ARGS=(--a 'b c' # no\n --d)", '"${ARGS[@]}"', ["--a", "b c", "--d"]),
        ("ARGS=(--a)\nARGS+=(--b)", '"${ARGS[@]}" ${ARGS[*]}', ["--a", "--b", "--a --b"]),
        ('A="--a"\nA="$A --b"\nA+=" --c"', "$A", ["--a", "--b", "--c"]),
        ("ARGS=()", '"${ARGS[@]}" --x', ["--x"]),
        ("E=", '$E "$E" --x', ["", "--x"]),
        ("", '${P:-30000} ${Q:-a b} "${R-c d}" ${S:=$T}', ["30000", "a", "b", "c d", "$T"]),
        ("P=1", "${P:-2} ${P:?set it} a$P", ["1", "1", "a1"]),
        ("P=1\nP=2", "$P", ["2"]),
        ("X=1\nY=$X$X", "$Y", ["11"]),
        ("local V=3; declare -r W=4; readonly Z=5", "$V $W $Z", ["3", "4", "5"]),
        ("ARGS=(--a b)", 'pre"${ARGS[@]}"post', ["pre--a", "bpost"]),
        ("Q=$(cat x)", "$Q", ["$(cat x)"]),
        (
            "X=1",
            "$((X + 1)) $(date) `id` ${X%1} ${#X}",
            ["$((X + 1))", "$(date)", "`id`", "${X%1}", "${#X}"],
        ),
        ("N='1 '", "${N}x", ["1", "x"]),
        ("N=' 1'", "x$N", ["x", "1"]),
    ],
)
def test_variables(before: str, written_words: str, words: list[str]) -> None:
    if "${ARGS[*]}" in written_words:
        words = ["--a", "--b", "--a", "--b"]
    assert argv(f"{before}\nsglang serve {written_words}") == words


@pytest.mark.parametrize(
    ("script", "names"),
    [
        ('sglang serve $A ${B} "$C" "$@" $1 x', ["$A", "${B}", "$C", "$@", "$1"]),
        ("A=1; unset A; sglang serve $A", ["$A"]),
        ("read A; sglang serve $A ${A:-1}", ["$A", "${A:-1}"]),
        ("for A in 1 2; do sglang serve $A; done", ["$A"]),
        ("if x; then A=1; else A=2; fi; sglang serve $A", ["$A"]),
        ("A=1; if x; then A=2; fi; sglang serve $A", ["$A"]),
        ("B+=$A; A=$B; sglang serve $A", ["$A"]),
        ("A=1; A+=$B; sglang serve x$A", ["x1$B"]),
        ("sglang serve <MODEL> '<your model>' {{x}} ... [OPTIONS]", None),
        ("sglang serve --a 'unclosed --b", ["'unclosed --b"]),
        ("sglang serve --a $'x\\ty'", ["x\\ty"]),
        ("sglang serve ${A:+--x $A}", ["${A:+--x $A}"]),
        ("sglang serve ${!A}", ["${!A}"]),
    ],
)
def test_what_is_known_only_at_run_time_is_uncertain(script: str, names: list[str] | None) -> None:
    found = uncertain(script)
    assert found == (names if names is not None else argv(script))
    assert all(w.start == -1 for w in launch(script).words if not w.certain)


def test_words_of_variables_point_to_where_they_are_written() -> None:
    text = "ARGS=(--a 'b c')\nMODEL=m\nsglang serve \"${ARGS[@]}\" --m $MODEL --n=$MODEL"
    assert written(text) == ["--a", "'b c'", "--m", "m", None]


def test_a_command_in_a_variable() -> None:
    assert argv('CMD="sglang serve --x"\n$CMD --y') == ["--x", "--y"]
    assert argv('CMD=(sglang serve --x)\nexec "${CMD[@]}" --y') == ["--x", "--y"]
    assert argv('CMD="sglang serve --x"\neval "$CMD"') == ["--x"]


@pytest.mark.parametrize(
    ("script", "environment"),
    [
        ("A=b sglang serve", {"A": "b"}),
        ("export A=b\nC=d\nsglang serve", {"A": "b"}),
        ("A=b\nexport A C\nsglang serve", {"A": "b", "C": None}),
        ("declare -x A=b\nsglang serve", {"A": "b"}),
        ("set -a\nA=b\nset +a\nC=d\nsglang serve", {"A": "b"}),
        ("export A=1\nA=2 env B=3 C=$X sglang serve", {"A": "2", "B": "3", "C": None}),
        ("A=$(id) sglang serve", {"A": None}),
    ],
)
def test_environment(script: str, environment: dict[str, str | None]) -> None:
    assert dict(launch(script).environment) == environment


@pytest.mark.parametrize(
    "script",
    [
        "bash -c 'sglang serve --x y'",
        'sh -lc "cd /x && exec sglang serve --x y"',
        "tmux new-session -d -s s 'sglang serve --x y'",
        'tmux send-keys -t s "sglang serve --x y" C-m',
        'ssh host "nohup sglang serve --x y > log &"',
        "sudo bash -c 'bash -c \"sglang serve --x y\"'",
        "docker run img bash -c 'sglang serve --x y'",
        "bash <<EOF\nsglang serve --x y\nEOF",
        "ssh host <<-'EOF'\n\tsglang serve --x y\n\tEOF",
        "cat > run.sh <<EOF\n#!/bin/sh\nsglang serve --x y\nEOF\nchmod +x run.sh",
        "cat <<EOF | sudo tee /etc/x.service\n[Service]\nExecStart=sglang serve --x y\nEOF",
        'tee Dockerfile <<EOF\nFROM x\nCMD ["sglang", "serve", "--x", "y"]\nEOF',
        "bash <<< 'sglang serve --x y'",
        "cat <<EOF > run.sh\nsglang serve --x y",
        'M=y; bash -c "sglang serve --x $M"',
    ],
)
def test_scripts_in_scripts(script: str) -> None:
    assert argv(script) == ["--x", "y"]
    assert launch(script).kind == "shell"
    assert all(word.start >= 0 for word in launch(script).words)


def test_a_here_document_expands_as_the_shell_does() -> None:
    assert uncertain("A=1\ncat > r.sh <<EOF\nsglang serve $A \\$B \\\\\nEOF") == ["$B"]
    assert uncertain("A=1\ncat > r.sh <<'EOF'\nsglang serve $B\nEOF") == ["$B"]


@pytest.mark.parametrize(
    "broken",
    [
        "echo 'don't\n",
        'echo "unclosed\n',
        'echo "$(unclosed `\n',
        "cat <<NEVER\n",
        "if true; then (\n",
        "echo ${unclosed\n",
        "A=(--a\n",
        "))) ;; esac fi }\n",
        'bash -c "sglang serve --y\n',
    ],
)
def test_what_is_plain_is_found_in_broken_scripts(broken: str) -> None:
    found = launches(f"{broken}sglang serve --x y\nsglang serve --z")
    assert ("--z",) in [launch.argv for launch in found]


def test_a_router_passes_its_workers_their_words() -> None:
    found = launch(
        "python -m sglang_router.launch_server --model-path m --router-policy random "
        "--worker-urls http://a http://b --dp-size 2 --router-verbose --port 1"
    )
    assert found.entry == "router"
    assert found.argv == ("--model-path", "m", "--dp-size", "2", "--port", "1")


def test_entries() -> None:
    assert launch("sglang serve").entry == "serve"
    assert launch("python -m sglang.launch_server").entry == "module"


def test_of_a_very_long_script_the_lines_that_name_sglang_are_read() -> None:
    text = "A=1\n" + "echo hello\n" * 25_000 + "sglang serve --x $A\n"
    assert uncertain(text) == ["$A"]
    assert launch(text).place.line == 25_002
    assert launches("a" * 300_000 + " sglang serve --x") == []
