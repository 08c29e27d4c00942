"""Which prefill chunks a plan may choose from: small ones hold more, large ones cut fewer images.

Tokens, unless a name says MiB.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from gemma4ctl.capacity.stages import MIB, idle_free_mib
from gemma4ctl.planning.fraction import least_free_mib
from gemma4ctl.planning.situation import Situation
from gemma4ctl.profiles.table import AutoSize

AUTO_CHUNK = 8_192  # where SGLang's own is not known
LEAST_CHUNK = 2_048  # smaller prefill chunks leave the GPU idle
CHUNK_STEP = 1_024  # a chunk for images is a multiple of this

ACTIVATION_MIB_PER_TOKEN = 1.5  # what SGLang reserves for a token of a prefill chunk
MASK_COPIES = 2  # the dense image mask and the copy made of it
FIXED_RESERVE_MIB = 512  # what SGLang reserves besides activations and CUDA graphs

Origin = Literal["user", "tuned", "images", "load", "sglang", "cap"]


class Lever(NamedTuple):
    """A setting that decides what fits, and who chose it; "sglang": its own default."""

    value: float
    origin: Origin


def chunks(s: Situation, tp: int, share: float, *, load: bool) -> list[Lever]:
    """The prefill chunks to choose from, the preferred first; -1 switches chunking off."""
    own, cell = s.given("chunked_prefill_size"), s.cell()
    if own is not None:
        return [Lever(int(own), "user")]
    if cell and cell.chunked_prefill_size is not None:
        return [Lever(cell.chunked_prefill_size, "tuned")]
    usual = s.auto_size.chunked_prefill if s.auto_size else AUTO_CHUNK
    smaller = [usual >> n for n in (1, 2) if usual >> n >= LEAST_CHUNK] if load else []
    levers = [Lever(usual, "sglang"), *(Lever(size, "load") for size in smaller)]
    images = image_chunk(s, tp, share)
    if images is None:
        return levers
    return [Lever(images, "images"), *(x for x in levers if 0 < x.value < images or images < 0)]


def image_chunk(s: Situation, tp: int, share: float) -> int | None:
    """The prefill chunk that cuts the fewest images; -1 switches chunking off; None: any.

    It matters where image tokens see each other in both directions, on Triton, and where the
    context is known.
    """
    if not masks_images(s) or s.auto_size is None or s.context_asked is None:
        return None
    largest = safe_chunk(s, tp, share, s.auto_size)
    return -1 if largest >= s.context else max(CHUNK_STEP, largest)


def masks_images(s: Situation) -> bool:
    """Whether image tokens get a two-way mask, which a prefill chunk must not cut."""
    wanted = s.images and s.variant.bidirectional_images
    return wanted and s.value("attention_backend") == "triton"


def safe_chunk(s: Situation, tp: int, share: float, size: AutoSize) -> int:
    """The largest prefill chunk whose activations and image mask fit beside the pools.

    The mask of a request has chunk x context entries of one byte. A multiple of 1,024, at least 0.
    """
    total = s.unit_mib or 0
    taken = max(0, idle_free_mib(total) - (least_free_mib(s, tp) or 0))  # by others
    left = (total - taken) * (1 - share) - FIXED_RESERVE_MIB - 2 * size.graph_max_bs
    per_token = ACTIVATION_MIB_PER_TOKEN + MASK_COPIES * s.context / MIB
    return max(0, int(left / per_token) // CHUNK_STEP * CHUNK_STEP)
