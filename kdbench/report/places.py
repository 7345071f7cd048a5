"""Where points stand that have equally many calls: side by side, so that none hides another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import geometric_mean

from kdbench.report.series import Series

CALLS_APART = 1.08
"""Smallest ratio of the x of two points at a number of calls: markers stand clear."""
LATENCIES_APART = 1.045
"""The same for latencies, whose place carries meaning."""
_OCTAVE = 3.0
"""Places between a number of calls and its double, where no more are needed."""
_GAP = 1.5
"""Places that stay free between two numbers of calls."""


@dataclass(frozen=True)
class Band:
    """The places of one number of calls, on an axis that counts places."""

    calls: int
    centre: float
    width: float


def move_apart(series: Sequence[Series], *, apart: float) -> tuple[Series, ...]:
    """The same series with points of nearly equal x side by side, so that none hides another.

    Such points stand a factor of `apart` from one another around their geometric mean.
    """
    places = sorted(
        (point.x, s, p) for s, one in enumerate(series) for p, point in enumerate(one.points)
    )
    clusters: list[list[tuple[float, int, int]]] = []
    for place in places:
        if clusters and place[0] < apart * clusters[-1][-1][0]:
            clusters[-1].append(place)
        else:
            clusters.append([place])
    moved = {
        (s, p): geometric_mean([x for x, _, _ in cluster]) * apart ** (i - (len(cluster) - 1) / 2)
        for cluster in clusters
        for i, (_, s, p) in enumerate(cluster)
    }
    return tuple(
        replace(one, points=tuple(replace(q, x=moved[s, p]) for p, q in enumerate(one.points)))
        for s, one in enumerate(series)
    )


def stand_in_bands(series: Sequence[Series]) -> tuple[tuple[Series, ...], tuple[Band, ...]]:
    """The same series with one place a point, and the bands of places for each number of calls.

    Bands follow one another by the logarithm of their calls, and farther apart where many points
    stand: with twenty students at one call no logarithmic axis has room for them.
    """
    order = sorted(
        (point.nfe, s, p) for s, one in enumerate(series) for p, point in enumerate(one.points)
    )
    counts = {calls: sum(nfe == calls for nfe, _, _ in order) for calls, _, _ in order}
    bands: list[Band] = []
    for calls, count in counts.items():
        centre = _next_centre(bands[-1], calls, count) if bands else 0.0
        bands.append(Band(calls, centre, float(count)))
    place = {
        (s, p): band.centre + i - (band.width - 1) / 2
        for band in bands
        for i, (s, p) in enumerate((s, p) for nfe, s, p in order if nfe == band.calls)
    }
    moved = tuple(
        replace(one, points=tuple(replace(q, x=place[s, p]) for p, q in enumerate(one.points)))
        for s, one in enumerate(series)
    )
    return moved, tuple(bands)


def _next_centre(last: Band, calls: int, count: int) -> float:
    by_logarithm = _OCTAVE * math.log2(calls / last.calls)
    return last.centre + max(by_logarithm, (last.width + count) / 2 + _GAP)
