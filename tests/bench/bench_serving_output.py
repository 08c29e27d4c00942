"""A stand-in for an interpreter with SGLang: it takes the place of
``python -m sglang.bench_serving``, writes results of that form (constructed; the names of the
fields are those of SGLang 0.5.16) and says on stdout what it was given.

FAIL in the environment: what it does wrong.
"""

from __future__ import annotations

import json
import os
import sys
from itertools import pairwise
from pathlib import Path

METRICS = ("ttft_ms", "tpot_ms", "itl_ms", "e2e_latency_ms")


def main() -> int:
    words = sys.argv[1:]
    options = dict(pairwise(words))
    fail = os.environ.get("FAIL")
    print("in", Path.cwd())
    print("a key" if os.environ.get("OPENAI_API_KEY") == "secret-key" else "no key")
    if fail == "status":
        print("ValueError: Warmup failed", file=sys.stderr)
        return 3
    if fail == "nothing":
        return 0
    if "--dataset-path" in options:
        with open(options["--dataset-path"]) as file:
            texts = [each["conversations"][0]["value"] for each in json.load(file)]
        assert len(texts) == int(options["--num-prompts"])
        assert {len(text.split()) for text in texts} == {int(options["--random-input-len"])}
        assert len(set(texts)) == len(texts)
    found = {
        "duration": 17.5,
        "completed": int(options["--num-prompts"]) - (1 if fail == "one" else 0),
        "total_input_tokens": 6101,
        "total_output_tokens": 4220,
        "request_throughput": 0.57,
        "input_throughput": 348.6,
        "output_throughput": 241.1,
        "concurrency": 1.0,
        "accept_length": None,
        "max_output_tokens_per_s": 252.0,
        "max_concurrent_requests": 2,
    }
    for name in METRICS:
        for place, part in enumerate(("mean", "median", "std", "p90", "p99"), start=1):
            found[f"{part}_{name}"] = float(place)
    if fail == "field":
        del found["median_itl_ms"]
    with open(options["--output-file"], "a") as file:
        file.write(json.dumps(found) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
