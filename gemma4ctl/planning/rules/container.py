"""The rule about the container image."""

from __future__ import annotations

from gemma4ctl.planning.releases import release_of_image
from gemma4ctl.planning.rules.base import Choose, Outcomes, Warn, rule
from gemma4ctl.planning.situation import Situation
from gemma4ctl.profiles import lookup

FLOATING = ("latest", "dev", "nightly")


@rule("container-image", source="image-uses", severity="crash")
def container_image(s: Situation) -> Outcomes:
    """The image for GPU, driver, CPU and release; a tag that nobody was seen to use is a guess."""
    if s.request.image is not None:
        yield from _named(s.request.image, s)
        return
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
        yield Warn(
            "image-unknown",
            f"no container image of SGLang {s.release.name} for {s.platform.title} is known",
            "name one with --image, or plan for another release with --sglang-version",
        )
        return
    image = found[0]
    runtime = f"CUDA {image.cuda}" if image.cuda else f"ROCm {image.rocm}" if image.rocm else "CPU"
    yield Choose(
        "image",
        image.reference,
        f"SGLang {s.release.name}, {runtime}, for {s.platform.architecture}",
        status="verified" if image.status == "verified" else "estimated",
        source=image.source,
    )
    if image.status == "guess":
        yield Warn(
            "image-guess",
            f"the tag {image.reference} follows the naming of others, but was not seen in use",
            f"try `docker manifest inspect {image.reference}` first, or name one with --image",
        )


def _named(reference: str, s: Situation) -> Outcomes:
    """The image that the user named; a floating tag is used, never silently."""
    origin = s.request.origins.get("image", "flag")
    yield Choose("image", reference, "asked for", source="user", origin=origin)
    tag = reference.rsplit("/", 1)[-1].partition(":")[2]
    inside = release_of_image(reference, s.profiles)
    if inside not in (None, s.release.name):
        yield Warn(
            "image-other-release",
            f"{reference} holds SGLang {inside}, but the plan is for {s.release.name}",
            f"--sglang-version {inside}",
        )
    elif "@" not in reference and (not tag or tag.startswith(FLOATING)):
        yield Warn(
            "image-floating",
            f"{reference} may be another SGLang release tomorrow",
            "name a release tag or a digest",
            severity="silent",
        )
