"""Whether images are of the class that was asked for, as the task's extractor sees them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from kdbench.errors import NothingMeasured
from kdbench.metrics.base import Estimate, ImageSet, metric
from kdbench.metrics.intervals import LEVEL, RESAMPLES, wilson
from kdbench.record import Interval
from kdbench.seeds import seed

CHUNK = 250
"""Resamples at a time: 2 kB for each pair of classes that is mistaken."""


@metric(
    kind="set",
    higher_is_better=True,
    bounds=(0.0, 1.0),
    sets=(),
    needs_features=True,
    needs_labels=True,
    protocol="argmax of the extractor's logits against the label asked for",
    source="share of hits; interval of Wilson 1927",
)
def class_accuracy(generated: ImageSet) -> Estimate:
    """Share of generated images that the extractor takes for the class that was asked for.

    The extractor errs too: its share on real images is the mark to compare with, not 1, and a
    value above it is no merit. Blind to everything within a class: one good image of each class,
    repeated, has all of them right.

    Args:
        generated: logits (N, classes), float32, and labels (N,), int64.

    Raises:
        NothingMeasured: there are no logits, or some are not finite.

    >>> asked, logits = torch.tensor([0, 1, 2, 2]), torch.eye(3)[[0, 1, 2, 0]]
    >>> class_accuracy(ImageSet(logits, asked, None, logits)).value
    0.75
    """
    hits = int((predicted_classes(generated) == generated.labels).sum())
    return Estimate(hits / len(generated), wilson(hits, len(generated)))


@metric(
    kind="set",
    higher_is_better=False,
    bounds=(0.0, 1.0),
    sets=(),
    needs_features=True,
    needs_labels=True,
    protocol="total variation between predicted and asked class shares of the same images",
    source="total variation ½ Σ|p - q|; bootstrap of the norm of the deviation",
)
def class_divergence(generated: ImageSet) -> Estimate:
    """Total variation between the classes that came out and the classes that were asked for.

    It is the share of images that would have to change class for the counts to agree: 0 to 1 in
    every case, where a Kullback-Leibler divergence is infinite as soon as one class is lost.
    Chance alone moves counts, so that errors which cancel on average leave about 1/√N. Blind to
    classes that were exchanged for each other, and to everything within a class.

    The value is a norm of a mean, so a percentile bootstrap would sit above it. The interval is
    value ± the 95 % quantile of the norm of (resampled mean - mean), which holds by the triangle
    inequality. Where every image errs alike, resampling shows no spread and there is no interval.

    Args:
        generated: logits (N, classes), float32, and labels (N,), int64.

    Raises:
        NothingMeasured: there are no logits, or some are not finite.

    >>> asked, logits = torch.tensor([0, 1, 2, 2]), torch.eye(3)[[0, 1, 2, 0]]
    >>> class_divergence(ImageSet(logits, asked, None, logits)).value
    0.25
    """
    table = confusion(predicted_classes(generated), generated.labels)
    value = _total_variation(table)
    half = _radius(table)
    if half == 0:
        return Estimate(
            value, None, "No interval: all images err alike, so resampling is constant."
        )
    interval = Interval(
        level=LEVEL,
        low=max(value - half, 0.0),
        high=min(value + half, 1.0),
        source="sampling",
        method="bootstrap-norm",
    )
    return Estimate(value, interval, None, {"resamples": float(RESAMPLES)})


def predicted_classes(images: ImageSet) -> Tensor:
    """(N,) class of the largest logit.

    Raises:
        NothingMeasured: there are no logits, or some are not finite.
    """
    if images.logits is None:
        raise NothingMeasured("The generated images have no logits: the extractor must classify.")
    if not images.logits.isfinite().all():
        raise NothingMeasured("Some logits of the generated images are not finite.")
    return images.logits.argmax(1)


def confusion(predicted: Tensor, asked: Tensor) -> Tensor:
    """(classes, classes) counts, float64: row is the class asked for, column the one predicted.

    >>> confusion(torch.tensor([0, 1, 1]), torch.tensor([0, 0, 1])).tolist()
    [[1.0, 1.0], [0.0, 1.0]]
    """
    classes = int(torch.stack([predicted, asked]).max()) + 1
    pairs = torch.bincount(asked * classes + predicted, minlength=classes**2)
    return pairs.reshape(classes, classes).double()


def _total_variation(table: Tensor) -> float:
    return float(((table.sum(0) - table.sum(1)) / table.sum()).abs().sum() / 2)


def _radius(table: Tensor) -> float:
    """Quantile of half the norm by which resampled excesses differ from the observed one."""
    n, draw = int(table.sum()), np.random.default_rng(seed("class-divergence"))
    errors = table.clone().fill_diagonal_(0)
    asked, predicted = errors.nonzero(as_tuple=True)
    cells = errors[asked, predicted]
    shares = torch.cat([cells, table.trace()[None]]).numpy() / n  # hits count alike: one cell
    norms = []
    for start in range(0, RESAMPLES, CHUNK):
        counts = draw.multinomial(n, shares, size=min(CHUNK, RESAMPLES - start))[:, :-1]
        moved = (torch.from_numpy(counts) - cells).T
        excess = moved.new_zeros(len(table), moved.shape[1])
        excess.index_add_(0, predicted, moved).index_add_(0, asked, moved, alpha=-1)
        norms.append(excess.abs().sum(0) / (2 * n))
    return float(torch.cat(norms).quantile(LEVEL))
