"""Images and sounds made on the spot: nothing is downloaded, and what they show is known."""

from __future__ import annotations

import base64
import math
import struct
import wave
from io import BytesIO
from typing import Any

from gemma4ctl.png import png as encoded

SIDE = 448  # pixels of an image's edge
SAMPLE_RATE = 16_000
TONE_HZ = 440
COLOURS = {"red": (220, 20, 20), "blue": (20, 40, 220), "green": (20, 170, 40)}


def png(colour: str, side: int = SIDE) -> bytes:
    """A square of one colour of ``COLOURS``."""
    row = b"\0" + bytes(COLOURS[colour]) * side
    return encoded(side, side, row * side, level=9, software="gemma4ctl")


def wav(seconds: float = 2.0) -> bytes:
    """A beeping tone as 16 kHz mono 16-bit WAV."""
    frames = bytearray()
    for n in range(round(seconds * SAMPLE_RATE)):
        loud = 0.4 if n % SAMPLE_RATE < SAMPLE_RATE // 2 else 0.0
        level = loud * math.sin(2 * math.pi * TONE_HZ * n / SAMPLE_RATE)
        frames += struct.pack("<h", round(level * 32767))
    file = BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(SAMPLE_RATE)
        writer.writeframes(bytes(frames))
    return file.getvalue()


def image_part(colour: str) -> dict[str, Any]:
    """An image as a part of a message."""
    return {"type": "image_url", "image_url": {"url": _data_url("image/png", png(colour))}}


def audio_part() -> dict[str, Any]:
    """A sound as a part of a message, as SGLang takes it."""
    return {"type": "audio_url", "audio_url": {"url": _data_url("audio/wav", wav())}}


def text_part(text: str) -> dict[str, Any]:
    """Text as a part of a message."""
    return {"type": "text", "text": text}


def _data_url(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
