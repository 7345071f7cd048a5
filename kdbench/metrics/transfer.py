"""What a student kept of its teacher's variety: recall and coverage with the teacher as the data.

Two things are asked. *How much of these images is reached?* `recall-teacher` and `coverage-teacher`
compare with the teacher's images of the same latents. *How much of the teacher's distribution is
left?* `recall-retention` and `coverage-retention` compare with a second sample of the teacher, and
divide by what the teacher itself reaches of that sample from the student's latents.

Shared latents flatter the first: a student that copies its teacher image by image reaches all of
its images, and a second sample of the teacher itself does not. Divided by what that one reaches, it
would exceed 1. In the second, student and teacher start from the same latents, and neither shares
any with the images that they are compared with: a copy of the teacher keeps exactly 1.
"""

from __future__ import annotations

from collections.abc import Callable

from kdbench.errors import NothingMeasured
from kdbench.metrics.base import Estimate, ImageSet, metric
from kdbench.metrics.neighbours import Neighbours
from kdbench.metrics.prdc import FEW, FROM_BLOCKS, KYNKAANNIEMI, NAEEM, balls_of

K = 5
PROTOCOL = f"k={K}, Euclidean, self excluded, strict inequality, equal n, float64"
RETAINED = "of the teacher's second sample, over the teacher's from the same latents"


@metric(
    kind="set",
    higher_is_better=True,
    bounds=(0.0, 1.0),
    sets=("teacher",),
    needs_features=True,
    equal_n=True,
    few=FEW,
    protocol=f"{PROTOCOL}, teacher's images of the same latents for real ones",
    source=KYNKAANNIEMI,
)
def recall_teacher(generated: ImageSet, teacher: ImageSet) -> Estimate:
    """Share of the teacher's images inside the ball of any student's image.

    The images share latents: a student that follows its teacher image by image reaches more than
    a second sample of the teacher itself would. Read it as how much of these images is reached,
    and `recall-retention` for how much variety is left. Blind to quality: noise raises it; and to
    re-weighted modes.

    Args:
        generated, teacher: features (N, D), float32, the same N above 5.

    Raises:
        NothingMeasured: the sets differ in size or are too small, or see `feature_pair`.

    >>> import torch
    >>> line = torch.arange(12.0)[:, None]
    >>> student, teacher = (ImageSet(z, torch.zeros(12), z) for z in (line.clamp(max=5), line))
    >>> recall_teacher(student, teacher).value  # 5 of 12: copies have balls of no size
    0.4166666666666667
    """
    return Estimate(balls_of(generated, teacher)[K].recall, None, FROM_BLOCKS)


@metric(
    kind="set",
    higher_is_better=True,
    bounds=(0.0, 1.0),
    sets=("teacher",),
    needs_features=True,
    equal_n=True,
    few=FEW,
    protocol=f"{PROTOCOL}, teacher's images of the same latents for real ones",
    source=NAEEM,
)
def coverage_teacher(generated: ImageSet, teacher: ImageSet) -> Estimate:
    """Share of the teacher's images whose ball holds a student's image.

    The images share latents, which raises it as it does `recall_teacher`; `coverage-retention` is
    without. Blind to spread lost within modes and to re-weighted modes.

    Args:
        generated, teacher: features (N, D), float32, the same N above 5.

    Raises:
        NothingMeasured: the sets differ in size or are too small, or see `feature_pair`.

    >>> import torch
    >>> line = torch.arange(12.0)[:, None]
    >>> student, teacher = (ImageSet(z, torch.zeros(12), z) for z in (line + 0.5, line))
    >>> coverage_teacher(student, teacher).value
    1.0
    """
    return Estimate(balls_of(generated, teacher)[K].coverage, None, FROM_BLOCKS)


@metric(
    kind="set",
    higher_is_better=True,
    bounds=(0.0, None),
    sets=("teacher", "teacher-again"),
    needs_features=True,
    equal_n=True,
    few=FEW,
    protocol=f"{PROTOCOL}, {RETAINED}",
    source=KYNKAANNIEMI,
)
def recall_retention(generated: ImageSet, teacher: ImageSet, again: ImageSet) -> Estimate:
    """Recall of a second sample of the teacher's, over the teacher's own recall of it.

    1 where the student reaches as much of its teacher's distribution as the teacher does from the
    same latents, exactly 1 for copies; below 1 where variety was lost. Above 1 the student's
    images lie further apart than the teacher's, which noise and outliers do as well: look at
    precision. Details: `student` and `ceiling`, the two recalls. Blind to re-weighted modes.

    Args:
        generated: features (N, D), float32, N above 5.
        teacher: the teacher's images of the same latents, as many.
        again: the teacher's images of other latents and the same labels, as many.

    Raises:
        NothingMeasured: the sets differ in size or are too small, the ceiling is 0, or see
            `feature_pair`.

    >>> import torch
    >>> teacher, again = (ImageSet(z, torch.zeros(50), z) for z in torch.randn(2, 50, 4))
    >>> copy = ImageSet(teacher.images, teacher.labels, teacher.features.clone())
    >>> recall_retention(copy, teacher, again).value
    1.0
    """
    return _retained(generated, teacher, again, lambda balls: balls.recall)


@metric(
    kind="set",
    higher_is_better=True,
    bounds=(0.0, None),
    sets=("teacher", "teacher-again"),
    needs_features=True,
    equal_n=True,
    few=FEW,
    protocol=f"{PROTOCOL}, {RETAINED}",
    source=NAEEM,
)
def coverage_retention(generated: ImageSet, teacher: ImageSet, again: ImageSet) -> Estimate:
    """Coverage of a second sample of the teacher's, over the teacher's own coverage of it.

    Read as `recall_retention`; sees lost modes, and is blind to spread lost within modes, which
    can raise it. Details: `student` and `ceiling`, the two coverages.

    Args:
        generated, teacher, again: as for `recall_retention`.

    Raises:
        NothingMeasured: as for `recall_retention`.

    >>> import torch
    >>> teacher, again = (ImageSet(z, torch.zeros(50), z) for z in torch.randn(2, 50, 4))
    >>> copy = ImageSet(teacher.images, teacher.labels, teacher.features.clone())
    >>> coverage_retention(copy, teacher, again).value
    1.0
    """
    return _retained(generated, teacher, again, lambda balls: balls.coverage)


def _retained(
    generated: ImageSet, teacher: ImageSet, again: ImageSet, read: Callable[[Neighbours], float]
) -> Estimate:
    student, ceiling = (read(balls_of(own, again)[K]) for own in (generated, teacher))
    if ceiling == 0:
        raise NothingMeasured("The teacher reaches none of its own second sample: no ratio to it.")
    return Estimate(student / ceiling, None, FROM_BLOCKS, {"student": student, "ceiling": ceiling})
