"""Parts of a report: made, or broken with the error that is shown in their place."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

_T = TypeVar("_T")


class MissingPartError(Exception):
    """A part cannot be made without another one; the text is the other's error."""


class Part(Generic[_T]):
    """What ``make`` returned, or the error that came instead."""

    def __init__(self, make: Callable[[], _T]) -> None:
        self.value: _T | None = None
        self.error: str | None = None
        try:
            self.value = make()
        except MissingPartError as error:
            self.error = str(error)
        except Exception as error:  # whatever is broken here is what the report is about
            self.error = f"{type(error).__name__}: {error}"

    @property
    def needed(self) -> _T:
        """The value, for a part that cannot be made without it.

        Raises:
            MissingPartError: there is none.
        """
        if self.error:
            raise MissingPartError(self.error)
        return cast(_T, self.value)

    @property
    def shown(self) -> Any:
        """The value, or ``{"error": ...}`` in its place."""
        return {"error": self.error} if self.error else self.value


class Aside(Generic[_T]):
    """A part that is made in the background, and given up when it takes too long."""

    def __init__(self, make: Callable[[], _T]) -> None:
        self._made: list[Part[_T]] = []
        self._thread = threading.Thread(target=lambda: self._made.append(Part(make)), daemon=True)
        self._thread.start()

    def part(self, limit_s: float) -> Part[_T]:
        """The part, for which at most ``limit_s`` seconds are waited."""
        self._thread.join(limit_s)
        return self._made[0] if self._made else Part(lambda: _late(limit_s))


def _late(limit_s: float) -> Any:
    raise TimeoutError(f"no answer within {limit_s:g} s")
