"""Intervals of one measurement: how far the value moves when other images are drawn.

All are two-sided at level 0.95 and of the source `sampling`. Intervals over training seeds are
another matter and live in `kdbench.statistics`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from kdbench.record import Interval
from kdbench.seeds import seed

LEVEL = 0.95
RESAMPLES = 2000
"""Bootstrap samples B: the 2.5 % tail then rests on 50 of them."""
ROUNDING = 1e-12
"""A spread below this share of a value is rounding, not sampling."""


def normal_interval(value: float, standard_error: float, method: str) -> Interval:
    """value ± 1.96 standard errors.

    >>> interval = normal_interval(1.0, 0.5, "u-statistic")
    >>> round(interval.low, 3), round(interval.high, 3)
    (0.02, 1.98)
    """
    half = float(stats.norm.ppf((1 + LEVEL) / 2)) * standard_error
    return _interval(value - half, value + half, method)


def t_interval(value: float, standard_error: float, *, df: int, method: str) -> Interval:
    """value ± the Student t quantile with `df` degrees of freedom times the standard error."""
    half = float(stats.t.ppf((1 + LEVEL) / 2, df)) * standard_error
    return _interval(value - half, value + half, method)


def blocks_interval(values: Sequence[float]) -> Interval:
    """Student t interval of the mean over disjoint blocks, one value a block, two or more.

    >>> interval = blocks_interval([1.0, 2.0, 3.0])
    >>> round(interval.low, 3), round(interval.high, 3)
    (-0.484, 4.484)
    """
    mean, error = float(np.mean(values)), standard_error_of_mean(values)
    return t_interval(mean, error, df=len(values) - 1, method="blocks-t")


def standard_error_of_mean(values: Sequence[float]) -> float:
    """Sample standard deviation (divisor n - 1) over √n, of two or more values."""
    return float(np.std(values, ddof=1)) / math.sqrt(len(values))


def wilson(successes: int, n: int) -> Interval:
    """Score interval of a share (Wilson 1927); stays in [0, 1] and has width at 0 and n successes.

    >>> interval = wilson(81, 263)
    >>> round(interval.low, 4), round(interval.high, 4)
    (0.2553, 0.3662)
    """
    found = stats.binomtest(successes, n).proportion_ci(LEVEL, method="wilson")
    return _interval(float(found.low), float(found.high), "wilson")


def bootstrap(values: NDArray[np.float64]) -> Interval:
    """Percentile interval of the mean of n values, from `RESAMPLES` seeded resamples of size n.

    For means of per-image numbers only: a percentile bootstrap of a biased statistic, such as a
    Fréchet distance, adds the bias a second time and misses.

    Args:
        values: (n,), finite.
    """
    draw = np.random.default_rng(seed("bootstrap"))
    n = len(values)
    means = [values[draw.integers(n, size=n)].mean() for _ in range(RESAMPLES)]
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return _interval(float(low), float(high), "bootstrap")


def clipped(interval: Interval, bounds: tuple[float | None, float | None]) -> Interval:
    """The part of the interval between a metric's least and greatest value."""
    least, greatest = (-math.inf if bounds[0] is None else bounds[0]), bounds[1]
    most = math.inf if greatest is None else greatest
    low, high = (min(max(end, least), most) for end in (interval.low, interval.high))
    return interval.model_copy(update={"low": low, "high": high})


def _interval(low: float, high: float, method: str) -> Interval:
    return Interval(level=LEVEL, low=low, high=high, source="sampling", method=method)
