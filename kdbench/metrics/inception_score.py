"""Inception score: a legacy number, here so that old papers can be compared with.

    IS = exp( mean over images x of KL( p(y|x) || p(y) ) ),   p(y) = mean over x of p(y|x)

It never sees a real image: a memorised training set scores at best, and a generator with one
perfect image a class scores as well as any (Barratt and Sharma 2018, arXiv:1801.01973). It rises
with the number of images by an amount that depends on the generator (Chong and Forsyth 2020,
arXiv:1911.07023). Libraries disagree: 10 splits or 1, shuffled or not, logits with or without
the bias of the last layer; dgm-eval printed the score of another folder than the one it named.

The published value is the mean over 10 splits. The splits are disjoint and random, so their
scores are independent draws of exactly that quantity, and Student t over them is an interval that
needs no linearisation. It is about the mean score of this many images, not of infinitely many.
What libraries print after `±` is the spread of the splits, about √10 times the standard error.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from kdbench.errors import NothingMeasured
from kdbench.metrics.base import Estimate, ImageSet, metric
from kdbench.metrics.intervals import standard_error_of_mean, t_interval

SPLITS = 10
SEED = 2020
"""torch-fidelity's. torchmetrics sets none: its value is ours after `torch.manual_seed(2020)`."""

FEW = 5_000
"""The convention is 50,000 images; a tenth of that leaves a split fewer images than classes."""

CLASSES = 1008
"""Outputs of the 2015 Inception graph, and so the greatest score."""

SALIMANS = "Salimans et al. 2016, arXiv:1606.03498, section 4"


@metric(
    kind="set",
    higher_is_better=True,
    bounds=(1.0, CLASSES),
    sets=(),
    needs_features=True,
    extractor="inception-v3-compat@1",
    few=FEW,
    protocol=(
        "logits without bias, 10 splits after RandomState(2020).permutation, float64, "
        "std with divisor 10"
    ),
    source=f"{SALIMANS}; torch-fidelity 0.4.0",
)
def inception_score(generated: ImageSet) -> Estimate:
    """Inception score as torch-fidelity computes it.

    Blind to real images and to everything within one of the 1,008 classes, so that one good image
    of each scores best; and it rises with N: compare at equal N only. Details: `std`, the spread of
    the splits that torch-fidelity prints (divisor 10, no standard error); `standard_error` of the
    value; `splits`. The interval is Student t over the splits.

    Args:
        generated: logits (N, 1008), float32, N at least 20.

    Raises:
        NothingMeasured: no logits, too few images, or a logit that is not finite.

    >>> sure = 50 * torch.eye(4)[torch.arange(400) % 4]
    >>> 3.5 < inception_score(ImageSet(sure, torch.zeros(400), None, sure)).value < 4
    True
    """
    logits = _checked_logits(generated)
    n = len(logits)
    order = torch.from_numpy(np.random.RandomState(SEED).permutation(n))
    inner_edges = [i * n // SPLITS for i in range(1, SPLITS)]
    return _over_splits(logits[order].double().tensor_split(inner_edges), divisor_less=0)


@metric(
    kind="set",
    higher_is_better=True,
    bounds=(1.0, CLASSES),
    sets=(),
    needs_features=True,
    extractor="inception-v3-compat-antialias@1",
    few=FEW,
    protocol=(
        "logits without bias, torch.chunk into at most 10 after torch.randperm seeded 2020, "
        "float32, std with divisor splits - 1"
    ),
    source=f"{SALIMANS}; torchmetrics 1.9.0",
)
def inception_score_torchmetrics(generated: ImageSet) -> Estimate:
    """Inception score as torchmetrics computes it after `torch.manual_seed(2020)`.

    Where 10 does not divide N, the last split is smaller, and for small N there are fewer than
    ten. Details as in `inception_score`, `std` with divisor splits - 1. Blind to the same.

    Args:
        generated: logits (N, 1008), float32, N at least 20.

    Raises:
        NothingMeasured: no logits, too few images, or a logit that is not finite.

    >>> sure = 50 * torch.eye(4)[torch.arange(400) % 4]
    >>> 3.5 < inception_score_torchmetrics(ImageSet(sure, torch.zeros(400), None, sure)).value < 4
    True
    """
    logits = _checked_logits(generated)
    order = torch.randperm(len(logits), generator=torch.Generator().manual_seed(SEED))
    return _over_splits(logits[order].chunk(SPLITS), divisor_less=1)


def score(logits: Tensor) -> float:
    """Inception score of one split: between 1 and the smaller of N and the number of classes.

    Args:
        logits: (N, classes), finite; computed in their own type.

    Example:
        >>> round(score(1e4 * torch.eye(4)), 6), round(score(torch.ones(4, 4)), 6)
        (4.0, 1.0)
    """
    own = logits.log_softmax(1)
    # A class that underflows in p(y) would make 0 · ∞; its logarithm is found without p(y).
    shared = own.logsumexp(0) - math.log(len(own))
    return float((own.exp() * (own - shared)).sum(1).mean().exp())


def _over_splits(splits: tuple[Tensor, ...], *, divisor_less: int) -> Estimate:
    scores = [score(logits) for logits in splits]
    value, error = float(np.mean(scores)), standard_error_of_mean(scores)
    interval = t_interval(value, error, df=len(scores) - 1, method="splits-t")
    details: dict[str, float | None] = {
        "std": float(np.std(scores, ddof=divisor_less)),
        "standard_error": error,
        "splits": float(len(scores)),
    }
    return Estimate(value, interval, None, details)


def _checked_logits(generated: ImageSet) -> Tensor:
    if generated.logits is None:
        raise NothingMeasured("The generated images have no logits: use an Inception extractor.")
    if len(generated) < 2 * SPLITS:
        raise NothingMeasured(
            f"The Inception score needs {2 * SPLITS} images, 2 in each of {SPLITS} splits: an "
            f"image alone always scores 1. There are {len(generated)}."
        )
    if not generated.logits.isfinite().all():
        raise NothingMeasured("Some logits of the generated images are not finite.")
    return generated.logits
