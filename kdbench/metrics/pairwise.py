"""Pairwise distance: how far apart the images of a set are, over all pairs and in one pass.

The mean squared distance of N vectors over all pairs is exactly 2 (Σ|x|² − |Σx|²/N) / (N − 1), so
sums are enough, and pairs are never formed. Sums of parts can be taken away again, from which the
jackknife has its replicates without a second look at the images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch
from torch import Tensor

from kdbench.errors import NothingMeasured
from kdbench.metrics.base import Estimate, ImageSet, Metric, metric
from kdbench.metrics.feature_pair import checked_features
from kdbench.metrics.group_jackknife import (
    GROUPS,
    Replicates,
    check_paired,
    deal,
    mean_over,
    over_teacher,
)
from kdbench.metrics.remembered import remembered

CHUNK = 16
"""Vectors at a time."""

Rows = Callable[[Tensor], Tensor]
"""Image numbers (K,) to the vectors of these images, (K, F)."""

Space = Callable[[ImageSet, str], Rows]
"""The vectors of a set, which errors call by the second argument."""


@dataclass(frozen=True)
class Spread:
    """Mean squared distance over all pairs of a set, and over pairs of one label."""

    overall: Replicates
    within: Replicates | None
    """Mean over labels with two images or more; None if there is no such label."""


SAID = """Mean {what} between {pairs}{over}.

0 for a collapsed set. Noise and outliers raise it as diversity does, so neither direction is better
by itself. Blind to what is real, and to modes that are missed while the far ones are kept.

The interval is Student t over a delete-a-group jackknife with 20 groups.{deleted}

Args:
    {sets}: labels (N,), and features (N, D), float32, or uint8 images if the metric asks its
        extractor itself; N at least 2, and 20 for an interval.

Raises:
    NothingMeasured: {few}, or nothing to compute distances from{refused}.
"""

LABELS = " Labels are fixed where each has 20 images; otherwise whole labels are left out."
LATENTS = " The same latents are left out of both sets. Details: `student` and `teacher`."


FEW = 100
"""Below, the jackknife leaves out fewer than 5 images at a time."""


def pairwise_metrics(
    name: str,
    space: Space,
    *,
    what: str,
    example: str,
    protocol: str,
    source: str,
    unit: str | None = None,
    extractor: str | None = None,
) -> tuple[Metric, Metric, Metric, Metric]:
    """`name`, `name-within`, and the ratio of each to the teacher's images of the same latents.

    Args:
        space: gives the vectors; with an `extractor` of its own, from the images themselves.
        what: the squared distance, in words.
        example: for their docstrings; `{name}` is the metric's and `{ratio}` compares sets that
            are called `wide` and `narrow`.
        protocol, source, unit, extractor: see `kdbench.metrics.base.metric`.
    """

    def make(*, within: bool, ratio: bool) -> Metric:
        def distance(generated: ImageSet) -> Estimate:
            return _distance(generated, "generated", space, within).estimate()

        def distance_ratio(generated: ImageSet, teacher: ImageSet) -> Estimate:
            check_paired(generated, teacher)
            own = _distance(generated, "generated", space, within)
            return over_teacher(own, _distance(teacher, "teacher", space, within))

        pairs = "pairs of one label, labels weighted alike" if within else "all pairs"
        function = distance_ratio if ratio else distance
        full_name = name + within * "-within" + ratio * "-ratio"
        function.__doc__ = _said(what, within, ratio) + _example(example, full_name, ratio)
        return metric(
            kind="set",
            name=full_name,
            higher_is_better=None,
            unit=None if ratio else unit,
            bounds=(0.0, None),
            sets=("teacher",) if ratio else (),
            needs_features=extractor is None,
            few=FEW,
            needs_labels=within,
            extractor=extractor,
            protocol=f"{protocol}, {pairs}, jackknife with {GROUPS} groups",
            source=source,
        )(function)

    return (
        make(within=False, ratio=False),
        make(within=True, ratio=False),
        make(within=False, ratio=True),
        make(within=True, ratio=True),
    )


def _said(what: str, within: bool, ratio: bool) -> str:
    return SAID.format(
        what=what,
        pairs="images of one label, labels counting alike" if within else "all images of the set",
        over=", over that of the teacher's images" if ratio else "",
        deleted=LABELS * within + LATENTS * ratio,
        sets="generated, teacher" if ratio else "generated",
        few="fewer than two images" + within * " of any label",
        refused=", sets that are not paired, a teacher whose images are all alike" * ratio,
    )


def _example(example: str, name: str, ratio: bool) -> str:
    function = name.replace("-", "_")
    apart = f"{function}(wide).value / {function}(narrow).value"
    return example.format(name=name, ratio=f"{function}(wide, narrow).value" if ratio else apart)


def _distance(images: ImageSet, which: str, space: Space, within: bool) -> Replicates:
    found = _spread(images, which, space)
    if not within:
        return found.overall
    if found.within is None:
        raise NothingMeasured(f"No label has two {which} images: there is no pair within one.")
    return found.within


@remembered
def _spread(images: ImageSet, which: str, space: Space) -> Spread:
    """The distances in these very images, kept for the other three metrics."""
    return spread(space(images, which), images.labels)


def spread(rows: Rows, labels: Tensor) -> Spread:
    """Mean squared distances of N vectors, each of which is asked for once.

    Memory is `CHUNK` vectors and 2 x `GROUPS` sums of their length F, float64, whatever N and the
    number of labels: 160 F doubles at most.

    Args:
        rows: gives vectors; asked for `CHUNK` at a time, the last ones padded by repetition.
        labels: (N,), two or more.

    >>> points = torch.tensor([[0.0], [1.0], [5.0], [9.0]])
    >>> found = spread(lambda index: points[index], torch.tensor([0, 0, 1, 1]))
    >>> round(found.overall.value, 9), found.within.value  # (1+25+81+16+64+16)/6, (1+16)/2
    (33.833333333, 8.5)
    """
    labels = labels.cpu()
    order, groups = labels.argsort(stable=True), deal(labels)
    stream = _stream(rows, order)
    whole, own = None, []
    for part in torch.split(order, np.unique(labels.numpy(), return_counts=True)[1].tolist()):
        sums = Sums.of(stream, groups[part])
        if len(part) > 1:
            own.append(sums.distance())
        whole = sums if whole is None else whole.add(sums)
    if whole is None or len(labels) < 2:
        raise NothingMeasured(f"There are {len(labels)} images: at least 2 make a pair.")
    return Spread(whole.distance(), mean_over(own) if own else None)


@dataclass(frozen=True, eq=False)
class Sums:
    """Sums over vectors that were dealt to groups."""

    counts: Tensor
    """(`GROUPS`,), float64."""
    totals: Tensor
    """(`GROUPS`, F), float64: Σ x."""
    squares: Tensor
    """(`GROUPS`,), float64: Σ |x|²."""

    @classmethod
    def of(cls, stream: Iterator[Tensor], groups: Tensor) -> Sums:
        """Sums over the next vectors of the stream, one for each of `groups` (N,), N ≥ 1."""
        first = next(stream)
        totals = first.new_zeros(GROUPS, len(first))
        squares = first.new_zeros(GROUPS)
        for group, vector in zip(groups.tolist(), chain([first], stream), strict=False):
            totals[group] += vector
            squares[group] += vector @ vector
        return cls(groups.bincount(minlength=GROUPS).to(squares), totals, squares)

    def add(self, other: Sums) -> Sums:
        """These sums with others added in place."""
        for own, more in zip(
            (self.counts, self.totals, self.squares),
            (other.counts, other.totals, other.squares),
            strict=True,
        ):
            own += more
        return self

    def distance(self) -> Replicates:
        """Mean squared distance over all pairs, and without each group."""
        n, total, squares = self.counts.sum(), self.totals.sum(0), self.squares.sum()
        value = float(_mean_distance(n, total @ total, squares))
        if n < GROUPS:
            return Replicates(value, None, f"No interval: the jackknife needs {GROUPS} images.")
        own = torch.stack([part @ part for part in self.totals])
        rest = total @ total - 2 * (self.totals @ total) + own
        left = _mean_distance(n - self.counts, rest, squares - self.squares)
        return Replicates(value, left.cpu()[None])


def _mean_distance(n: Tensor, total: Tensor, squares: Tensor) -> Tensor:
    """From |Σx|² and Σ|x|² of n vectors."""
    return (2 * (squares - total / n) / (n - 1)).clamp(min=0)


def _stream(rows: Rows, order: Tensor) -> Iterator[Tensor]:
    """Vectors one by one, float64, less the first: distances stay, and rounding becomes small.

    Chunks have one size, so that like images have like vectors to the last bit.
    """
    origin = None
    for part in torch.split(order, CHUNK):
        padded = part[torch.arange(CHUNK).clamp(max=len(part) - 1)]
        vectors = rows(padded)[: len(part)].double()
        origin = vectors[0].clone() if origin is None else origin
        for vector in vectors:
            yield vector - origin


def features_of(images: ImageSet, which: str) -> Rows:
    """Rows of the features of a set; raises as `checked_features` does."""
    features = checked_features(images, which)
    return lambda index: features[index]


EXAMPLE = """
>>> x, labels = torch.tensor([[0.0], [1.0], [5.0], [9.0]]), torch.tensor([0, 0, 1, 1])
>>> wide, narrow = ImageSet(x, labels, 2 * x), ImageSet(x, labels, x)
>>> round({ratio}, 9)
4.0
"""

feature_distance, feature_distance_within, feature_distance_ratio, feature_distance_within_ratio = (
    pairwise_metrics(
        "feature-distance",
        features_of,
        what="squared distance of features",
        example=EXAMPLE,
        unit="squared",
        protocol="mean squared Euclidean distance of features as they are, float64",
        source="2 tr of the sample covariance",
    )
)
