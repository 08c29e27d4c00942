"""What is asked of an endpoint: how many requests, how long, how many at once, with which images.

The scenarios are those of SGLang's published Gemma 4 figures. Their lengths were drawn by NumPy
from seed 1; drawing them in the same way asks for exactly the published numbers of tokens.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

from gemma4ctl.bench.images import picture
from gemma4ctl.model import Bounds, Model, Positive

BOS = 2  # <bos>: every prompt of Gemma begins with it
# Plain text: below are control tokens and bytes, above the markers of images and audio.
TEXT_TOKENS = range(1_000, 255_000)
WORDS = (  # each is one token
    "time year people way day man thing woman life child world school state family student group "
    "country problem hand part place case week company system program question work number night "
    "point home water room mother area money story fact month lot right study book eye job word "
    "business issue side kind head house service friend father power hour game line end member law "
    "car city name team minute idea body back parent face others level office door health person "
    "art war history party result change morning reason research girl guy moment air teacher force"
)


class Workload(Model):
    """A load: ``requests`` in all, at most ``concurrency`` of them at the same time.

    Lengths are drawn evenly between ``range_ratio`` times the largest and the largest, in tokens;
    with images ``input_tokens`` is the text beside them. ``seed`` decides lengths and content.
    """

    name: str
    input_tokens: Positive
    output_tokens: Positive
    range_ratio: Annotated[float, Bounds(ge=0, le=1)] = 0.0
    requests: Positive
    concurrency: Positive
    images: Annotated[int, Bounds(ge=0)] = 0  # in each request
    image_width: Positive = 1280
    image_height: Positive = 720
    seed: Annotated[int, Bounds(ge=0, lt=1 << 32)] = 1


@dataclass(frozen=True, slots=True)
class Prompt:
    """One request: ``token_ids``, or ``text`` with ``images`` (data URLs), and its answer's length.

    It is not sent before ``arrival_s`` seconds after the start of the run.
    """

    output_tokens: int
    token_ids: Sequence[int] | None = None
    text: str | None = None
    images: tuple[str, ...] = ()
    arrival_s: float = 0.0


def _page(name: str, *, images: int, concurrency: int) -> Workload:
    """A scenario of the published figures: 10 requests one by one, or 1,000 by 100."""
    return Workload(
        name=name,
        input_tokens=128 if images else 1024,
        output_tokens=1024,
        requests=10 if concurrency == 1 else 1000,
        concurrency=concurrency,
        images=images,
    )


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        _page("text-c1", images=0, concurrency=1),
        _page("text-c100", images=0, concurrency=100),
        _page("image-c1", images=2, concurrency=1),
        _page("image-c100", images=2, concurrency=100),
    )
}


def is_published(workload: Workload) -> bool:
    """Whether ``workload`` is a scenario of the published figures as it was measured."""
    return workload == SCENARIOS.get(workload.name)


def prompts(workload: Workload, turn: int = 0) -> Iterator[Prompt]:
    """The requests of ``workload``, one by one: an image takes some milliseconds to make.

    Each ``turn`` has other contents of the same lengths, which no cache knows.
    """
    inputs, outputs = lengths(workload)
    content = random.Random(f"{workload.seed}, turn {turn}")  # noqa: S311
    for asked, answered in zip(inputs, outputs, strict=True):
        if workload.images:
            yield Prompt(
                output_tokens=answered,
                text=" ".join(content.choices(WORDS.split(), k=asked)),
                images=tuple(
                    picture(workload.image_width, workload.image_height, content)
                    for _ in range(workload.images)
                ),
            )
        else:
            ids = content.choices(TEXT_TOKENS, k=asked - 1)
            yield Prompt(output_tokens=answered, token_ids=(BOS, *ids))


def lengths(workload: Workload) -> tuple[list[int], list[int]]:
    """Tokens of each prompt and of each answer, as ``bench_serving --seed`` draws them."""
    bits = numpy_bits(workload.seed)
    inputs = _drawn(bits, workload.input_tokens, workload.range_ratio, workload.requests)
    outputs = _drawn(bits, workload.output_tokens, workload.range_ratio, workload.requests)
    return inputs, outputs


def _drawn(bits: random.Random, largest: int, ratio: float, count: int) -> list[int]:
    """``count`` lengths, as ``numpy.random.randint`` draws them: what is too large is redrawn."""
    smallest = max(int(largest * ratio), 1)
    width = largest - smallest
    mask = (1 << width.bit_length()) - 1
    drawn: list[int] = []
    while len(drawn) < count:
        offset = bits.getrandbits(32) & mask if width else 0
        if offset <= width:
            drawn.append(smallest + offset)
    return drawn


def numpy_bits(seed: int) -> random.Random:
    """A generator whose bits are those of ``numpy.random.seed(seed)``.

    Both are MT19937; NumPy fills the state with Knuth's recurrence, Python with another.
    """
    words = [seed]
    for index in range(1, 624):
        last = words[-1]
        words.append((1_812_433_253 * (last ^ last >> 30) + index) & 0xFFFFFFFF)
    bits = random.Random()  # noqa: S311
    bits.setstate((3, (*words, 624), None))
    return bits
