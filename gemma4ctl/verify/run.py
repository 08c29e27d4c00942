"""Run checks one after the other, and make a report of them."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from gemma4ctl import folders
from gemma4ctl.endpoint.address import Endpoint
from gemma4ctl.endpoint.facts import Facts, read_facts
from gemma4ctl.endpoint.presence import require_answer
from gemma4ctl.errors import Gemma4ctlError, UsageError
from gemma4ctl.extras import require
from gemma4ctl.profiles import load, lookup
from gemma4ctl.verify.checks import CHECKS, Check
from gemma4ctl.verify.client import Client
from gemma4ctl.verify.curl import curl_line, get_line
from gemma4ctl.verify.faults import BLOCKING, Fault, Skip
from gemma4ctl.verify.report import Report, Result
from gemma4ctl.verify.session import Session

TIMEOUT_S = 60.0
FACTS_TIMEOUT_S = 10.0
PACKAGES = ("openai", "prometheus_client.parser")
PATHS = {"health": "/health", "model": "/v1/models", "metrics": "/metrics", "mtp": "/server_info"}

OnResult = Callable[[Result], None]


@dataclass(frozen=True)
class Options:
    """What to check, and how.

    ``model`` is a served id or the name of a variant; None: the first that is served. ``only``
    and ``skip`` are names of checks. ``timeout_s`` is for one request. ``random_weights``: None
    means as the server says. Long requests that fail are kept in ``folder``.
    """

    model: str | None = None
    only: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    timeout_s: float = TIMEOUT_S
    random_weights: bool | None = None
    folder: Path | None = None


def run(
    endpoint: Endpoint,
    options: Options = Options(),
    on_result: OnResult = lambda _: None,
    stop: threading.Event | None = None,
) -> Report:
    """Check the endpoint. A fault never ends the run; ``stop`` does, before the next check.

    Raises:
        EndpointUnreachableError: nothing answers there.
        UsageError: a check has no such name, or a package is missing.
    """
    chosen = choose(options)
    require_packages()
    began, date = time.monotonic(), datetime.now(timezone.utc).isoformat(timespec="seconds")
    target = find(endpoint, options)
    session = _session(target, options)
    folder = options.folder or folders.state(os.environ) / "verify"
    results: list[Result] = []
    blocked = None
    for check in chosen:
        if stop is not None and stop.is_set():
            break
        result = _run(check, session.fresh(), folder) if blocked is None else _after(check, blocked)
        if result.fault in BLOCKING:
            blocked = blocked or result
        results.append(result)
        on_result(result)
    return Report(
        url=endpoint.url,
        date=date,
        model=target.model,
        variant=target.facts.variant,
        release=target.facts.release,
        random_weights=session.random_weights,
        results=tuple(results),
        seconds=time.monotonic() - began,
    )


def require_packages() -> None:
    """Refuse to begin without the packages that checks need.

    Raises:
        UsageError: one is missing.
    """
    for module in PACKAGES:
        require(module, "client", "checking an endpoint")


def choose(options: Options) -> list[Check]:
    """The checks to run, in their order.

    Raises:
        UsageError: a name is none of a check, or none is left.
    """
    names = [check.name for check in CHECKS]
    for name in (*options.only, *options.skip):
        if name not in names:
            raise UsageError(
                f"there is no check {name!r}",
                needed=", ".join(names),
                remedies=["gemma4ctl verify --list says what each does"],
                code="check-unknown",
            )
    wanted = set(options.only or names) - set(options.skip)
    if not wanted:
        raise UsageError("no check is left to run", code="nothing-to-check")
    return [check for check in CHECKS if check.name in wanted]


@dataclass(frozen=True)
class Target:
    """An endpoint, what it says of itself, and the model to ask there.

    ``modalities`` are those of the variant, where the server or the user says which it is;
    ``expected_variant`` is the one that the user named.
    """

    endpoint: Endpoint
    facts: Facts
    model: str
    modalities: tuple[str, ...] | None
    expected_variant: str | None


def find(endpoint: Endpoint, options: Options) -> Target:
    """What is at ``endpoint``.

    Raises:
        EndpointUnreachableError: nothing answers there.
    """
    facts = read_facts(endpoint, min(options.timeout_s, FACTS_TIMEOUT_S))
    require_answer(endpoint, facts)
    profiles = load.load()
    served = facts.model_ids[0] if facts.model_ids else facts.model_path or "default"
    model, expected = options.model or served, None
    if model not in facts.model_ids:
        with suppress(UsageError):
            expected = lookup.variant_name(profiles, model)
            model = served
    variant = profiles.variants.get(facts.variant or expected or "")
    return Target(endpoint, facts, model, variant.modalities if variant else None, expected)


def _session(target: Target, options: Options) -> Session:
    given = options.random_weights
    return Session(
        endpoint=target.endpoint,
        client=Client(target.endpoint, target.model, options.timeout_s),
        facts=target.facts,
        random_weights=bool(target.facts.random_weights) if given is None else given,
        modalities=target.modalities,
        expected_variant=target.expected_variant,
    )


def _run(check: Check, session: Session, folder: Path) -> Result:
    """Run one check; whatever it raises is its result."""
    began = time.monotonic()
    try:
        done = check.run(session)
    except Skip as skip:
        return Result(check.name, check.title, "skip", str(skip), time.monotonic() - began)
    except Fault as fault:
        return Result(
            check.name,
            check.title,
            "fail",
            fault.message,
            time.monotonic() - began,
            fault=fault.code,
            unjudged=tuple(session.unjudged),
            curl=_repeat(check, session.endpoint, fault, folder),
        )
    return Result(
        check.name,
        check.title,
        "pass",
        done.detail,
        time.monotonic() - began,
        unjudged=tuple(session.unjudged),
        figures=done.figures,
    )


def _repeat(check: Check, endpoint: Endpoint, fault: Fault, folder: Path) -> str:
    """The request that showed a fault, as a curl command."""
    if fault.body is None:
        return get_line(endpoint, PATHS.get(check.name, "/v1/models"))
    return curl_line(endpoint, fault.body, check.name, folder)


def _after(check: Check, blocked: Result) -> Result:
    reason = f"not tried: {blocked.check} found {blocked.fault}"
    return Result(check.name, check.title, "skip", reason, 0.0)


class Verification:
    """A verification in a thread, beside a server that this process supervises.

    Signals still reach the supervisor. ``say`` is called from the thread, once: with the report,
    or with why there is none. ``report`` is None until it is complete.
    """

    def __init__(self, endpoint: Endpoint, options: Options, say: Callable[[str], None]) -> None:
        self.report: Report | None = None
        self._endpoint, self._options, self._say = endpoint, options, say
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._verify, name="verify", daemon=True)

    def begin(self) -> None:
        """The server is ready."""
        self._thread.start()

    def end(self) -> None:
        """The server stops: begin no further check. May be called more than once."""
        self._stop.set()

    def wait(self, timeout_s: float | None = None) -> None:
        """Wait until it is complete, or has ended."""
        self._thread.join(timeout_s)

    def document(self) -> dict[str, Any] | None:
        """The report as a JSON-ready object; None where there is none."""
        from gemma4ctl.verify.document import verify_document

        return verify_document(self.report).model_dump(mode="json") if self.report else None

    def _verify(self) -> None:
        from gemma4ctl.verify.text import plain_lines

        try:
            report = run(self._endpoint, self._options, stop=self._stop)
        except Gemma4ctlError as error:
            if not self._stop.is_set():
                self._say(f"the endpoint could not be verified: {error}")
            return
        if not self._stop.is_set():
            self.report = report
            self._say("\n".join(plain_lines(report)))


def names(values: Iterable[str]) -> tuple[str, ...]:
    """Names from options that may be repeated and may hold commas."""
    return tuple(name.strip() for value in values for name in value.split(",") if name.strip())
