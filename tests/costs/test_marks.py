"""Order statistics and noise marks on durations that are made up."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from kdbench.costs.marks import (
    NOISE,
    cpu_share,
    host_bound_marks,
    process_marks,
    replay_marks,
    share_marks,
    spread_marks,
)
from kdbench.costs.order import half_width, median_interval, median_rank


@pytest.mark.parametrize("n", [6, 7, 30, 100, 301, 5000])
def test_rank_is_the_largest_that_covers(n: int) -> None:
    k = median_rank(n)
    assert k is not None
    assert 1 - 2 * stats.binom.cdf(k - 1, n, 0.5) >= 0.95
    assert 1 - 2 * stats.binom.cdf(k, n, 0.5) < 0.95


def test_interval_covers_the_median_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    intervals = [median_interval(rng.exponential(size=31)) for _ in range(2000)]
    hits = np.mean([i is not None and i[0] <= np.log(2) <= i[1] for i in intervals])
    assert 0.945 <= hits <= 0.985  # exact coverage 0.971 at n = 31


def test_too_few_values_have_no_interval() -> None:
    assert median_interval([1, 2, 3, 4, 5]) is None
    assert half_width([1, 2, 3, 4, 5]) is None
    assert median_interval([6, 1, 2, 3, 4, 5]) == (1, 6)


def spread(share: float) -> NDArray[np.float64]:
    """101 durations whose IQR is `share` of the median, without drift."""
    ordered = 1 + share * 2 * np.linspace(-0.5, 0.5, 101)
    mixed: NDArray[np.float64] = ordered[np.arange(101) * 37 % 101]
    return mixed


@pytest.mark.parametrize(
    ("durations", "marks"),
    [
        (np.full(30, 2.0), []),
        (spread(0.02), []),
        (spread(0.12), ["noisy"]),
        (spread(0.30), ["unstable", "gap"]),
        (np.r_[np.full(30, 1.0), np.full(30, 1.08)], ["drift"]),
        (np.r_[0.7, np.full(60, 1.0)], ["gap"]),
        (np.full(5, 1.0), ["few_rounds"]),
        (np.array([3.0]), ["few_rounds"]),
    ],
)
def test_spread_marks(durations: NDArray[np.float64], marks: list[str]) -> None:
    assert spread_marks(durations) == marks


@pytest.mark.parametrize(
    ("share", "threads", "marks"),
    [
        (1.0, 1, []),
        (0.96, 1, []),
        (0.94, 1, ["preempted"]),
        (0.86, 2, []),
        (0.84, 2, ["preempted"]),
        (0.74, 1, ["starved"]),
        (1.3, 1, ["overthreaded"]),
        (0.1, None, []),
    ],
)
def test_share_marks(share: float, threads: int | None, marks: list[str]) -> None:
    assert share_marks(share, threads) == marks


def test_replay_marks() -> None:
    assert replay_marks(np.r_[np.full(16, 2.0), np.full(100, 1.0)], unseen=16) == ["replayed"]
    assert replay_marks(np.r_[np.full(16, 1.2), np.full(100, 1.0)], unseen=16) == []
    assert replay_marks(np.full(16, 2.0), unseen=16) == []
    held_up = np.r_[np.full(15, 2.0), 1.1, np.full(100, 1.0)]  # by something else, at the start
    assert replay_marks(held_up, unseen=16) == []


def test_share_is_per_thread() -> None:
    assert cpu_share([10, 10, 10], [10, 18, 20], 2) == pytest.approx(0.9)
    assert cpu_share(10, 9, None) == pytest.approx(0.9)


def test_a_device_that_waits_for_its_host_is_marked() -> None:
    assert host_bound_marks(0.11) == ["host_bound"]
    assert host_bound_marks(0.10) == []
    assert host_bound_marks(None) == []


def test_processes_that_disagree_are_marked() -> None:
    assert process_marks([1.0, 1.02, 1.04]) == []
    assert process_marks([1.0, 1.02, 1.08]) == ["proc_spread"]
    assert process_marks([7.0]) == []


def test_what_is_measured_is_not_noise() -> None:
    of_the_machine = {*spread_marks(np.linspace(1, 2, 60)), *share_marks(0.5, 1), "host_busy"}
    assert of_the_machine <= NOISE
    assert not NOISE & {"output_differs", "overthreaded", "host_bound"}
    assert not NOISE & {"mismatch:dtype", "implausible", "output_unchecked"}
