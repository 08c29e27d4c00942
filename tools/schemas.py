#!/usr/bin/env python3
"""Generates the schemas of what commands print and write as JSON: ``tools/schemas.py [--check]``.

Each lies beside the models that it is made from. ``--check`` fails when one is stale.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import gemma4ctl
from gemma4ctl.bench.document import BenchResult
from gemma4ctl.bench.reports.compare import Comparison
from gemma4ctl.bench.reports.reference import Reference
from gemma4ctl.evaluation.result import EvalResult
from gemma4ctl.fitting.document import FitDocument
from gemma4ctl.model import Model
from gemma4ctl.profiles.generated import write_or_check
from gemma4ctl.replanning.document import ReplanDocument
from gemma4ctl.tuning.document import TuneDocument
from gemma4ctl.verify.document import VerifyDocument

PACKAGE = Path(gemma4ctl.__file__).parent
SCHEMAS: dict[str, type[Model]] = {
    "bench/bench.schema.json": BenchResult,
    "bench/reports/comparison.schema.json": Comparison,
    "bench/reports/reference.schema.json": Reference,
    "evaluation/eval.schema.json": EvalResult,
    "fitting/fit.schema.json": FitDocument,
    "replanning/replan.schema.json": ReplanDocument,
    "tuning/tune.schema.json": TuneDocument,
    "verify/verify.schema.json": VerifyDocument,
}


def schema_text(model: type[Model]) -> str:
    """The schema of ``model`` as the text of a file."""
    schema = model.model_json_schema(mode="serialization")
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def main(arguments: Sequence[str]) -> int:
    """Write or check every file; 1 when one is stale."""
    return max(
        write_or_check(PACKAGE / file, schema_text(model), "tools.schemas", arguments)
        for file, model in SCHEMAS.items()
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
