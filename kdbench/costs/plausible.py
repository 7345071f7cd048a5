"""What this device can do at all: a time below it was not spent on the work that was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial
from math import inf
from time import perf_counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

TOLERANCE = 1.5
"""How far above the measured best a figure can be: best calls are short of the peak."""
CACHED_BYTES = 64 * 2**20
"""Weights up to this size can stay in a cache, which is read faster than memory.

The bandwidth is that of a copy over as many bytes in all: a cache that holds larger weights holds
the copy too, and raises the ceiling with it.
"""
_CPU_SIZES, _DEVICE_SIZES = (512, 1, 128, 32), (4096, 32, 256, 64)
"""Rows of a matrix; images, channels and rows of a convolution. On a CPU a call lasts a few
milliseconds, within the time that a scheduler gives: a core that others use shows its best too."""
_MEASURE_S = 1.0


@dataclass(frozen=True)
class Ceiling:
    """The best rates that were measured on a device."""

    macs_per_s: float
    bytes_per_s: float
    """Read and written."""


@cache
def ceiling(device: torch.device, dtype: torch.dtype, threads: int) -> Ceiling:
    """Measure the rates of this process: about a second the first time, never while others time.

    The better of a product of matrices and a convolution of three by three counts: on some CPUs
    one library reaches twice what the other does, and Winograd's algorithm does a convolution in
    fewer multiplications than are counted for it.

    Args:
        device: where.
        dtype: of the products.
        threads: of torch on the CPU, set meanwhile.
    """
    import torch
    from torch.nn import functional as F

    n, count, channels, side = _CPU_SIZES if device.type == "cpu" else _DEVICE_SIZES
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.inference_mode():
            make = partial(torch.ones, dtype=dtype, device=device)
            matrix, kernel = make(n, n), make(channels, channels, 3, 3)
            product, images = make(n, n), make(count, channels, side, side)
            source = torch.ones(CACHED_BYTES // 2, dtype=torch.uint8, device=device)
            target = torch.empty_like(source)
            product_s, convolution_s, copy_s = _best_s(
                (
                    lambda: torch.mm(matrix, matrix, out=product),
                    lambda: F.conv2d(images, kernel, padding=1),
                    lambda: target.copy_(source),
                ),
                device,
            )
    finally:
        torch.set_num_threads(before)
    return Ceiling(
        macs_per_s=max(n**3 / product_s, images.numel() * channels * 9 / convolution_s),
        bytes_per_s=CACHED_BYTES / copy_s,
    )


def plausible_marks(
    ms: float, macs: float, weight_bytes: float, ceiling: Ceiling, *, evaluations: int = 1
) -> list[str]:
    """`implausible` if a call went faster than its arithmetic or its weights allow.

    Args:
        ms: of the call.
        macs: of the call, all its images.
        weight_bytes: of the network.
        ceiling: of the device in the network's type.
        evaluations: how often the call evaluates the network; weights are read each time.

    >>> fast = Ceiling(macs_per_s=1e12, bytes_per_s=1e11)
    >>> plausible_marks(1.0, 1e9, 0, fast), plausible_marks(1.0, 2e9, 0, fast)
    ([], ['implausible'])
    """
    seconds = ms / 1e3
    reads = weight_bytes * evaluations if weight_bytes > CACHED_BYTES else 0
    too_many_macs = macs > TOLERANCE * ceiling.macs_per_s * seconds
    too_many_bytes = reads > TOLERANCE * ceiling.bytes_per_s * seconds
    return ["implausible"] if too_many_macs or too_many_bytes else []


def check_speedup(ratio: float, mac_ratio: float) -> list[str]:
    """`faster_than_macs` if a speed-up is far above what fewer operations explain.

    No proof of a fake: a student whose operations fit the device better earns it too. A reader
    must be told why.

    Args:
        ratio: teacher's time over student's.
        mac_ratio: teacher's multiply–accumulates over student's.

    >>> check_speedup(4.0, 4.0), check_speedup(40.0, 4.0)
    ([], ['faster_than_macs'])
    """
    return ["faster_than_macs"] if ratio > TOLERANCE * mac_ratio else []


def _best_s(calls: tuple[Callable[[], object], ...], device: torch.device) -> list[float]:
    """Seconds of the fastest of each, taken in turns, so that all see the same moments."""
    import torch

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    best = [inf] * len(calls)
    begin = perf_counter()
    while perf_counter() - begin < _MEASURE_S:
        for i, call in enumerate(calls):
            wait()
            start = perf_counter()
            call()
            wait()
            best[i] = min(best[i], perf_counter() - start)
    return best
