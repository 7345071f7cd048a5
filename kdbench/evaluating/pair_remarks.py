"""What is said of the numbers of pairs: equal pixels, the cap of PSNR, missing strangers."""

from __future__ import annotations

import torch
from torch import Tensor

from kdbench.evaluating.few_at_a_time import Side
from kdbench.metrics.base import Metric
from kdbench.metrics.paired import MSE_FLOOR, PSNR_CAP_DB, psnr

ROUNDING_DB = 1e-9


def equal_pairs(own: Side, other: Side) -> int:
    """How many images have the pixels of their partner.

    >>> equal_pairs(torch.zeros(2, 1, 4, 4), torch.zeros(2, 1, 4, 4))
    2
    """
    return sum(torch.equal(a, b) for a, b in zip(own, other, strict=True))


def equal_mark(equal: int, n: int) -> tuple[str, ...]:
    """A remark where some of n pairs have nothing to compare: a file may have been copied.

    >>> equal_mark(1, 5)
    ('1 of 5 pairs has the same pixels',)
    """
    have = "has" if equal == 1 else "have"
    return (f"{equal:,} of {n:,} pairs {have} the same pixels",) if equal else ()


def cap_mark(metric: Metric, values: Tensor) -> tuple[str, ...]:
    """A remark where some values of PSNR would be larger without its cap.

    >>> cap_mark(psnr, torch.tensor([30.0, PSNR_CAP_DB], dtype=torch.float64))
    ('1 of 2 pairs is at the cap of 58.92 dB, a mean squared error of 1/12 or less',)
    """
    n = int((values >= PSNR_CAP_DB - ROUNDING_DB).sum()) if metric.id == psnr.id else 0
    be, floor = "is" if n == 1 else "are", round(1 / MSE_FLOOR)
    cap = f"the cap of {PSNR_CAP_DB:.2f} dB, a mean squared error of 1/{floor} or less"
    return (f"{n:,} of {len(values):,} pairs {be} at {cap}",) if n else ()


def alone_mark(alone: int, n: int) -> tuple[str, ...]:
    """Why there is no mean over shuffled pairs, of several images.

    >>> alone_mark(1, 5)
    ('no shuffled baseline: 1 of 5 images has no other of its size',)
    """
    if n < 2 or not alone:
        return ()
    which = "has no other of its size" if alone == 1 else "have no other of their size"
    return (f"no shuffled baseline: {alone:,} of {n:,} images {which}",)
