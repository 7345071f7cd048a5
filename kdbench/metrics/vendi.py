"""Vendi score: how many distinct images a set amounts to, by the eigenvalues of its similarities.

The kernel is the cosine of two images' features, so the N by N kernel matrix K/N and the D by D
matrix XᵀX/N of unit rows X share their eigenvalues other than 0, and the smaller one serves. Only
its lower triangle is computed (BLAS syrk): half of the operations.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import special
from scipy.linalg.blas import dsyrk
from torch import Tensor

from kdbench.errors import NothingMeasured
from kdbench.metrics.base import Estimate, ImageSet, Metric, metric
from kdbench.metrics.feature_pair import checked_features
from kdbench.metrics.group_jackknife import GROUPS, Replicates, check_paired, deal, over_teacher
from kdbench.metrics.remembered import remembered

Triangle = NDArray[np.float64]
"""The lower triangle of a symmetric matrix; 0 above it."""

FEW = 1_000
"""Below, the score is far from what it grows to with N."""

BLOCK = 1024
"""Rows at a time that are held in float64."""

SOURCE = "Friedman and Dieng 2023, arXiv:2210.02410"
SOURCE_Q = "Pasarkar and Dieng 2024, arXiv:2310.12952, order 2"


SAID = """Vendi score of order {q}: how many distinct images the set amounts to.

The effective number of distinct images is 1 where all features point one way, N where they are
orthogonal, never above D. Noise in the images raises it as diversity does, so neither direction is
better by itself; it grows with N: compare at equal N only. Order 2 gives rare images less weight
than order 1 and depends less on N. Blind to what is real, to quality, and to lengths of features.

The interval is Student t over a delete-a-group jackknife with 20 groups, stratified by label.

Args:
    generated: features (N, D), float32, N at least 2.

Raises:
    NothingMeasured: there are no features, fewer than two images, or a feature vector that is 0
        or not finite.

>>> rows = torch.eye(4)[torch.arange(40) % 4]
>>> round({function}(ImageSet(rows, torch.zeros(40), rows)).value, 9)
4.0
"""

SAID_RATIO = """Vendi score of order {q} over that of the teacher's images of the same latents.

Below 1, the student's images amount to fewer distinct ones. Noise that the student adds makes up
for images that it lost: blind to what the score itself is blind to.

The interval is Student t over a delete-a-group jackknife with 20 groups, stratified by label; the
same latents are left out of both sets. Details: `student`, `teacher`, `standard_error`.

Args:
    generated, teacher: features (N, D), float32, and the same labels, N at least 2.

Raises:
    NothingMeasured: as for the score; or the sets differ in size or in labels.

>>> teacher, student = (torch.eye(4)[torch.arange(40) % kinds] for kinds in (4, 2))
>>> sets = (ImageSet(rows, torch.zeros(40), rows) for rows in (student, teacher))
>>> round({function}(*sets).value, 9)
0.5
"""


def vendi_metrics(name: str, q: int, source: str) -> tuple[Metric, Metric]:
    """The score of order `q`, and its ratio to that of the teacher's images of the same latents."""

    def score(generated: ImageSet) -> Estimate:
        return _replicates(generated, "generated", q).estimate()

    def ratio(generated: ImageSet, teacher: ImageSet) -> Estimate:
        check_paired(generated, teacher)
        own, other = _replicates(generated, "generated", q), _replicates(teacher, "teacher", q)
        return over_teacher(own, other)

    function = name.replace("-", "_")
    score.__doc__ = SAID.format(q=q, function=function)
    ratio.__doc__ = SAID_RATIO.format(q=q, function=f"{function}_ratio")
    protocol = f"cosine kernel, order {q}, float64, jackknife with {GROUPS} groups"
    make = metric(
        kind="set",
        name=name,
        higher_is_better=None,
        unit="images",
        bounds=(1.0, None),
        sets=(),
        needs_features=True,
        few=FEW,
        protocol=protocol,
        source=source,
    )
    make_ratio = metric(
        kind="set",
        name=f"{name}-ratio",
        higher_is_better=None,
        bounds=(0.0, None),
        sets=("teacher",),
        needs_features=True,
        few=FEW,
        protocol=f"{protocol}, student over teacher",
        source=source,
    )
    return make(score), make_ratio(ratio)


vendi, vendi_ratio = vendi_metrics("vendi", 1, SOURCE)
vendi_q2, vendi_q2_ratio = vendi_metrics("vendi-q2", 2, SOURCE_Q)


def vendi_score(features: Tensor, *, q: int = 1) -> float:
    """Vendi score of order 1 or 2 of (N, D) features with the cosine kernel, in [1, min(N, D)].

    Raises:
        NothingMeasured: a feature vector is 0.

    >>> round(vendi_score(torch.tensor([[3.0, 0], [5, 0], [0, 2], [0, 1]])), 12)
    2.0
    """
    return effective_number(_kernel(features), q=q)


def effective_number(kernel: Triangle, *, q: int) -> float:
    """exp of the Rényi entropy of order 1 (Shannon's) or 2 of a kernel's eigenvalues.

    Args:
        kernel: of a matrix without negative eigenvalues, trace 1.
        q: order. Order 2 is 1/tr K² and needs no eigenvalues.

    >>> effective_number(np.array([[0.5, 0.0], [0.5, 0.5]]), q=2)  # two images that are alike
    1.0
    """
    if q == 2:
        diagonal = kernel.diagonal()
        return max(1.0, 1 / float(2 * np.vdot(kernel, kernel) - diagonal @ diagonal))
    eigenvalues = np.linalg.eigvalsh(kernel).clip(min=0)
    return max(1.0, math.exp(float(special.entr(eigenvalues).sum())))


@remembered
def _replicates(images: ImageSet, which: str, q: int) -> Replicates:
    """The score of these very images and its replicates, kept for the ratio."""
    return jackknifed(checked_features(images, which), deal(images.labels), q=q)


def jackknifed(features: Tensor, groups: Tensor, *, q: int) -> Replicates:
    """Score of (N, D) features and its replicates; none with fewer images than groups."""
    kernel = _kernel(features)
    value = effective_number(kernel, q=q)
    if len(features) < GROUPS:
        return Replicates(value, None, f"No interval: the jackknife needs {GROUPS} images.")
    left = [
        effective_number(_kernel_without(kernel, features, groups == group), q=q)
        for group in range(GROUPS)
    ]
    return Replicates(value, torch.tensor([left], dtype=torch.float64))


def _kernel(features: Tensor) -> Triangle:
    """The smaller of XᵀX/N and XXᵀ/N for unit rows X."""
    n, d = features.shape
    if n > d:
        return _outer(features) / n
    own: Triangle = dsyrk(1 / n, _unit_columns(features), trans=True, lower=True)
    return own


def _kernel_without(kernel: Triangle, features: Tensor, gone: Tensor) -> Triangle:
    """The kernel of the rows that are not `gone` (N,), from that of all rows."""
    n, d = features.shape
    rest = n - int(gone.sum())
    if n > d:
        return (kernel * n - _outer(features[gone])) / rest
    kept = (~gone).numpy()
    left: Triangle = kernel[np.ix_(kept, kept)] * (n / rest)
    return left


def _outer(features: Tensor) -> Triangle:
    """(D, D): Σ x xᵀ over unit rows."""
    total = np.zeros((features.shape[1], features.shape[1]), order="F")
    for part in torch.split(features, BLOCK):
        columns = _unit_columns(part)
        total = dsyrk(1.0, columns, beta=1.0, c=total, lower=True, overwrite_c=True)
    return total


def _unit_columns(features: Tensor) -> NDArray[np.float64]:
    """(D, N): features of length 1, in Fortran's order."""
    rows = features.numpy().astype(np.float64)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    if not norms.all():
        raise NothingMeasured("The features of some images are all 0: they have no direction.")
    rows /= norms
    return rows.T
