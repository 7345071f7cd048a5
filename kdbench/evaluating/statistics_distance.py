"""Fréchet distance of images to a mean and a covariance that others computed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from kdbench.errors import NothingMeasured
from kdbench.metrics.base import Estimate, ImageSet
from kdbench.metrics.fd import FEW, fd, fd_clip, fd_dinov2, fid, fitted, sampling_marks
from kdbench.metrics.features.base import Extractor
from kdbench.metrics.frechet import Gaussian, Moments, distance
from kdbench.metrics.group_jackknife import GROUPS, Replicates, deal
from kdbench.reading import Statistics

FRECHET = {fd.id: 0, fid.id: FEW, fd_dinov2.id: FEW, fd_clip.id: FEW}
"""Metrics that statistics are enough for, with the number of images below which each is marked."""


EXTRACTOR = "extractor"
"""Under which our files say of which features they are."""

OTHER_RESIZE = (
    "pytorch-fid and clean-fid resize otherwise than inception-v3-compat: to a file of theirs this "
    "is no FID of theirs, and none to compare with others"
)


def distance_to(
    statistics: Statistics, generated: ImageSet, *, judge: Extractor, few: int = 0
) -> Estimate:
    """The distance, with an interval over the generated images alone, the statistics being given.

    Which features statistics are of, and of how many images, the files of other packages do not
    say: only the number of features is compared, and marks say what is not known.

    Args:
        statistics: of D features.
        generated: features (N, D), float32, N at least 2.
        judge: whose features these are.
        few: with fewer images the value is marked.

    Raises:
        NothingMeasured: the statistics are of other features.
    """
    own, real = fitted(generated), gaussian_of(statistics)
    said = statistics.about.get(EXTRACTOR, judge.id)
    if len(own.mean) != len(real.mean) or said != judge.id:
        name, other = judge.id.partition(":")[0], said.partition(":")[0]
        whose = f" of {other}" if said != judge.id else ""
        raise NothingMeasured(
            f"The statistics are of {len(real.mean):,} features{whose}, and {name} gives "
            f"{len(own.mean):,}: choose the extractor that they were made with."
        )
    found = Replicates(distance(own, real), _left(own, real, generated.labels), _FEW)
    n = own.n if statistics.n is None else min(own.n, statistics.n)
    marks = sampling_marks(found, (n, len(own.mean)), few=few)
    estimate = found.estimate(plain=found.value)
    alone = ("interval of the images alone",) if estimate.interval else ()
    return replace(estimate, marks=(*_unknown(statistics, judge), *alone, *marks))


def _unknown(statistics: Statistics, judge: Extractor) -> Iterator[str]:
    """What a file does not say of itself."""
    name = judge.id.partition(":")[0]
    if EXTRACTOR not in statistics.about:
        yield f"the file does not say which features it is of: taken as {name}"
        if statistics.origin == "pytorch-fid" and name == fid.extractor:
            yield OTHER_RESIZE
    if statistics.n is None:
        yield "n of the reference not known"


_FEW = f"No interval: the jackknife needs {GROUPS} images."


def _left(own: Gaussian, real: Gaussian, labels: Tensor) -> Tensor | None:
    """(1, `GROUPS`): the distance without each group of images."""
    if own.n < GROUPS:
        return None
    groups = deal(labels)
    left = [distance(own.without(groups == group), real) for group in range(GROUPS)]
    return torch.tensor([left], dtype=torch.float64)


def gaussian_of(statistics: Statistics) -> Gaussian:
    """Statistics as a Gaussian that distances are taken to.

    A scatter of two rows is the covariance itself, whatever number of images is behind it.
    """

    def rows() -> Tensor:
        values, vectors = torch.linalg.eigh(statistics.covariance)
        root: Tensor = values.clamp(min=0).sqrt()[:, None] * vectors.T
        return statistics.mean + root

    return Gaussian(2, rows, Moments(2, statistics.mean, statistics.covariance))
