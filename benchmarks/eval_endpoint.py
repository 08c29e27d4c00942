"""Record what the evaluators make of a real server, without a network.

    python benchmarks/eval_endpoint.py URL OUT [--questions N] [--python PATH] [--timeout SECONDS]

Makes up N sums (40) in GSM8K's form and in sgl-eval's, and has ``gemma4ctl eval`` ask them with
each evaluator that the interpreter PATH has. Writes OUT/<evaluator>.json, the result, and
OUT/<evaluator>/gsm8k/, all that the evaluator wrote. Results that exist are kept, so a run that was
cut off goes on where it stopped. With random weights the score is that of guessing; what is
recorded is that questions, answers, progress and figures come through. Exits 1 when no evaluator
gave a score.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
EVALUATORS = ("sgl-eval", "run_eval", "few_shot")


def questions(folder: Path, count: int) -> dict[str, Path]:
    """A file of sums for each evaluator."""
    sums = [(f"What is {n} + {3 * n}?", 4 * n) for n in range(count)]
    own = [{"problem": text, "expected_answer": answer} for text, answer in sums]
    gsm8k = [{"question": text, "answer": f"#### {answer}"} for text, answer in sums]
    made = {}
    for name, rows in (("sgl-eval", own), ("run_eval", gsm8k), ("few_shot", gsm8k)):
        made[name] = folder / f"{name}.jsonl"
        made[name].write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return made


def is_complete(result: Path) -> bool:
    """Whether a result of an earlier call has a score."""
    return bool(json.loads(result.read_text())["scores"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("url")
    parser.add_argument("out", type=Path)
    parser.add_argument("--questions", type=int, default=40)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--timeout", type=int, default=180)
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    succeeded = False
    for name, file in questions(asked.out, asked.questions).items():
        result = asked.out / f"{name}.json"
        if result.exists() and is_complete(result):
            succeeded = True
            continue
        options = ["--harness", name, "--dataset", str(file), "--python", asked.python]
        limits = ["--timeout", str(asked.timeout), "--max-tokens", "64", "--threads", "16"]
        kept = ["--keep", str(asked.out / name), "-o", str(result)]
        words = ["-m", "gemma4ctl", "eval", "gsm8k", "--url", asked.url]
        done = subprocess.run([sys.executable, *words, *options, *limits, *kept], cwd=ROOT)
        print(f"{name}: exit status {done.returncode}")
        succeeded |= done.returncode == 0
    return 0 if succeeded else 1


if __name__ == "__main__":
    sys.exit(main())
