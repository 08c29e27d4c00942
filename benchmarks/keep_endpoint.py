#!/usr/bin/env python3
"""Keep what served.py recorded of a variant: as fixtures of the tests, and as results.

    keep_endpoint.py OUT/NAME --driver VERSION [--root FOLDER]

FOLDER is the repository. Its tests/verify/captured/NAME gets each answer that came, and
benchmarks/results/endpoint/NAME gets the report of ``gemma4ctl verify``, the scores of
``gemma4ctl eval`` and ``server.json``: machine, release, command and times of the start. Two pages
are cut: /metrics keeps the buckets of two histograms, and the state in /server_info what its
arguments do not say already. Everything is redacted once more.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from redaction import redacted
from shared import write

WITH_BUCKETS = ("sglang:time_to_first_token_seconds", "sglang:prompt_tokens_histogram")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("recorded", type=Path, metavar="OUT/NAME")
    parser.add_argument("--driver", required=True, metavar="VERSION")
    parser.add_argument("--root", type=Path, default=Path(__file__).parents[1], metavar="FOLDER")
    args = parser.parse_args()
    name = args.recorded.resolve().name
    keep_answers(args.recorded / "verify", args.root / "tests/verify/captured" / name)
    keep_results(args.recorded, args.root / "benchmarks/results/endpoint" / name, args.driver)
    return 0


def keep_answers(recorded: Path, kept: Path) -> None:
    """The answers among the files of ``recorded``, small enough for the tests."""
    for file in sorted(recorded.glob("*.json")):
        answer = json.loads(file.read_text(encoding="utf-8"))
        if answer.get("status") is None:  # the report, or nothing that came back
            continue
        if file.stem == "metrics":
            answer["body"] = without_buckets(answer["body"])
        if file.stem == "server_info":
            answer["body"] = without_repetition(answer["body"])
        write(kept / file.name, redacted(answer))


def without_buckets(page: str) -> str:
    """A /metrics page whose histograms, but for two, have their sum and count only."""
    lines = page.splitlines(keepends=True)
    return "".join(li for li in lines if "_bucket{" not in li or li.startswith(WITH_BUCKETS))


def without_repetition(page: str) -> str:
    """A /server_info page whose states do not repeat the arguments."""
    document = json.loads(page)
    document["internal_states"] = [
        {k: v for k, v in state.items() if k not in document or document[k] != v}
        for state in document["internal_states"]
    ]
    return json.dumps(document, separators=(",", ":"))


def keep_results(recorded: Path, kept: Path, driver: str) -> None:
    """The report, the scores, and a record of the server they are of."""
    served = json.loads((recorded / "server.serve.json").read_text(encoding="utf-8"))
    write(kept / "server.json", redacted({"driver": driver, **served}))
    for file in [recorded / "verify/verify.json", *sorted((recorded / "eval").glob("*.json"))]:
        folder = kept / "eval" if file.parent.name == "eval" else kept
        write(folder / file.name, redacted(json.loads(file.read_text(encoding="utf-8"))))


if __name__ == "__main__":
    sys.exit(main())
