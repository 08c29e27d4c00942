"""Workloads: the published scenarios to the token, and prompts that no cache knows."""

from __future__ import annotations

import random
import struct
import zlib
from base64 import b64decode

import pytest

from gemma4ctl.bench.images import png
from gemma4ctl.bench.workload import BOS, SCENARIOS, TEXT_TOKENS, Workload, lengths, prompts


def workload(**changes: object) -> Workload:
    given = {"name": "own", "input_tokens": 20, "output_tokens": 9, "requests": 8, "concurrency": 2}
    return Workload.model_validate({**given, **changes})


@pytest.mark.parametrize(
    ("name", "prompt_tokens", "answer_tokens"),
    [
        # The totals that SGLang's Gemma 4 page prints for its text runs, and for the answers of
        # its image runs (whose prompts also count the template and the images).
        ("text-c1", 6101, 4220),
        ("text-c100", 512_842, 510_855),
        ("image-c1", None, 4220),
        ("image-c100", None, 510_855),
    ],
)
def test_the_published_numbers_of_tokens(
    name: str, prompt_tokens: int | None, answer_tokens: int
) -> None:
    inputs, outputs = lengths(SCENARIOS[name])
    assert sum(outputs) == answer_tokens
    if prompt_tokens is not None:
        assert sum(inputs) == prompt_tokens


@pytest.mark.parametrize(
    ("seed", "largest", "ratio", "expected"),
    [
        # Captured from numpy 2.4.6: numpy.random.seed(seed), then numpy.random.randint(
        # max(int(largest * ratio), 1), largest + 1, size=6).
        (1, 1024, 0.0, [38, 236, 909, 73, 768, 906]),
        (42, 1000, 0.3, [402, 735, 570, 406, 371, 1000]),
        (7, 777, 1.0, [777] * 6),
        (4294967295, 100, 0.5, [85, 84, 62, 57, 50, 72]),
    ],
)
def test_lengths_are_those_of_numpy(
    seed: int, largest: int, ratio: float, expected: list[int]
) -> None:
    asked = workload(seed=seed, input_tokens=largest, range_ratio=ratio, requests=6)
    assert lengths(asked)[0] == expected


def test_prompts_are_plain_text_of_the_drawn_lengths() -> None:
    asked = workload(requests=50, input_tokens=300)
    inputs, outputs = lengths(asked)
    made = list(prompts(asked))
    assert [len(p.token_ids or ()) for p in made] == inputs
    assert [p.output_tokens for p in made] == outputs
    for prompt in made:
        assert prompt.token_ids is not None
        assert prompt.token_ids[0] == BOS
        assert all(token in TEXT_TOKENS for token in prompt.token_ids[1:])


def test_a_turn_changes_the_content_alone() -> None:
    asked = workload(range_ratio=1.0)
    first, again, second = (list(prompts(asked, turn)) for turn in (0, 0, 1))
    assert first == again
    assert [p.output_tokens for p in first] == [p.output_tokens for p in second]
    assert not {p.token_ids for p in first} & {p.token_ids for p in second}


def test_images_come_with_words() -> None:
    asked = workload(requests=2, images=2, image_width=33, image_height=20, range_ratio=1.0)
    made = list(prompts(asked))
    assert all(len((p.text or "").split()) == 20 and p.token_ids is None for p in made)
    files = {url for prompt in made for url in prompt.images}
    assert len(files) == 4
    assert all(url.startswith("data:image/png;base64,") for url in files)
    assert size(b64decode(files.pop().partition(",")[2])) == (33, 20)


def test_a_picture_is_a_whole_png() -> None:
    file = png(33, 20, random.Random(1))
    kinds, data = chunks(file)
    assert kinds == [b"IHDR", b"IDAT", b"IEND"]
    rows = zlib.decompress(data)
    assert len(rows) == 20 * (1 + 3 * 33)
    filters = [rows[index * 100] for index in range(20)]
    assert filters == [0, *[2] * 15, 0, *[2] * 3]
    assert rows[1:4] * 16 == rows[1:49]  # a square of one colour
    assert not any(rows[101:200])  # as the row above


def test_bounds() -> None:
    from pydantic import ValidationError

    for wrong in ({"requests": 0}, {"range_ratio": 1.5}, {"images": -1}, {"seed": 1 << 32}):
        with pytest.raises(ValidationError):
            workload(**wrong)


def size(file: bytes) -> tuple[int, int]:
    width, height = struct.unpack(">II", file[16:24])
    return width, height


def chunks(file: bytes) -> tuple[list[bytes], bytes]:
    """Kinds of all chunks and the data of IDAT; every checksum is checked."""
    kinds, pixels, at = [], b"", 8
    while at < len(file):
        (length,) = struct.unpack(">I", file[at : at + 4])
        kind, data = file[at + 4 : at + 8], file[at + 8 : at + 8 + length]
        (checksum,) = struct.unpack(">I", file[at + 8 + length : at + 12 + length])
        assert checksum == zlib.crc32(kind + data)
        kinds.append(kind)
        pixels += data if kind == b"IDAT" else b""
        at += 12 + length
    return kinds, pixels
