"""Rules about the SGLang release."""

from __future__ import annotations

from gemma4ctl.errors import NoPlanError
from gemma4ctl.planning.rules.base import Choose, Outcomes, Warn, rule
from gemma4ctl.planning.situation import Situation
from gemma4ctl.profiles.table import Status


@rule("release", source="wheels", severity="crash")
def release(s: Situation) -> Outcomes:
    """Plan for the release asked for, else the installed one, else the table's."""
    status: Status = "verified" if s.release.known else "estimated"
    yield Choose(
        "sglang_version",
        s.release.name,
        s.release.reason,
        status=status,
        origin=s.release.origin,
    )


@rule("release-unknown", source="wheels", severity="crash")
def release_unknown(s: Situation) -> Outcomes:
    """A release that the table does not know is planned with the rules of the newest older one."""
    if not s.release.known:
        yield Warn(
            "release-unknown",
            f"SGLang {s.release.name} is not in the profile table; the rules and flags of "
            f"{s.release.row_name} were used",
            "compare with `sglang serve --help` there, or use --sglang-version "
            f"{s.release.row_name}",
        )


@rule("release-serves-variant", source="wheels", severity="crash")
def release_serves_variant(s: Situation) -> Outcomes:
    """Refuse a release that lacks the model class or the transformers that knows it."""
    if s.release.before(s.variant.min_release):
        raise NoPlanError(
            f"SGLang {s.release.name} cannot serve Gemma 4 {s.variant_name}",
            needed=f"SGLang {s.variant.min_release} or newer",
            found=f"{s.release.name} ({s.release.reason})",
            code="release-too-old",
        )
    yield from ()


@rule("driver-cuda", source="sglang-install", severity="crash")
def driver_cuda(s: Situation) -> Outcomes:
    """The driver must be new enough for a CUDA version that the release is built with."""
    driver = s.inventory.host.cuda_driver_version
    built = s.release.row.cuda_major
    if s.platform.vendor != "nvidia" or not built:
        return
    major = s.cuda_major
    if major is not None and major < min(built):
        last = [name for name, row in s.profiles.releases.items() if major in row.cuda_major]
        yield Warn(
            "driver-too-old",
            f"the driver supports CUDA {driver}, but SGLang {s.release.name} is built for "
            f"CUDA {min(built)}",
            "update the NVIDIA driver to 580 or newer"
            + (f", or use --sglang-version {last[-1]}" if last else ""),
        )
