"""Numbers with as many digits as their interval carries."""

from __future__ import annotations

import pytest

from kdbench.report.formats import (
    format_cost,
    format_count,
    format_estimate,
    format_number,
    format_p,
    format_three,
)
from kdbench.statistics import Estimated

MINUS = "\N{MINUS SIGN}"


@pytest.mark.parametrize(
    ("value", "low", "high", "text"),
    [
        (12.3456, 12.1, 12.5912, "12.35 ± 0.25"),
        (12345.6, 12000.0, 12691.2, "12,346 ± 346"),
        (-0.004, -0.006, -0.002, f"{MINUS}0.0040 ± 0.0020"),
        (-0.00001, -0.5, 0.49998, "0.00 ± 0.50"),
        (2.0, 1.0, 5.0, "2.0 (1.0 to 5.0)"),
        (0.5, None, None, "0.5"),
        (0.5, 0.5, 0.5, "0.5"),
        (None, None, None, "—"),
    ],
)
def test_estimates(value: float | None, low: float | None, high: float | None, text: str) -> None:
    assert format_estimate(Estimated(value, low, high)) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (1e-7, "1e-07"), (-2.5, f"{MINUS}2.5"), (1000.0, "1,000"), (3e9, "3e+09")],
)
def test_numbers(value: float, text: str) -> None:
    assert format_number(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (999, "999"), (999_900, "1M"), (1e6, "1M"), (2.4e12, "2.4T")]
)
def test_counts(value: float, text: str) -> None:
    assert format_count(value) == text


@pytest.mark.parametrize(
    ("value", "low", "high", "text"),
    [
        (0.118867, 0.118807, 0.118937, "0.119"),
        (0.16717, 0.16598, 0.16738, "0.167 (0.166 to 0.167)"),
        (7.2751, None, None, "7.28"),
        (None, None, None, "—"),
    ],
)
def test_costs(value: float | None, low: float | None, high: float | None, text: str) -> None:
    assert format_cost(Estimated(value, low, high)) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (999.6, "1,000"), (-12.34, f"{MINUS}12.3"), (1e-7, "1e-07"), (0.0012, "0.00120")],
)
def test_three_digits(value: float, text: str) -> None:
    assert format_three(value) == text


def test_a_small_p_value_is_not_zero() -> None:
    assert format_p(1e-9) == "<0.001"
    assert format_p(0.0495) == "0.050"
