"""Order statistics of durations: quantiles, and the interval of a median without assumptions."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import bdtr

from kdbench.record import Interval

LEVEL = 0.95


@cache
def median_rank(n: int) -> int | None:
    """The largest k for which (k-th smallest, k-th largest) of n covers the median at `LEVEL`.

    The number of values below the median is binomial (n, 1/2), so the coverage is
    1 - 2·P(B ≤ k - 1) (David and Nagaraja, Order Statistics, 2003, section 7.1). None below 6
    values, where not even (smallest, largest) covers.

    >>> median_rank(30)
    10
    >>> median_rank(5) is None
    True
    """
    tail = bdtr(np.arange(n // 2 + 1), n, 0.5)
    k = int(np.searchsorted(tail, (1 - LEVEL) / 2, side="right"))
    return k or None


def median_interval(values: ArrayLike) -> tuple[float, float] | None:
    """The 95 % interval of the median, in the unit of `values`; None below 6 values."""
    ordered = np.sort(np.asarray(values, dtype=float))
    k = median_rank(len(ordered))
    return None if k is None else (float(ordered[k - 1]), float(ordered[-k]))


def timing_interval(values: ArrayLike) -> Interval | None:
    """`median_interval` as a cost holds it."""
    found = median_interval(values)
    if found is None:
        return None
    low, high = found
    return Interval(level=LEVEL, low=low, high=high, source="timing", method="order-statistic")


def half_width(values: ArrayLike) -> float | None:
    """Half the width of the median's interval, as a share of the median."""
    interval = median_interval(values)
    if interval is None:
        return None
    return (interval[1] - interval[0]) / 2 / float(np.median(np.asarray(values, dtype=float)))
