"""Launches in the code blocks of Markdown and MDX."""

from __future__ import annotations

import pytest

from tests.checking.readers.reading import argv, launch, launches, uncertain, written


def fence(code: str, info: str = "bash", mark: str = "```") -> str:
    return f"# Title\n\nRun `sglang serve --inline`, don't wait:\n\n{mark}{info}\n{code}\n{mark}\n"


@pytest.mark.parametrize(
    "info",
    [
        "bash",
        "sh",
        "shell",
        "zsh",
        'Bash title="x"',
        "{.bash}",
        "{bash}",
        "console",
        "",
        "text",
        "none",
    ],
)
def test_a_launch_is_found_in(info: str) -> None:
    text = fence("sglang serve --x \\\n  y", info)
    assert argv(text, "README.md") == written(text, "README.md") == ["--x", "y"]
    found = launch(text, "README.md")
    assert (found.kind, found.place.line, found.place.column) == ("markdown", 6, 1)


@pytest.mark.parametrize("info", ["python", "diff", "json5", "toml", "c++"])
def test_other_languages_are_not_shell(info: str) -> None:
    assert launches(fence("sglang serve --x", info), "README.md") == []


@pytest.mark.parametrize("info", ["console", "bash", "", "shell-session"])
def test_in_a_session_what_was_typed_counts(info: str) -> None:
    session = (
        "$ sglang serve --a \\\n>   --b\nsglang serve: error\nsglang serve starts up\n"
        "(venv) $ sglang serve --c\n"
        "me@host:~/x$ sglang serve --d \\\n    --e\nerror: 'unclosed"
    )
    found = [found.argv for found in launches(fence(session, info), "README.md")]
    assert found == [("--a", "--b"), ("--c",), ("--d", "--e")]


def test_commands_that_a_command_prints() -> None:
    printed = "Gemma 4\n\nsglang serve \\\n  --x y \\\n  --z\n\n--x\n  a\n"
    session = f"$ gemma4ctl suggest\n{printed}"
    assert argv(fence(session, "console"), "README.md") == ["--x", "y", "--z"]


@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("dockerfile", 'FROM x\nCMD ["sglang", "serve", "--x", "y"]'),
        ("ini", "[Service]\nExecStart=sglang serve --x \\\n y"),
        ("systemd", "[Service]\nExecStart=sglang serve --x y"),
    ],
)
def test_files_in_fences(language: str, code: str) -> None:
    for indent in ("", "   ", "> "):
        text = "\n".join(indent + line for line in fence(code, language).split("\n"))
        assert argv(text, "README.md") == ["--x", "y"]
        assert launch(text, "README.md").kind == "markdown"
        assert all(word.start >= 0 for word in launch(text, "README.md").words)


@pytest.mark.parametrize(
    "text",
    [
        "1. one\n\n   ```sh\n   sglang serve --x \\\n     y\n   ```\n",
        "- a\n  - b\n    ~~~~sh\n    sglang serve --x \\\n    y\n    ~~~~\n",
        "> ```sh\n> sglang serve --x \\\n>   y\n> ```\n",
        "para\n\n    sglang serve --x \\\n      y\n",
        "<details>\n```sh\nsglang serve --x \\\ny\n```\n</details>\n",
        '<!-- note -->\n<Tabs>\n<Tab title="a">\n```sh\nsglang serve --x y\n```\n</Tab>\n</Tabs>\n',
        "```sh\r\nsglang serve --x \\\r\n  y\r\n```\r\n",
        "```sh\nsglang serve --x y",
        "````md\n```\n````\n\n```sh\nsglang serve --x y\n```\n",
        "```sh\ncat > r.sh <<'EOF'\nsglang serve --x y\nEOF\n```\n",
    ],
)
def test_where_blocks_stand(text: str) -> None:
    assert argv(text, "a.md") == written(text, "a.md") == ["--x", "y"]


def test_mdx_has_no_indented_code() -> None:
    code = "    ```bash\n    sglang serve --x \\\n      y\n    ```\n"
    text = f"import X from 'x'\n\n<Tabs>\n  <Tab>\n{code}  </Tab>\n</Tabs>\n"
    assert argv(text, "a.mdx") == written(text, "a.mdx") == ["--x", "y"]


def test_prose_in_a_block_without_language() -> None:
    text = fence("sglang serve starts the server\nIt's up: sglang serve --no\nsglang serve --x", "")
    assert argv(text, "a.md") == ["--x"]


def test_variables_of_an_earlier_block() -> None:
    text = fence("export M=m A=1") + fence("sglang serve --x $M $U")
    assert argv(text, "a.md") == ["--x", "m", "$U"]
    assert uncertain(text, "a.md") == ["$U"]
    assert dict(launch(text, "a.md").environment) == {"M": "m", "A": "1"}


def test_tabs_in_a_list_keep_the_words() -> None:
    text = "-\t```sh\n\tsglang serve --x \\\n\t\ty\n\t```\n"
    assert argv(text, "a.md") == ["--x", "y"]


def test_markdown_is_known_by_its_content() -> None:
    assert launch(fence("sglang serve --x"), "").kind == "markdown"


@pytest.mark.parametrize(
    "block",
    [
        "```bat\nsglang serve --x ^\n  --y 1\n```\n",
        "```cmd\nC:\\work>sglang serve --x ^\n  --y 1\n```\n",
        "```powershell\nsglang serve --x `\n  --y 1\n```\n",
        "```powershell\nPS C:\\Users\\me> sglang serve --x `\n>>   --y 1\n```\n",
    ],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_lines_that_go_on_as_on_windows(block: str, newline: str) -> None:
    block = block.replace("\n", newline)
    assert argv(block, "a.md") == ["--x", "--y", "1"]
    assert written(block, "a.md") == ["--x", "--y", "1"]


@pytest.mark.parametrize(
    "word",
    ["<N>", "{tp}", "gemma-4-{size}-it", "[--tp-size", "N]", "[OPTIONS]", "..."],
)
def test_what_the_reader_is_to_fill_in_is_not_known(word: str) -> None:
    assert uncertain(f"```sh\nsglang serve --x {word}\n```\n", "a.md") == [word]


@pytest.mark.parametrize("word", ["'{\"a\": 1}'", "[1,2]", "a[0]", "{}"])
def test_json_is_known(word: str) -> None:
    assert uncertain(f"```sh\nsglang serve --x {word}\n```\n", "a.md") == []
