"""Plan files: a plan with the hashes that tell whether it is whole and what it was made from."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from gemma4ctl.errors import UsageError
from gemma4ctl.model import faults
from gemma4ctl.planning.plan import Plan
from gemma4ctl.rendering.files import write_new

KIND = "gemma4ctl-plan"
SCHEMA_VERSION = 1
_MARKER = f'"kind": "{KIND}"'


def plan_hash(plan: Plan) -> str:
    """SHA-256 of the content of ``plan``, hexadecimal; equal plans have equal hashes."""
    return _content_hash(plan.content)


def write_plan(plan: Plan, path: Path, force: bool) -> None:
    """Write ``plan`` to ``path``; raises :class:`UsageError` as ``write_new`` does."""
    document = {
        "kind": KIND,
        "schema_version": SCHEMA_VERSION,
        "gemma4ctl_version": plan.gemma4ctl_version,
        "profiles_hash": plan.profiles_hash,
        "plan_hash": plan_hash(plan),
        "plan": plan.content,
    }
    text = json.dumps(document, indent=2, ensure_ascii=True) + "\n"
    write_new(path, text, marker=_MARKER, force=force)


def read_plan(path: Path) -> Plan:
    """The plan in ``path``, exactly as it was written.

    Raises:
        UsageError: the file cannot be read, is not a plan file, is of a newer schema, or was
            changed after it was written.
    """
    from pydantic import ValidationError

    document = _read_document(path)
    version = document.get("schema_version")
    if version != SCHEMA_VERSION:
        raise _refused(
            path,
            f"has schema version {version}",
            needed=f"schema version {SCHEMA_VERSION}",
            remedy="the gemma4ctl version that wrote it, or a newer one",
        )
    content = document.get("plan")
    if document.get("plan_hash") != _content_hash(content):
        raise _refused(path, "was changed after it was written, or is incomplete")
    try:
        plan = Plan.model_validate(content)
    except ValidationError as error:
        raise _refused(path, f"does not hold a plan: {faults(error)[0]}") from error
    if (plan.gemma4ctl_version, plan.profiles_hash) != (
        document.get("gemma4ctl_version"),
        document.get("profiles_hash"),
    ):
        raise _refused(path, "contradicts itself about the version or profile table it is from")
    return plan


def _read_document(path: Path) -> dict[str, Any]:
    """The JSON object of a plan file of any schema version."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise _refused(path, f"cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise _refused(path, "is not JSON, or is cut short") from error
    if not isinstance(document, dict) or document.get("kind") != KIND:
        raise _refused(path, "is not a plan file")
    return document


def _content_hash(content: object) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _refused(
    path: Path,
    problem: str,
    *,
    needed: str = "a file written by `gemma4ctl suggest -o FILE`, unchanged",
    remedy: str = "write it anew: gemma4ctl suggest ... -o FILE",
) -> UsageError:
    return UsageError(f"{path} {problem}.", needed=needed, remedies=(remedy,), code="plan-file")
