"""The interval of a median of interleaved ratios, whose neighbours share the machine's state."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kdbench.costs.order import LEVEL
from kdbench.record import Interval
from kdbench.seeds import seed

BLOCK = 5
"""Pairs a block: neighbours share the state of the machine."""
RESAMPLES = 2000


def block_bootstrap(processes: Sequence[ArrayLike]) -> Interval | None:
    """The 95 % percentile interval of the median over processes of their medians.

    Processes are drawn with replacement, and within each moving blocks of neighbouring values
    (Künsch, "The jackknife and the bootstrap for general stationary observations", 1989). Draws
    are seeded, so equal values give equal intervals.

    Args:
        processes: values in their order, of each process.

    Returns:
        None where a process has fewer values than two blocks.

    >>> block_bootstrap([[2.0] * 20, [2.0] * 20]).low
    2.0
    """
    values: list[NDArray[np.float64]] = [np.asarray(one, dtype=float) for one in processes]
    if not values or min(map(len, values)) < 2 * BLOCK:
        return None
    rng = np.random.default_rng(seed("block-bootstrap", *map(len, values)))
    drawn = np.stack([_medians(one, rng, len(values)) for one in values])
    chosen = rng.integers(0, len(values), size=(1, RESAMPLES, len(values)))
    medians = np.median(np.take_along_axis(drawn, chosen, axis=0)[0], axis=1)
    low, high = np.quantile(medians, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(
        level=LEVEL, low=float(low), high=float(high), source="timing", method="block-bootstrap"
    )


def _medians(
    values: NDArray[np.float64], rng: np.random.Generator, times: int
) -> NDArray[np.float64]:
    """(RESAMPLES, times) medians of moving blocks drawn from one process."""
    n, draws = len(values), RESAMPLES * times
    starts = rng.integers(0, n - BLOCK + 1, size=(draws, ceil(n / BLOCK), 1))
    drawn = (starts + np.arange(BLOCK)).reshape(draws, -1)[:, :n]
    medians: NDArray[np.float64] = np.median(values[drawn], axis=1).reshape(RESAMPLES, times)
    return medians
