"""The container image of a plan."""

from __future__ import annotations

from gemma4ctl.planning.plan import ImageChoice, PlanWarning, Severity
from gemma4ctl.planning.releases import release_of_image
from gemma4ctl.planning.situation import Situation
from gemma4ctl.profiles import lookup

RULE = "container-image"
FLOATING = ("latest", "dev", "nightly")


def choose_image(s: Situation) -> tuple[ImageChoice | None, tuple[PlanWarning, ...]]:
    """The image for the GPUs, driver, CPU and release of ``s``; None where no tag is known.

    A tag that was never seen in use is a guess, and says so; a floating tag is only used when
    the user names it.
    """
    if s.request.image is not None:
        return _named(s.request.image, s)
    found = lookup.images(
        s.profiles,
        vendor=s.platform.vendor,
        release=s.release.name,
        architecture=s.platform.architecture,
        cpu_architecture=s.inventory.host.cpu_architecture or s.platform.cpu_architectures[0],
        variant=s.variant_name,
        cuda_major=s.cuda_major,
    )
    if not found:
        missing = _warning(
            "image-unknown",
            "crash",
            f"no container image of SGLang {s.release.name} for {s.platform.title} is known",
            "name one with --image, or plan for another release with --sglang-version",
        )
        return None, (missing,)
    image = found[0]
    runtime = f"CUDA {image.cuda}" if image.cuda else f"ROCm {image.rocm}" if image.rocm else "CPU"
    choice = ImageChoice(
        reference=image.reference,
        status=image.status,
        reason=f"SGLang {s.release.name}, {runtime}, for {s.platform.architecture}",
        source=image.source,
    )
    return choice, () if image.status == "verified" else (_guess(image.reference),)


def _named(reference: str, s: Situation) -> tuple[ImageChoice, tuple[PlanWarning, ...]]:
    choice = ImageChoice(reference=reference, status="user", reason="asked for", source="user")
    tag = reference.rsplit("/", 1)[-1].partition(":")[2]
    inside = release_of_image(reference, s.profiles)
    warning = None
    if inside not in (None, s.release.name):
        warning = _warning(
            "image-other-release",
            "crash",
            f"{reference} holds SGLang {inside}, but the plan is for {s.release.name}",
            f"--sglang-version {inside}",
        )
    elif "@" not in reference and (not tag or tag.startswith(FLOATING)):
        warning = _warning(
            "image-floating",
            "silent",
            f"{reference} may be another SGLang release tomorrow",
            "name a release tag or a digest",
        )
    return choice, (warning,) if warning else ()


def _guess(reference: str) -> PlanWarning:
    return _warning(
        "image-guess",
        "crash",
        f"the tag {reference} follows the naming of others, but was not seen in use",
        f"try `docker manifest inspect {reference}` first, or name one with --image",
    )


def _warning(code: str, severity: Severity, message: str, remedy: str) -> PlanWarning:
    return PlanWarning(code=code, severity=severity, message=message, remedy=remedy, rule=RULE)
