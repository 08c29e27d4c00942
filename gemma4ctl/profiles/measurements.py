"""Published speed and accuracy figures, for comparison with a running endpoint.

They are read on demand from ``measurements.yaml``, since planning does not need them. Times are in
milliseconds (means), rates in tokens per second; rates count input and output tokens together
unless the name says output.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from gemma4ctl.model import Model
from gemma4ctl.profiles import reading

MEASUREMENTS_FILE = Path(__file__).with_name("measurements.yaml")


class Speed(Model):
    """One benchmark run of ``sglang.bench_serving``.

    ``workload``: "random" and "two-720p-images" are the page's runs (random lengths around 610 in
    and 422 out at concurrency 1, 512 and 511 at 100; two images a request), "random-I-O" has
    exactly I tokens in and O out.
    """

    variant: str
    platform: str
    line: str = "standard"
    tp: int
    mtp: bool = False
    input: Literal["text", "image"]
    workload: str
    concurrency: int
    output_tok_s: float | None = None
    total_tok_s: float | None = None
    tok_s_per_gpu: float | None = None
    ttft_ms: float
    tpot_ms: float
    attention_backend: str | None = None
    release: str | None = None  # None: a development build
    source: str


class Accuracy(Model):
    """One score: a fraction of right answers, or of wrong words for the two ``_wer``.

    ``questions`` is how many were asked, where the source tells.
    """

    variant: str
    platform: str
    metric: Literal["mmlu", "gsm8k", "mmmu", "asr_wer", "fleurs_en_us_wer"]
    value: float
    questions: int | None = None
    harness: Literal["sgl-eval", "run_eval", "few_shot"] | None = None
    source: str


class Measurements(Model):
    """All published figures."""

    speed: tuple[Speed, ...]
    accuracy: tuple[Accuracy, ...]


def load_measurements() -> Measurements:
    """The published figures that the package ships."""
    text = MEASUREMENTS_FILE.read_text(encoding="utf-8")
    return Measurements.model_validate(reading.parse_trusted(text))
