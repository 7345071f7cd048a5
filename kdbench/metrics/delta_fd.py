"""How much farther from real images a student is than its teacher, as a Fréchet distance."""

from __future__ import annotations

from dataclasses import replace

from kdbench.metrics.base import Estimate, ImageSet, metric
from kdbench.metrics.fd import SOURCE, compared, fitted, sample_sizes, sampling_marks
from kdbench.metrics.feature_pair import feature_pair
from kdbench.metrics.group_jackknife import Replicates, check_paired


@metric(
    kind="set",
    higher_is_better=False,
    name="delta-fd",
    sets=("teacher", "reference"),
    needs_features=True,
    protocol="float64, covariance divisor n-1, delete-a-group jackknife with 20 groups of latents "
    "and 20 of the reference",
    source=SOURCE,
)
def delta_fd(generated: ImageSet, teacher: ImageSet, reference: ImageSet) -> Estimate:
    """ΔFD: Fréchet distance of student to reference less that of its teacher, of equal latents.

    0 for a student that is its teacher, negative for one that is closer to real images. What both
    distances have in common cancels: the draw of the latents, that of the reference, and of the
    bias as much as both share. The jackknife leaves the same latents out of student and teacher,
    and the same reference images out of both distances, at once. Details: `student`, `teacher`,
    `standard_error`. The interval is Student t with 19 degrees of freedom. Marked as `fd` is.

    Blind to what `fd` is blind to, and to differences that leave both distances equal: a student
    that lost modes and one that blurs can have one ΔFD.

    Args:
        generated, teacher: features (N, D), float32, and equal labels, N at least 2.
        reference: features (M, D), float32, M at least 2.

    Raises:
        NothingMeasured: see `feature_pair` and `check_paired`.

    >>> import torch
    >>> rows = torch.randn(40, 3)
    >>> sets = [ImageSet(part, torch.zeros(40), part) for part in (rows + 2, rows + 1, rows)]
    >>> round(delta_fd(*sets).value, 5)  # 3 x 2² less 3 x 1²
    9.0
    """
    feature_pair(generated, teacher, name="teacher")
    check_paired(generated, teacher)
    own, other = compared(generated, reference), compared(teacher, reference)
    difference = Replicates(own.value - other.value, None, own.reason)
    if own.left is not None and other.left is not None:
        difference = replace(difference, left=own.left - other.left)
    estimate = difference.estimate(student=own.value, teacher=other.value)
    sizes = sample_sizes(*(fitted(images) for images in (generated, teacher, reference)))
    return replace(estimate, marks=sampling_marks(difference, sizes))
