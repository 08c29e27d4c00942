"""Text in, text out: at once, as a stream, and many at a time."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

from gemma4ctl.verify.reply import Reply
from gemma4ctl.verify.session import Done, Session, counted, question, shortened

CAPITAL = question("What is the capital of France? Answer with one word.", 32)
COUNT = question("Count from 1 to 10 in digits, separated by commas, and say nothing else.", 64)
WORDS = ("apple", "river", "candle", "violin", "marble", "falcon", "pepper", "anchor")


def chat(session: Session) -> Done:
    """A question is answered, with usage and a finish reason."""
    reply = session.client.chat(CAPITAL)
    session.judge_text(reply, good="paris" in reply.content.lower())
    return Done(f"{shortened(reply.content)}, {counted(reply)}", {"seconds": reply.seconds})


def stream(session: Session) -> Done:
    """An answer comes as events, with usage at the end, and begins soon."""
    reply = session.client.stream(COUNT)
    numbers = re.findall(r"\d+", reply.content)
    session.judge_text(reply, good=numbers == [str(n) for n in range(1, 11)])
    same = session.client.chat({**COUNT, "max_tokens": 1})
    if same.usage.prompt != reply.usage.prompt:
        raise reply.exchange.fault(
            "wrong-usage",
            f"the same prompt has {same.usage.prompt} tokens, streamed {reply.usage.prompt}",
        )
    first_s = reply.first_token_s or reply.seconds
    figures = {"first_token_s": first_s, "seconds": reply.seconds}
    return Done(f"{counted(reply)}, first after {first_s * 1000:.0f} ms", figures)


def concurrent(session: Session) -> Done:
    """Requests at the same time are all answered, each with its own word."""

    def ask(word: str) -> Reply:
        return session.client.stream(question(f"Say the word {word} and nothing else.", 32))

    with ThreadPoolExecutor(len(WORDS)) as pool:
        replies = list(pool.map(ask, WORDS))
    for word, reply in zip(WORDS, replies, strict=True):
        other = next((w for w in WORDS if w != word and w in reply.content.lower()), None)
        session.judge(
            "own-answer",
            other is None,
            "answers-mixed",
            f"asked for {word}, answered {shortened(reply.content)}",
            reply,
        )
        session.judge_text(reply, good=word in reply.content.lower())
    slowest = max(reply.seconds for reply in replies)
    return Done(f"{len(WORDS)} at once, the last after {slowest:.1f} s", {"seconds": slowest})
