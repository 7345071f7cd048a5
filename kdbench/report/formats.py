"""Numbers as readers see them: as many digits as their interval carries."""

from __future__ import annotations

import math

from kdbench.statistics import Estimated

MISSING = "—"
"""What stands where a value is missing."""

MINUS = "\N{MINUS SIGN}"
TIMES = "\N{MULTIPLICATION SIGN}"

_SYMMETRIC = 0.02
"""Largest relative difference of the two halves of an interval that is written with ±."""
_NO_WIDTH = 1e-9
"""Below this share of the value, an interval is rounding error."""
_SUFFIXES = ("", "k", "M", "G", "T", "P", "E")


def format_estimate(estimate: Estimated) -> str:
    """A value with its interval, two significant digits of the half-width.

    >>> format_estimate(Estimated(0.12345, 0.1, 0.1469))
    '0.123 ± 0.023'
    >>> format_estimate(Estimated(2.0, 1.5, 3.0))
    '2.00 (1.50 to 3.00)'
    """
    value, low, high = estimate.value, estimate.low, estimate.high
    if value is None:
        return MISSING
    if low is None or high is None or high - low <= _NO_WIDTH * max(1.0, abs(value)):
        return format_number(value)
    places = _places((high - low) / 2)
    if abs((high - value) - (value - low)) <= _SYMMETRIC * (high - low):
        return f"{_signed(value, places)} ± {(high - low) / 2:,.{places}f}"
    return f"{_signed(value, places)} ({_signed(low, places)} to {_signed(high, places)})"


def format_cost(estimate: Estimated) -> str:
    """A cost with its interval, three significant digits each.

    An interval that lies within the last digit is not written.

    >>> format_cost(Estimated(2.2403, 2.2156, 2.2471)), format_cost(Estimated(741.3, 741.2, 741.4))
    ('2.24 (2.22 to 2.25)', '741')
    """
    if estimate.value is None:
        return MISSING
    value = format_three(estimate.value)
    if estimate.low is None or estimate.high is None:
        return value
    low, high = format_three(estimate.low), format_three(estimate.high)
    return value if low == value == high else f"{value} ({low} to {high})"


def format_three(value: float) -> str:
    """Three significant digits, no exponent between 0.0001 and a billion.

    >>> [format_three(v) for v in (259_420, 9.996, 0.118867, 18.949)]
    ['259,000', '10.0', '0.119', '18.9']
    """
    rounded = float(f"{value:.3g}")
    if rounded == 0 or not 1e-4 <= abs(rounded) < 1e9:
        return format_number(rounded)
    return _signed(rounded, max(0, 2 - math.floor(math.log10(abs(rounded)))))


def format_half_width(half_width: float) -> str:
    """Two significant digits, as beside a value.

    >>> format_half_width(0.01934)
    '0.019'
    """
    return f"{half_width:,.{_places(half_width)}f}" if half_width > 0 else "0"


def format_number(value: float) -> str:
    """Four significant digits, no exponent between 0.0001 and a billion.

    >>> [format_number(v) for v in (0.000123456, 3.14159, 123456.7, 0.0)]
    ['0.0001235', '3.142', '123,457', '0']
    """
    if value == 0 or not 1e-4 <= abs(value) < 1e9:
        return f"{value:.4g}".replace("-", MINUS, 1 if value < 0 else 0)
    places = max(0, 3 - math.floor(math.log10(abs(value))))
    text = _signed(value, places)
    return text.rstrip("0").rstrip(".") if "." in text else text


def format_count(value: float) -> str:
    """A count in units of a thousand, a million, ….

    >>> [format_count(v) for v in (512, 81_600, 1.2e12)]
    ['512', '81.6k', '1.2T']
    """
    if value < 1000:
        return f"{value:.3g}"
    power = min(int(math.log10(value * 1.0005) // 3), len(_SUFFIXES) - 1)
    return f"{value / 1000**power:.3g}{_SUFFIXES[power]}"


def format_ratio(value: float) -> str:
    """How many times, as 2.50 with a multiplication sign."""
    return f"{format_three(value)}{TIMES}"


def describe_calls(nfe: int | None) -> str:
    """A number of network evaluations in words.

    >>> describe_calls(1), describe_calls(4)
    ('1 call', '4 calls')
    """
    return "unknown calls" if nfe is None else "1 call" if nfe == 1 else f"{nfe} calls"


def format_p(p: float | None) -> str:
    """A p value, never as 0.

    >>> [format_p(p) for p in (0.0004, 0.0123, None)]
    ['<0.001', '0.012', '—']
    """
    if p is None:
        return MISSING
    return "<0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def _places(half_width: float) -> int:
    """Decimal places that show two significant digits of `half_width`."""
    return min(8, max(0, 1 - math.floor(math.log10(half_width))))


def _signed(value: float, places: int) -> str:
    """`value` with a true minus sign, and no sign on a rounded zero."""
    text = f"{value:,.{places}f}"
    if float(text.replace(",", "")) == 0:
        return text.lstrip("-")
    return text.replace("-", MINUS)
