"""The reviewed plans: every variant on four platforms, with and without MTP.

``golden/README.md`` says what was reviewed, when and how.

``python -m tests.matrix.golden_files`` writes them anew after a change that is meant.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gemma4ctl.errors import NoPlanError
from gemma4ctl.hardware.simulate import simulate
from gemma4ctl.planning.engine import plan
from gemma4ctl.planning.plan import Plan
from gemma4ctl.planning.request import Request
from gemma4ctl.profiles.load import load
from gemma4ctl.rendering.command import ENTRY, argv, environment, lines

FOLDER = Path(__file__).parent / "golden"
PLATFORMS = ("H200", "B200", "B300", "MI300X")


def golden_files() -> dict[str, str]:
    """File name -> text, a file a platform."""
    return {f"{platform}.txt": "\n".join(blocks(platform)) for platform in PLATFORMS}


def blocks(platform: str) -> Iterator[str]:
    """A block for each plan on a node of ``platform``."""
    table = load()
    node = simulate(platform, table.platforms[platform].node_size, table)
    for variant in table.variants:
        for mtp in (False, True):
            request = Request(model=variant, hardware=platform, mtp=mtp)
            head = f"{variant}, {platform}, {'MTP' if mtp else 'no MTP'}"
            try:
                made = plan(request, node, table, advise=False)
            except NoPlanError as error:
                yield f"{head}\n  refused: {error.code}\n"
            else:
                yield block(head, made)


def block(head: str, made: Plan) -> str:
    """Image, environment, command and warnings of a plan, a fact a line."""
    facts = [f"image: {made.image.reference if made.image else 'none'}"]
    facts += [f"{name}={value}" for name, value in environment(made).items()]
    facts += [" ".join(words) for words in lines(argv(made), head=len(ENTRY))]
    facts += [f"warning: {warning.code}" for warning in made.warnings]
    title = f"{head}, SGLang {made.release}, {made.hardware.gpu_count} GPU"
    return "".join(f"{line}\n" for line in (title, *(f"  {fact}" for fact in facts)))


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.glob("*.txt"):
        old.unlink()
    for file_name, text in golden_files().items():
        (FOLDER / file_name).write_text(text, encoding="utf-8")
