"""The container image of a plan."""

from __future__ import annotations

from gemma4ctl.planning.plan import ImageChoice, PlanWarning
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
        return _named(s.request.image)
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
        return None, (
            PlanWarning(
                code="image-unknown",
                severity="crash",
                message=f"no container image of SGLang {s.release.name} for "
                f"{s.platform.title} is known",
                remedy="name one with --image, or plan for another release with --sglang-version",
                rule=RULE,
            ),
        )
    image = found[0]
    runtime = f"CUDA {image.cuda}" if image.cuda else f"ROCm {image.rocm}" if image.rocm else "CPU"
    choice = ImageChoice(
        reference=image.reference,
        status=image.status,
        reason=f"SGLang {s.release.name}, {runtime}, for {s.platform.architecture}",
        source=image.source,
    )
    return choice, () if image.status == "verified" else (_guess(image.reference),)


def _named(reference: str) -> tuple[ImageChoice, tuple[PlanWarning, ...]]:
    choice = ImageChoice(reference=reference, status="user", reason="asked for", source="user")
    tag = reference.rsplit("/", 1)[-1].partition(":")[2]
    if "@" in reference or (tag and not tag.startswith(FLOATING)):
        return choice, ()
    return choice, (
        PlanWarning(
            code="image-floating",
            severity="silent",
            message=f"{reference} may be another SGLang release tomorrow",
            remedy="name a release tag or a digest",
            rule=RULE,
        ),
    )


def _guess(reference: str) -> PlanWarning:
    return PlanWarning(
        code="image-guess",
        severity="crash",
        message=f"the tag {reference} follows the naming of others, but was not seen in use",
        remedy=f"try `docker manifest inspect {reference}` first, or name one with --image",
        rule=RULE,
    )
