"""Record what a real server answers, and what ``gemma4ctl verify`` makes of it.

    python benchmarks/verify_endpoint.py URL OUT [--timeout SECONDS] [--skip CHECK]...

Writes OUT/<name>.json for each raw answer (streams included) and OUT/verify.json, the report. The
answers need the standard library and this package only; the report needs ``openai`` and
``prometheus_client`` too, and what is missing is said. Files that exist are kept, so a run that was
cut off goes on where it stopped. Paths of the host, its names, GPUs and keys are taken out, and an
answer is cut at 256 KiB, so that the files can become test fixtures (keep_endpoint.py).
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from redaction import machine_names, redacted
from shared import write

from gemma4ctl.endpoint import http
from gemma4ctl.endpoint.address import Endpoint, endpoint
from gemma4ctl.endpoint.facts import SECRET_ARGUMENTS, Facts, read_facts
from gemma4ctl.endpoint.presence import require_model
from gemma4ctl.errors import Gemma4ctlError
from gemma4ctl.launch.redact import MASK
from gemma4ctl.profiles import load
from gemma4ctl.verify.checks import chat, media, thinking, tools
from gemma4ctl.verify.media import audio_part, image_part, text_part
from gemma4ctl.verify.session import question

LARGEST_KEPT = 256 << 10  # characters of one answer
LONGEST_MEDIA = 80  # characters of a data URL in a kept request
PAGES = ("/health", "/v1/models", "/model_info", "/server_info", "/metrics")
NEEDED = ("openai", "prometheus_client")
STREAM = {"stream": True, "stream_options": {"include_usage": True}}


def requests(random_weights: bool, sound: str | None) -> Iterator[tuple[str, dict[str, Any]]]:
    """The chat completions to record, by name; ``sound`` is the name of the one with a sound."""
    most = 48 if random_weights else thinking.MAX_TOKENS  # noise is as well-formed when short
    image = question([image_part("red"), text_part(media.ONE)], 48)
    audio = question([audio_part(), text_part(media.HEARD)], 48)
    calls = {"max_tokens": min(most, tools.MAX_TOKENS)}
    weather = tools.request(tools.PARIS, "get_weather") | calls
    several = tools.request(tools.PARIS_AND_TOKYO, "get_time", "get_weather") | calls
    yield "chat", chat.CAPITAL
    yield "chat-repeated", chat.CAPITAL  # with the prompt in the cache
    yield "stream", chat.COUNT | STREAM
    yield "image", image
    yield "image-stream", image | STREAM
    if sound:
        yield sound, audio
    yield "thinking-on", thinking.request(True, most)
    yield "thinking-on-stream", thinking.request(True, most) | STREAM
    yield "thinking-off", thinking.request(False, 48)
    yield "thinking-off-stream", thinking.request(False, 48) | STREAM
    yield "tools", weather
    yield "tools-stream", weather | STREAM
    yield "tools-several-stream", several | STREAM
    yield "too-long", question(" and" * 600_000, 8)
    yield "no-messages", {"messages": [], "max_tokens": 8}


def sound(facts: Facts) -> str | None:
    """What the answer to a sound is called; None where there may be none.

    SGLang 0.5.16 ends on a sound for a model without an audio tower, unless its limit is 0.
    """
    variant = load.load().variants.get(facts.variant or "")
    if variant is not None and "audio" in variant.modalities:
        return "audio"
    return "audio-refused" if facts.refuses("audio") else None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url")
    parser.add_argument("out", type=Path)
    parser.add_argument("--timeout", type=float, default=120.0)
    parser.add_argument("--skip", action="append", default=[])
    options = parser.parse_args()
    where = endpoint(options.url)
    facts = read_facts(where)
    try:
        model = require_model(where, facts)
    except Gemma4ctlError as error:
        sys.exit(f"{error}")
    options.out.mkdir(parents=True, exist_ok=True)
    for path in PAGES:
        name = path.strip("/").replace("/", "-")
        record(options.out / f"{name}.json", {}, lambda p=path: http.get(where, p, 30))
    for name, body in requests(bool(facts.random_weights), sound(facts)):
        full = {"model": model, "temperature": 0, **body}
        ask = lambda b=full: http.post(where, "/v1/chat/completions", b, options.timeout)  # noqa: E731
        record(options.out / f"{name}.json", full, ask)
    return verify(where, options)


def record(file: Path, body: dict[str, Any], ask: Callable[[], http.Answer]) -> None:
    """Ask, and keep request and answer, unless an answer is kept already."""
    if file.exists() and json.loads(file.read_text(encoding="utf-8"))["status"] is not None:
        return
    answer = ask()
    text = without_secrets(answer.body.decode("utf-8", errors="replace"))
    document = {
        "request": shortened(body),
        "status": answer.status,
        "content_type": answer.content_type,
        "problem": answer.problem,
        "seconds": round(answer.seconds, 3),
        "cut": len(text) > LARGEST_KEPT,
        "body": text[:LARGEST_KEPT],
    }
    write(file, redacted(document, machine_names()))
    print(f"{file.name}: {answer.problem or answer.status}, {answer.seconds:.1f} s", flush=True)


def shortened(value: Any) -> Any:
    """A request with its media and long texts cut: what they are is known."""
    if isinstance(value, dict):
        return {key: shortened(part) for key, part in value.items()}
    if isinstance(value, list):
        return [shortened(part) for part in value]
    if isinstance(value, str) and len(value) > 2 * LONGEST_MEDIA:
        return f"{value[:LONGEST_MEDIA]}... ({len(value)} characters)"
    return value


def without_secrets(text: str) -> str:
    """The text of /server_info with the values of secret arguments masked, at every depth."""
    names = "|".join(SECRET_ARGUMENTS)
    return re.sub(rf'("(?:{names})"\s*:\s*)"(?:\\.|[^"\\])*"', rf'\1"{MASK}"', text)


def verify(where: Endpoint, options: argparse.Namespace) -> int:
    """Write the report of ``gemma4ctl verify``; 4 when something failed, 3 when it cannot run."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        print(f"no report: {', '.join(missing)} not installed here", flush=True)
        return 3
    from gemma4ctl.verify.document import verify_document
    from gemma4ctl.verify.run import Options, run
    from gemma4ctl.verify.text import closing_lines, result_lines

    def show(result: Any) -> None:
        print("\n".join(line.text for line in result_lines(result, 120)), flush=True)

    began = time.monotonic()
    chosen = Options(skip=tuple(options.skip), timeout_s=options.timeout, folder=options.out)
    try:
        report = run(where, chosen, on_result=show)
    except Gemma4ctlError as error:  # the server has ended meanwhile
        sys.exit(f"{error}")
    document = verify_document(report).model_dump(mode="json")
    write(options.out / "verify.json", redacted(document, machine_names()))
    print("\n".join(closing_lines(report)))
    print(f"verify took {time.monotonic() - began:.1f} s")
    return 0 if report.passed else 4


if __name__ == "__main__":
    sys.exit(main())
