"""Code blocks of reStructuredText. All texts are written for these tests."""

from __future__ import annotations

import pytest

from tests.checking.readers.reading import argv, launch, launches, written

COMMAND = "sglang serve --model-path m --tp-size 2"
WORDS = ["--model-path", "m", "--tp-size", "2"]


@pytest.mark.parametrize(
    "text",
    [
        f".. code-block:: bash\n\n   {COMMAND}\n",
        f".. code:: sh\n\n\t{COMMAND}\n",
        f".. sourcecode:: console\n\n    $ {COMMAND}\n    Uvicorn running\n",
        f".. code-block::\n\n   {COMMAND}\n",
        f".. prompt:: bash $\n\n   {COMMAND}\n",
        f".. parsed-literal::\n\n   {COMMAND}\n",
        f".. code-block:: bash\n   :caption: start\n   :emphasize-lines: 1\n\n   {COMMAND}\n",
        f".. note::\n\n   Start it:\n\n   .. code-block:: bash\n\n      {COMMAND}\n",
        f"Start it::\n\n   {COMMAND}\n\nIt starts.\n",
        f"::\n\n  {COMMAND}\n",
        f"* Start it::\n\n    {COMMAND}\n",
        f".. highlight:: bash\n\nStart it::\n\n   {COMMAND}\n",
        ".. code-block:: bash\n\n   sglang serve \\\n     --model-path m \\\n     --tp-size 2\n",
    ],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_blocks_that_are_read(text: str, newline: str) -> None:
    text = text.replace("\n", newline)
    assert argv(text, "guide.rst") == WORDS
    assert written(text, "guide.rst") == WORDS
    assert launch(text, "guide.rst").kind == "rst"


@pytest.mark.parametrize(
    "text",
    [
        f"Prose about {COMMAND}.\n",
        f".. code-block:: python\n\n   '{COMMAND}'\n",
        f".. code-block:: bash\n\n{COMMAND}\n",
        f".. {COMMAND}\n",
        f".. note:: as in\n\n   {COMMAND}\n",
    ],
)
def test_what_is_no_code_is_left_alone(text: str) -> None:
    assert launches(text, "guide.rst") == []


def test_blocks_share_variables_and_end_where_the_indent_ends() -> None:
    text = """
.. code-block:: bash

   TP=2

Then:

.. code-block:: bash

   sglang serve --model-path m \\
     --tp-size $TP
   echo done
Text --that --is --not --a command.
"""
    assert argv(text, "guide.rst") == WORDS


def test_files_in_blocks() -> None:
    text = """
.. code-block:: yaml
   :caption: compose.yaml

   services:
     gemma:
       image: lmsysorg/sglang:v0.5.16
       command: sglang serve --model-path m --tp-size 2
       ports: ["30000:30000"]

.. code-block:: systemd

   [Container]
   Image=lmsysorg/sglang:v0.5.16
   Exec=sglang serve --model-path m --tp-size 2
   PublishPort=127.0.0.1:30000:30000
"""
    compose, quadlet = launches(text, "guide.rst")
    assert (compose.published, quadlet.published) == (True, False)
    assert list(compose.argv) == list(quadlet.argv) == WORDS
    assert [word.place.line for word in quadlet.words] == [15] * 4
