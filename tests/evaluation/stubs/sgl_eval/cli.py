"""A stand-in for ``sgl_eval.cli`` 0.1.3."""

import sys
from pathlib import Path

from standin import play


def main(argv: list[str]) -> int:
    task = argv[1]
    out = Path(argv[argv.index("--out-dir") + 1])
    return play(argv, task, out / f"sgl_eval_{task}_20261122-055103")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
