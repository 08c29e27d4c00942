"""What a good Gemma 4 would say to the requests of ``gemma4ctl verify``.

It looks into images and sounds, so that requests with broken media are not answered well.
"""

from __future__ import annotations

import base64
import json
import re
import struct
import wave
import zlib
from dataclasses import dataclass
from io import BytesIO
from typing import Any

IMAGE_TOKENS = 256
AUDIO_TOKENS = 50
DELIMITERS = 2  # tokens around an image or a sound
TEMPLATE_TOKENS = 10


@dataclass
class Said:
    """An answer before it is cut to the token limit. ``calls`` are (name, arguments)."""

    content: str = ""
    reasoning: str = ""
    calls: tuple[tuple[str, dict[str, Any]], ...] = ()


def answer(body: dict[str, Any]) -> Said:
    """The answer to a chat completion request."""
    text, images, sounds = parts(body)
    if body.get("response_format"):
        city = {"name": "Paris", "country": "France", "population_millions": 2.1}
        return Said(json.dumps(city | {"is_capital": True}))
    if body.get("tools"):
        cities = [city for city in ("Paris", "Tokyo") if city in text]
        arguments = [{"city": city, "unit": "celsius"} for city in cities]
        return Said(calls=tuple(("get_weather", given) for given in arguments))
    if images:
        return Said(", ".join(colour(data) for data in images))
    if sounds:
        return Said(heard(sounds[0]))
    if "17 times 23" in text:
        thought = "17 times 20 is 340 and 17 times 3 is 51."
        return Said("391", thought if thinks(body) else "")
    if word := re.search(r"Say the word (\w+)", text):
        return Said(word[1])
    if "capital of France" in text:
        return Said("Paris")
    if "Count from 1 to 10" in text:
        return Said(", ".join(map(str, range(1, 11))))
    return Said("Yes.")


def thinks(body: dict[str, Any]) -> bool:
    """Whether thoughts are asked for."""
    return bool((body.get("chat_template_kwargs") or {}).get("enable_thinking"))


def parts(body: dict[str, Any]) -> tuple[str, list[bytes], list[bytes]]:
    """The text, images and sounds of the last message."""
    content = body["messages"][-1]["content"]
    if isinstance(content, str):
        return content, [], []
    texts = [part["text"] for part in content if part["type"] == "text"]
    images = [part["image_url"]["url"] for part in content if part["type"] == "image_url"]
    sounds = [part["audio_url"]["url"] for part in content if part["type"] == "audio_url"]
    return " ".join(texts), [_data(url) for url in images], [_data(url) for url in sounds]


def prompt_tokens(body: dict[str, Any]) -> int:
    """A token a word, and those of images and sounds."""
    text, images, sounds = parts(body)
    media = (IMAGE_TOKENS + DELIMITERS) * len(images) + (AUDIO_TOKENS + DELIMITERS) * len(sounds)
    return TEMPLATE_TOKENS + len(text.split()) + media


def colour(png: bytes) -> str:
    """The name of the colour of an image's first pixel."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    at, data = 8, b""
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        if png[at + 4 : at + 8] == b"IDAT":
            data += png[at + 8 : at + 8 + length]
        at += length + 12
    red, green, blue = zlib.decompress(data)[1:4]
    return max((red, "red"), (green, "green"), (blue, "blue"))[1]


def heard(sound: bytes) -> str:
    """What a sound is, if it is one that Gemma 4 takes."""
    with wave.open(BytesIO(sound)) as reader:
        assert (reader.getframerate(), reader.getnchannels()) == (16_000, 1)
        loud = any(reader.readframes(1000))
    return "A beeping tone." if loud else "Silence."


def _data(url: str) -> bytes:
    head, _, encoded = url.partition(";base64,")
    assert head in ("data:image/png", "data:audio/wav")
    return base64.b64decode(encoded, validate=True)
