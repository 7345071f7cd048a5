"""Marks of noise: a figure is shown with its marks, never silently dropped or averaged.

The thresholds of `noisy` and `unstable` are those of torch.utils.benchmark.Measurement. The share
of CPU time is the mark that sees a steadily shared core, where the spread is small and every wall
time is wrong by the same factor.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

NOISY = 0.10
UNSTABLE = 0.25
"""IQR over median."""
DRIFT = 0.05
"""Difference of the medians of the first and the last third, over the median."""
GAP = 1.25
"""Median over smallest."""
PREEMPTED = 0.95
PREEMPTED_THREADS = 0.85
"""CPU time over wall time and threads, with one thread and with several."""
STARVED = 0.75
"""Below this share a wall time says nothing."""
OVERTHREADED = 1.25
"""Above this share more threads ran than the conditions say."""
REPLAYED = 1.25
"""Fastest call on unseen inputs over the median on seen ones."""
HOST_BOUND = 0.10
"""Share of the wall time that the device was not busy with the call."""
PROC_SPREAD = 0.05
"""Range of the figures of several processes over their median."""
NOISE = frozenset(
    {"noisy", "unstable", "drift", "gap", "few_rounds", "starved", "preempted", "host_busy"}
    | {"replayed"}
    | {"warmup_unsettled", "uneven_share", "proc_spread", "gpu_shared", "throttled"}
)
"""Marks that another measurement can be free of; all others are of what is measured."""


def spread_marks(durations: ArrayLike) -> list[str]:
    """`noisy` or `unstable`, `drift`, `gap` and `few_rounds` of durations in their order."""
    values: NDArray[np.float64] = np.asarray(durations, dtype=float)
    marks = [] if len(values) >= 6 else ["few_rounds"]  # below 6 a median has no 95 % interval
    low, middle, high = np.percentile(values, [25, 50, 75])
    spread = (high - low) / middle
    if spread > NOISY:
        marks.append("unstable" if spread > UNSTABLE else "noisy")
    third = len(values) // 3
    if third and abs(np.median(values[:third]) - np.median(values[-third:])) > DRIFT * middle:
        marks.append("drift")
    if middle > GAP * values.min():
        marks.append("gap")
    return marks


def replay_marks(durations: ArrayLike, *, unseen: int) -> list[str]:
    """`replayed` if all calls were much slower until their inputs had been seen before.

    Args:
        durations: of calls in their order.
        unseen: how many of the first calls were on inputs that no earlier call had.
    """
    values: NDArray[np.float64] = np.asarray(durations, dtype=float)
    if not 0 < unseen < len(values):
        return []
    fastest = values[:unseen].min()  # the one that nothing held up: the first calls are few
    return ["replayed"] if fastest > REPLAYED * np.median(values[unseen:]) else []


def cpu_share(wall: ArrayLike, cpu: ArrayLike, threads: int | None) -> float:
    """Median over rounds of CPU time / (wall time × threads); 1 where nothing else ran."""
    ratio = np.asarray(cpu, dtype=float) / np.asarray(wall, dtype=float)
    return float(np.median(ratio)) / (threads or 1)


def share_marks(share: float, threads: int | None) -> list[str]:
    """`starved`, `preempted` or `overthreaded`; nothing where a device did the work (None)."""
    if threads is None:
        return []
    if share < STARVED:
        return ["starved"]
    if share < (PREEMPTED if threads == 1 else PREEMPTED_THREADS):
        return ["preempted"]
    return ["overthreaded"] if share > OVERTHREADED else []


def host_bound_marks(host_bound: float | None) -> list[str]:
    """`host_bound` where the device waited for its host; None where no device worked."""
    return ["host_bound"] if host_bound is not None and host_bound > HOST_BOUND else []


def process_marks(values: ArrayLike) -> list[str]:
    """`proc_spread` where equal processes disagree; nothing of a single one."""
    found: NDArray[np.float64] = np.asarray(values, dtype=float)
    spread = (found.max() - found.min()) / np.median(found)
    return ["proc_spread"] if spread > PROC_SPREAD else []
