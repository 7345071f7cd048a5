"""Intervals, paired tests and verdicts over training seeds, as pure functions.

The unit of evidence is the training seed. A sample is a mapping from seed to value; two rows are
paired by the seeds they share, and every interval is Student's t over seed-level numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

LEVEL = 0.95
"""Level of every interval."""
ALPHA = 0.05
"""Size of every test."""
SEEDS_FOR_INDICATION = 3
SEEDS_FOR_CLAIM = 5

_RELATIVE_ROUNDING = 1e-12
"""A spread below this share of the values is rounding, not noise."""

Seeded = Mapping[int, float]
"""Value by training seed."""
Word = Literal["better", "worse", "not separated"]
Label = Literal["too few seeds", "indication", "claim"]


@dataclass(frozen=True)
class Estimated:
    """A value with its interval, or the reason why one of them is missing."""

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0
    """Seeds, or seeds shared by all samples."""
    reason: str | None = None


@dataclass(frozen=True)
class Difference(Estimated):
    """Ours minus theirs, paired by seed."""

    p: float | None = None
    """Two-sided p value of the paired t test."""


@dataclass(frozen=True)
class Verdict:
    """What a paired difference says, and how much it may be leaned on."""

    word: Word
    label: Label

    def __str__(self) -> str:
        return f"{self.word} ({self.label})"


@dataclass(frozen=True)
class Headroom:
    """Whether a teacher is ahead of an anchor by more than the task's margin."""

    gain: float
    """How much better the teacher is, positive where it is, in the metric's unit."""
    bound: float
    """Lower one-sided 95 % bound of `gain`."""
    margin: float
    n: int

    @property
    def exists(self) -> bool:
        """Whether methods can be ranked."""
        return self.bound > self.margin


def mean_interval(values: Sequence[float], *, level: float = LEVEL) -> Estimated:
    """Mean with its two-sided t interval, n - 1 degrees of freedom.

    >>> found = mean_interval([1.0, 2.0, 3.0])
    >>> found.value, round(found.low, 3), round(found.high, 3)
    (2.0, -0.484, 4.484)
    """
    n = len(values)
    if n == 0:
        return Estimated(None, reason="no seed has a value")
    mean = math.fsum(values) / n
    if n == 1:
        return Estimated(mean, n=1, reason="one seed has no spread")
    half = _t(n - 1, level) * _deviation(values) / math.sqrt(n)
    return Estimated(mean, mean - half, mean + half, n)


def prediction_interval(
    values: Sequence[float], *, new: int = 1, level: float = LEVEL
) -> Estimated:
    """Where the mean of `new` further seeds of the same row will lie.

    Wider than the interval of the mean by the new result's own noise: s·sqrt(1/new + 1/n).

    >>> round(prediction_interval([1.0, 2.0, 3.0]).high, 3)
    6.968
    """
    n = len(values)
    if n < 2:
        return mean_interval(values, level=level)
    mean = math.fsum(values) / n
    half = _t(n - 1, level) * _deviation(values) * math.sqrt(1 / new + 1 / n)
    return Estimated(mean, mean - half, mean + half, n)


def paired_difference(ours: Seeded, theirs: Seeded, *, level: float = LEVEL) -> Difference:
    """Mean of ours minus theirs over shared seeds, with t interval and two-sided p value.

    Where the differences have no spread at all, the seeds did not vary and there is no test.

    >>> paired_difference({0: 1.0, 1: 2.0, 2: 3.0}, {0: 2.0, 1: 2.0, 2: 5.0}).value
    -1.0
    """
    seeds = _shared(ours, theirs)
    differences = [ours[seed] - theirs[seed] for seed in seeds]
    n = len(differences)
    if n == 0:
        return Difference(None, reason="no seed has both values")
    mean = math.fsum(differences) / n
    if n == 1:
        return Difference(mean, n=1, reason="one seed has no spread")
    if _constant(differences, scale=max(abs(ours[s]) + abs(theirs[s]) for s in seeds)):
        return Difference(mean, n=n, reason="the differences are equal over all seeds")
    error = _deviation(differences) / math.sqrt(n)
    half = _t(n - 1, level) * error
    p = 2 * float(stats.t.sf(abs(mean) / error, n - 1))
    return Difference(mean, mean - half, mean + half, n, p=p)


def adjust_holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down adjustment; a missing p value counts in the family and stays missing.

    Source: Holm, A simple sequentially rejective multiple test procedure, 1979.

    >>> adjust_holm([0.01, 0.04, None, 0.03])
    [0.04, 0.09, None, 0.09]
    """
    adjusted: list[float | None] = [None] * len(p_values)
    known = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    largest = 0.0
    for rank, (p, index) in enumerate(known):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p))
        adjusted[index] = largest
    return adjusted


def judge(
    difference: Difference, *, higher_is_better: bool, adjusted_p: float | None = None
) -> Verdict:
    """The verdict on ours against theirs.

    Args:
        difference: of the main metric, ours minus theirs.
        higher_is_better: direction of the metric.
        adjusted_p: p value adjusted for the family of named comparisons; the difference's own
            where it stands alone.
    """
    p = difference.p if adjusted_p is None else adjusted_p
    label: Label = "claim" if difference.n >= SEEDS_FOR_CLAIM else "indication"
    if difference.n < SEEDS_FOR_INDICATION:
        return Verdict("not separated", "too few seeds")
    if p is None or difference.value is None or p >= ALPHA:
        return Verdict("not separated", label)
    return Verdict("better" if (difference.value > 0) == higher_is_better else "worse", label)


def find_headroom(
    *, anchor: Seeded, teacher: Seeded, margin: float, higher_is_better: bool
) -> Headroom | None:
    """How far the teacher is ahead of the anchor at least.

    None below two shared seeds, and where the seeds did not vary.
    """
    seeds = _shared(anchor, teacher)
    sign = 1.0 if higher_is_better else -1.0
    gains = [sign * (teacher[s] - anchor[s]) for s in seeds]
    n = len(gains)
    if n < 2 or _constant(gains, scale=max(abs(anchor[s]) + abs(teacher[s]) for s in seeds)):
        return None
    gain = math.fsum(gains) / n
    one_sided = float(stats.t.ppf(LEVEL, n - 1))
    return Headroom(gain, gain - one_sided * _deviation(gains) / math.sqrt(n), margin, n)


def gap_recovered(
    *,
    anchor: Seeded,
    student: Seeded,
    teacher: Seeded,
    higher_is_better: bool,
    level: float = LEVEL,
) -> Estimated:
    """(anchor - student) / (anchor - teacher) with Fieller's interval.

    1 is the teacher's quality, 0 the anchor's. Numerator and denominator share the anchor and
    the seeds, so their covariance enters. There is no gap where the denominator's own interval
    contains 0, or the teacher is worse than the anchor.

    Source: Fieller, Some problems in interval estimation, 1954: the values rho for which
    mean(N - rho·D) is not significantly different from 0.
    """
    seeds = _shared(anchor, student, teacher)
    n = len(seeds)
    if n < 2:
        return Estimated(None, n=n, reason="fewer than two seeds have all three values")
    sign = -1.0 if higher_is_better else 1.0
    numerators = np.array([sign * (anchor[s] - student[s]) for s in seeds])
    denominators = np.array([sign * (anchor[s] - teacher[s]) for s in seeds])
    top, bottom = float(numerators.mean()), float(denominators.mean())
    t2 = _t(n - 1, level) ** 2
    (v_top, v_both), (_, v_bottom) = (np.cov(numerators, denominators) / n).tolist()
    a = bottom**2 - t2 * v_bottom
    if a <= 0:
        return Estimated(None, n=n, reason="no gap: teacher and anchor are not separated")
    if bottom < 0:
        return Estimated(None, n=n, reason="no gap: the teacher is worse than the anchor")
    b = top * bottom - t2 * v_both
    c = top**2 - t2 * v_top
    root = math.sqrt(max(b * b - a * c, 0.0))  # negative by rounding only, as a > 0
    return Estimated(top / bottom, (b - root) / a, (b + root) / a, n)


def ratio_interval(numerators: Seeded, denominators: Seeded, *, level: float = LEVEL) -> Estimated:
    """Geometric mean of paired ratios of positive costs, with a t interval on the log scale.

    Raises:
        ValueError: a value is not positive.
    """
    seeds = _shared(numerators, denominators)
    if any(numerators[s] <= 0 or denominators[s] <= 0 for s in seeds):
        raise ValueError("only positive costs have a ratio on the log scale")
    return log_mean_interval([numerators[s] / denominators[s] for s in seeds], level=level)


def log_mean_interval(values: Sequence[float], *, level: float = LEVEL) -> Estimated:
    """Geometric mean of positive values with a t interval on the log scale."""
    logs = mean_interval([math.log(value) for value in values], level=level)
    if logs.value is None:
        return logs
    low = None if logs.low is None else math.exp(logs.low)
    high = None if logs.high is None else math.exp(logs.high)
    return Estimated(math.exp(logs.value), low, high, logs.n, logs.reason)


def _shared(*samples: Seeded) -> list[int]:
    return sorted(set.intersection(*(set(sample) for sample in samples)))


def _constant(differences: Sequence[float], *, scale: float) -> bool:
    """Whether differences of values of this size are equal up to rounding."""
    return _deviation(differences) <= _RELATIVE_ROUNDING * scale


def _deviation(values: Sequence[float]) -> float:
    return float(np.std(np.asarray(values, dtype=np.float64), ddof=1))


def _t(degrees: int, level: float) -> float:
    return float(stats.t.ppf((1 + level) / 2, degrees))
