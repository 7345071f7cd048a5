"""Intervals against published values and the theory of the mean."""

from __future__ import annotations

import numpy as np
import pytest

from kdbench.metrics.intervals import (
    blocks_interval,
    bootstrap,
    clipped,
    normal_interval,
    t_interval,
    wilson,
)


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_has_newcombes_published_values(
    successes: int, n: int, low: float, high: float
) -> None:
    """Newcombe 1998, Statistics in Medicine 17, table I, method 3."""
    interval = wilson(successes, n)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=5e-5)


def test_bootstrap_is_repeatable_and_as_wide_as_the_theory() -> None:
    values = np.random.default_rng(1).normal(3, 2, size=400)
    interval = bootstrap(values)
    assert interval == bootstrap(values)
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.1)
    assert (interval.high + interval.low) / 2 == pytest.approx(values.mean(), abs=0.02)


def test_t_interval_has_the_tabulated_quantile() -> None:
    interval = t_interval(10.0, 1.0, df=4, method="x")
    assert interval.high == pytest.approx(12.776, abs=1e-3)
    assert normal_interval(10.0, 1.0, "x").high == pytest.approx(11.96, abs=1e-3)


def test_blocks_interval_covers_as_often_as_it_says() -> None:
    draws = np.random.default_rng(0).normal(size=(2000, 3))
    intervals = [blocks_interval(list(row)) for row in draws]
    share = np.mean([i.low <= 0 <= i.high for i in intervals])
    assert share == pytest.approx(0.95, abs=0.015)


def test_clipping_keeps_to_the_bounds_that_there_are() -> None:
    wide = normal_interval(0.5, 1.0, "x")
    both, one, none = (clipped(wide, b) for b in ((0.0, 1.0), (0.0, None), (None, None)))
    assert (both.low, both.high) == (0.0, 1.0)
    assert (one.low, one.high) == (0.0, wide.high)
    assert none == wide
