"""Images and sounds are what they claim to be."""

from __future__ import annotations

import wave
from io import BytesIO

import pytest

from gemma4ctl.verify.media import COLOURS, SIDE, png, wav
from tests.verify import brain


@pytest.mark.parametrize("colour", COLOURS)
def test_an_image_is_a_square_of_its_colour(colour: str) -> None:
    image = png(colour)
    assert brain.colour(image) == colour
    assert int.from_bytes(image[16:20], "big") == int.from_bytes(image[20:24], "big") == SIDE
    assert len(image) < 10_000


def test_a_sound_is_16_khz_mono_and_not_silent() -> None:
    with wave.open(BytesIO(wav(1.5))) as reader:
        assert reader.getparams()[:4] == (1, 2, 16_000, 24_000)
    assert brain.heard(wav()) == "A beeping tone."
