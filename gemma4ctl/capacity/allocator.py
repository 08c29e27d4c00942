"""How much GPU memory PyTorch's caching allocator reserves for a sequence of tensors.

Its rules, restated from the CUDA caching allocator of PyTorch 2.4 to 2.14
(c10/cuda/CUDACachingAllocator.cpp): requests up to 1 MiB share segments of 2 MiB, requests below
10 MiB share segments of 20 MiB, larger ones get a segment of their own size rounded up to 2 MiB.
The smallest unused block that is large enough is taken first, and its rest stays usable when it is
larger than 1 MiB. Bytes.
"""

from __future__ import annotations

from bisect import bisect_left, insort

MIB = 1 << 20
GRANULE = 512
SMALL_REQUEST, SMALL_SEGMENT = MIB, 2 * MIB
MEDIUM_REQUEST, MEDIUM_SEGMENT = 10 * MIB, 20 * MIB
LARGE_STEP = 2 * MIB
LEAST_REST = MIB  # a smaller rest of a block stays with the tensor


class Allocator:
    """The memory that one process reserves on one GPU."""

    def __init__(self) -> None:
        self._segments = 0
        self._small = 0
        self._unused: list[int] = []  # sizes of the unused blocks of large segments, sorted

    @property
    def reserved(self) -> int:
        """Bytes taken from the GPU so far."""
        return self._segments + rounded(self._small, SMALL_SEGMENT)

    def take(self, size: int) -> int:
        """Allocate a tensor of ``size`` bytes; the size of its block."""
        size = rounded(size, GRANULE)
        if size <= SMALL_REQUEST:
            self._small += size
            return size
        block = self._block(size)
        rest = block - size
        if rest <= LEAST_REST:
            return block
        insort(self._unused, rest)
        return size

    def release(self, block: int) -> None:
        """Free a ``block`` that :meth:`take` returned; the process keeps the memory."""
        if block > SMALL_REQUEST:
            insort(self._unused, block)

    def _block(self, size: int) -> int:
        """An unused block of at least ``size`` bytes, from the GPU where there is none."""
        at = bisect_left(self._unused, size)
        if at < len(self._unused):
            return self._unused.pop(at)
        block = MEDIUM_SEGMENT if size < MEDIUM_REQUEST else rounded(size, LARGE_STEP)
        self._segments += block
        return block


def rounded(size: int, step: int) -> int:
    """``size`` rounded up to a multiple of ``step``."""
    return -(-size // step) * step
