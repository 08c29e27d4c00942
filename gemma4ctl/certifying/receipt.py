"""The receipt: for which weights, GPU, driver and release the fused kernels are proved.

Receipts are JSON files below ``$XDG_STATE_HOME/gemma4ctl/kernels``; a plan with ``--kernels auto``
uses the fused kernels where one fits.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

from gemma4ctl import folders
from gemma4ctl.certifying.compare import Comparison
from gemma4ctl.model import Model


class Key(Model):
    """What a receipt is good for; with any of it changed, it is good for nothing."""

    weights: str
    gpu: str
    driver: str
    release: str
    module: str  # gemma4ctl's version


class Receipt(Model):
    """What was proved, when. Seconds are those of one output token of a single request."""

    schema_version: Literal[1] = 1
    kind: Literal["kernels"] = "kernels"
    date: str
    variant: str
    model_path: str
    key: Key
    comparisons: dict[str, Comparison]  # of single requests, of a few and of many at once
    stock_seconds: float
    fused_seconds: float

    @property
    def ratio(self) -> float:
        """How many times faster the fused kernels were."""
        return self.stock_seconds / self.fused_seconds

    @property
    def problems(self) -> list[str]:
        """Why stock is to be used for these weights here."""
        found = [
            f"{kind}: {text}" for kind, one in self.comparisons.items() for text in one.problems
        ]
        if not self.ratio >= 1:
            found.append(f"fused kernels are slower here: {self.ratio:.2f}x")
        return found

    @property
    def passed(self) -> bool:
        """Whether the fused kernels compute the same, and are not slower."""
        return not self.problems


def write(receipt: Receipt, environment: Mapping[str, str]) -> Path:
    """Keep ``receipt``, in place of an older one with the same key."""
    folder = _folder(environment)
    folder.mkdir(parents=True, exist_ok=True)
    name = hashlib.sha256(repr(receipt.key).encode()).hexdigest()[:16]
    file = folder / f"{receipt.variant}-{receipt.key.release}-{name}.json"
    file.write_text(json.dumps(receipt.model_dump(mode="json"), indent=2) + "\n", encoding="utf-8")
    return file


def certified(
    environment: Mapping[str, str], *, weights: str, gpu: str, driver: str, module: str
) -> tuple[str, ...]:
    """The releases for which a receipt fits these weights on this host."""
    return tuple(
        sorted(
            {
                receipt.key.release
                for receipt in _receipts(environment)
                if receipt.passed
                and receipt.key
                == Key(
                    weights=weights,
                    gpu=gpu,
                    driver=driver,
                    release=receipt.key.release,
                    module=module,
                )
            }
        )
    )


def _receipts(environment: Mapping[str, str]) -> Iterator[Receipt]:
    """Every receipt that can be read; a damaged one certifies nothing."""
    from pydantic import ValidationError

    for file in sorted(_folder(environment).glob("*.json")):
        try:
            yield Receipt.model_validate_json(file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, ValidationError):
            continue


def _folder(environment: Mapping[str, str]) -> Path:
    return folders.state(environment) / "kernels"
