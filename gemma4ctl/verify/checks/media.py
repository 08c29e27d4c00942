"""Images and audio: they count as prompt tokens, and the model knows what they show.

A server that drops a picture still answers. Its prompt tokens betray it: they are those of the
text alone. Audio is only sent to a variant that is known to take it: without an audio tower, one
such request ends SGLang 0.5.11 to 0.5.23.
"""

from __future__ import annotations

from typing import Any

from gemma4ctl.verify.faults import Skip
from gemma4ctl.verify.media import audio_part, image_part, text_part
from gemma4ctl.verify.reply import Reply
from gemma4ctl.verify.session import Done, Session, counted, question, shortened

LEAST_IMAGE_TOKENS = 16  # the smallest budget of Gemma 4 is 70 soft tokens
LEAST_AUDIO_TOKENS = 10  # 2 seconds at 40 ms a token are 50
ONE = "What colour is this image? Answer with one word."
TWO = "What colours are these images? Answer with two words, in order."
HEARD = "What do you hear? Answer with a few words."


def image(session: Session) -> Done:
    """One image adds tokens to the prompt and is described."""
    _need(session, "image", session.facts.has_images)
    reply, added = _with_media(session, [image_part("red")], ONE)
    _require(reply, added, LEAST_IMAGE_TOKENS, "image")
    _judge_colours(session, reply, "red")
    return _seen(reply, added, "image_tokens")


def images(session: Session) -> Done:
    """Two images add twice as many tokens and are told apart."""
    _need(session, "image", session.facts.has_images)
    one = _with_media(session, [image_part("green")], TWO)[1]
    reply, added = _with_media(session, [image_part("green"), image_part("blue")], TWO)
    _require(reply, added, LEAST_IMAGE_TOKENS, "image")
    if added < 1.5 * one:
        raise reply.exchange.fault(
            "image-dropped", f"one image adds {one} tokens to a prompt, two add {added}"
        )
    _judge_colours(session, reply, "green", "blue")
    return _seen(reply, added, "image_tokens")


def audio(session: Session) -> Done:
    """A sound adds tokens to the prompt and is answered to."""
    _need(session, "audio", session.facts.has_audio)
    if session.modalities is None:
        raise Skip(
            "the variant is not known, and audio ends one without an audio tower: --model names it"
        )
    reply, added = _with_media(session, [audio_part()], HEARD)
    _require(reply, added, LEAST_AUDIO_TOKENS, "audio")
    session.judge_text(reply)
    return _seen(reply, added, "audio_tokens")


def _need(session: Session, kind: str, served: bool | None) -> None:
    """Skip what the variant or the server does not take."""
    if session.modalities is not None and kind not in session.modalities:
        variant = session.facts.variant or session.expected_variant
        raise Skip(f"Gemma 4 {variant} takes no {kind} input")
    if served is False:
        raise Skip(f"the server takes no {kind} input")
    if session.facts.refuses(kind):
        raise Skip(f"the server refuses {kind} input: --limit-mm-data-per-request")


def _with_media(session: Session, parts: list[dict[str, Any]], text: str) -> tuple[Reply, int]:
    """The answer, and how many prompt tokens the parts added to the text."""
    alone = session.client.chat(question(text, 1))
    reply = session.client.chat(question([*parts, text_part(text)], 48))
    return reply, reply.usage.prompt - alone.usage.prompt


def _require(reply: Reply, added: int, least: int, kind: str) -> None:
    if added < least:
        raise reply.exchange.fault(
            f"{kind}-dropped",
            f"the prompt has {added} tokens more than without the {kind}; at least {least} are due",
        )


def _judge_colours(session: Session, reply: Reply, *colours: str) -> None:
    said = reply.content.lower()
    places = [said.find(colour) for colour in colours]
    session.judge(
        "colours",
        -1 not in places and places == sorted(places),
        "wrong-answer",
        f"images of {' and '.join(colours)} are described as {shortened(reply.content)}",
        reply,
    )
    session.judge_text(reply)


def _seen(reply: Reply, added: int, name: str) -> Done:
    detail = f"{shortened(reply.content, 30)}, {added} tokens of {counted(reply)}"
    return Done(detail, {name: float(added), "seconds": reply.seconds})
