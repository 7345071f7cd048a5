"""Delete-a-group jackknife: how far any statistic moves, from its value without some images.

Images are dealt to `GROUPS` groups, and the statistic is taken again without each group. Where a
statistic is a mean over strata (labels), each stratum has groups of its own. Kott 2001, "The
delete-a-group jackknife", J. Official Statistics 17(4); Efron 1982, "The Jackknife", ch. 3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from kdbench.errors import NothingMeasured
from kdbench.metrics.base import Estimate, ImageSet
from kdbench.metrics.intervals import ROUNDING, t_interval
from kdbench.seeds import seed

GROUPS = 20
"""The standard error itself has a relative error of 1/√38 = 16 %."""


def deal(labels: Tensor) -> Tensor:
    """(N,) group of each image, 0 to `GROUPS` − 1, int64.

    Each label's images are dealt in a seeded random order, so that every label is spread evenly.
    Equal labels give equal groups: images of the same latents in two sets fall into one group.

    >>> deal(torch.zeros(40, dtype=torch.int64)).bincount().tolist() == [2] * 20
    True
    """
    shuffle = torch.Generator().manual_seed(seed("jackknife", len(labels)))
    order = torch.randperm(len(labels), generator=shuffle)
    order = order[labels.cpu()[order].argsort(stable=True)]
    groups = torch.empty_like(order)
    groups[order] = torch.arange(len(order)) % GROUPS
    return groups


@dataclass(frozen=True, eq=False)
class Replicates:
    """A statistic with its jackknife replicates; those of a ratio are ratios of replicates."""

    value: float
    left: Tensor | None
    """(strata, `GROUPS`), float64: the whole statistic without one group of one stratum."""
    reason: str | None = None
    """Why there are no replicates."""

    @property
    def standard_error(self) -> float | None:
        """√ of the sum over strata of (G − 1)/G Σ (left − mean of left)²; None if unknown."""
        if self.left is None:
            return None
        deviations = self.left - self.left.mean(1, keepdim=True)
        return math.sqrt((GROUPS - 1) / GROUPS * float(deviations.square().sum()))

    @property
    def bias(self) -> float | None:
        """Σ over strata of (G − 1)(mean of left − value), of first order in 1/N; None if unknown.

        Meant for strata that are whole sets, as in a distance between two.
        """
        if self.left is None:
            return None
        return (GROUPS - 1) * float((self.left.mean(1) - self.value).sum())

    def estimate(self, **details: float) -> Estimate:
        """The value, Student t with `GROUPS` − 1 degrees of freedom around it, and `details`."""
        error = self.standard_error
        if error is None:
            return Estimate(self.value, None, self.reason, dict(details))
        found: dict[str, float | None] = {**details, "standard_error": error}
        if error <= ROUNDING * abs(self.value):
            reason = "No interval: the value is the same whichever images are left out."
            return Estimate(self.value, None, reason, found)
        interval = t_interval(self.value, error, df=GROUPS - 1, method="jackknife")
        return Estimate(self.value, interval, None, found)


def mean_over(strata: Sequence[Replicates]) -> Replicates:
    """The mean of one statistic over strata, all counting alike.

    Where every stratum has replicates, strata are fixed and the error is that of the images
    within them. Otherwise, from `GROUPS` strata on, whole strata are left out: the error then is
    for other strata as well, and wider where strata differ.
    """
    values = torch.tensor([own.value for own in strata], dtype=torch.float64)
    mean, lefts = float(values.mean()), [own.left for own in strata if own.left is not None]
    if len(lefts) == len(strata):
        return Replicates(mean, mean + (torch.cat(lefts) - values[:, None]) / len(strata))
    if len(strata) < GROUPS:
        few = f"No interval: it needs {GROUPS} images under each label, or {GROUPS} labels."
        return Replicates(mean, None, few)
    groups = deal(torch.zeros_like(values))
    sizes = groups.bincount(minlength=GROUPS)
    sums = torch.zeros(GROUPS, dtype=torch.float64).index_add_(0, groups, values)
    return Replicates(mean, ((values.sum() - sums) / (len(values) - sizes))[None])


def over_teacher(own: Replicates, teacher: Replicates) -> Estimate:
    """The ratio of two statistics of images of the same latents, left out of both together.

    Details: `student`, `teacher`, `standard_error`.

    Raises:
        NothingMeasured: the teacher's value is 0.
    """
    if teacher.value == 0:
        raise NothingMeasured("The teacher's images are all alike: there is no ratio to them.")
    ratio = Replicates(own.value / teacher.value, None, own.reason or teacher.reason)
    if own.left is not None and teacher.left is not None:
        left = own.left / teacher.left
        if left.isfinite().all():
            ratio = replace(ratio, left=left)
        else:
            alike = "No interval: without a few of them the teacher's images are all alike."
            ratio = replace(ratio, reason=alike)
    return ratio.estimate(student=own.value, teacher=teacher.value)


def check_paired(generated: ImageSet, teacher: ImageSet) -> None:
    """Refuse a teacher's set whose images were not asked for as the generated ones were.

    Raises:
        NothingMeasured: the sets differ in size or in labels.
    """
    if not torch.equal(generated.labels, teacher.labels):
        raise NothingMeasured(
            "A comparison with the teacher needs its images of the same latents: "
            f"{len(generated)} generated and {len(teacher)} of the teacher differ in labels."
        )
