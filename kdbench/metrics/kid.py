"""Kernel distance (KID) over all pairs of images, to real images and to the teacher's.

KID sees shifts, lost and re-weighted modes; it is all but blind to spread that is lost within
modes, to a few outliers and to slight noise: recall and precision must stand beside it.
"""

from __future__ import annotations

from torch import Tensor

from kdbench.metrics.base import Estimate, ImageSet, metric
from kdbench.metrics.feature_pair import checked_features, feature_pair
from kdbench.metrics.group_jackknife import check_paired
from kdbench.metrics.kernel import estimated, kernel_distance, mean_among
from kdbench.metrics.remembered import remembered
from kdbench.metrics.stratified_kernel import stratified_among, stratified_distance

PLAIN = "unbiased U-statistic over all pairs, kernel (x.y/d + 1)^3, float32 products, float64 sums"
STRATIFIED = (
    "unbiased over all pairs within and between classes, classes weighted equally, "
    "kernel (x.y/d + 1)^3, float32 products, float64 sums"
)
PAIRED = "pairs of one latent left out"
BINKOWSKI = "Binkowski et al. 2018, arXiv:1801.01401"

FEW = 500
"""Tests hold the normal interval at 200 images; a cubic kernel has long tails."""


@metric(
    kind="set",
    higher_is_better=False,
    needs_features=True,
    few=FEW,
    protocol=PLAIN,
    source=f"{BINKOWSKI}, without its subsets; Gretton et al. 2012",
)
def kid(generated: ImageSet, reference: ImageSet) -> Estimate:
    """Kernel distance to real images: unbiased at any N, 0 on average for equal sources.

    All pairs enter, so there is neither a subset size nor a seed; the value can be negative. It
    takes images for independent draws; where each class has a fixed number of images, use
    `kid-stratified`. Blind to spread lost within modes, a few outliers and slight noise.

    The standard error is that of the first-order (Hájek) projection over both sets. Where both
    sets come from one distribution the projection vanishes, and the error is up to √2 times the
    true one.

    Args:
        generated, reference: features (N, D) and (M, D), float32, N and M at least 2.

    Raises:
        NothingMeasured: see `feature_pair`.

    >>> import torch
    >>> x, y = torch.randn(100, 4), torch.randn(80, 4) + 1
    >>> sets = [ImageSet(z, torch.zeros(len(z)), z) for z in (x, y)]
    >>> kid(*sets).value > 1
    True
    """
    x, y = feature_pair(generated, reference)
    found = kernel_distance(x, y, among_x=among(generated), among_y=among(reference))
    return estimated(found.value, found.standard_error)


@metric(
    kind="set",
    higher_is_better=False,
    sets=("teacher",),
    needs_features=True,
    few=FEW,
    protocol=f"{PLAIN}, {PAIRED}",
    source=f"{BINKOWSKI}, without its subsets; Gretton et al. 2012",
)
def kid_teacher(generated: ImageSet, teacher: ImageSet) -> Estimate:
    """Kernel distance to the teacher's images of the same latents: what a student adds or loses.

    Real images do not enter: a student as good as its teacher in another way is apart from it,
    and one that shares all its faults is at 0.

    An image and its teacher's image of the same latent are not independent. Their kernels are
    left out of the mean between the sets, which keeps the value unbiased, 0 on average for equal
    distributions and 0 for copies. The standard error is over draws of latents, each with
    both its images: it is for this one teacher, smaller the closer a student follows it, and as in
    `kid` up to √2 times the true one where the distributions are equal. Blind to what `kid` is
    blind to, and to which image belongs to which latent.

    Args:
        generated, teacher: features (N, D), float32, N at least 2, row i of the same latent.

    Raises:
        NothingMeasured: the sets differ in size or labels, or see `feature_pair`.

    >>> import torch
    >>> teacher, copy = (ImageSet(z, torch.zeros(9), z) for z in [torch.randn(9, 4)] * 2)
    >>> round(kid_teacher(copy, teacher).value, 6)
    0.0
    """
    check_paired(generated, teacher)
    x, y = feature_pair(generated, teacher, name="teacher")
    found = kernel_distance(x, y, among_x=among(generated), among_y=among(teacher), paired=True)
    return estimated(found.value, found.standard_error)


@metric(
    kind="set",
    higher_is_better=False,
    needs_features=True,
    few=FEW,
    needs_labels=True,
    protocol=STRATIFIED,
    source=f"{BINKOWSKI}, eq. 4, as a stratified U-statistic",
)
def kid_stratified(generated: ImageSet, reference: ImageSet) -> Estimate:
    """Kernel distance to real images between mixtures of equally weighted classes.

    Unbiased where every class is drawn in a fixed number of images, which the plain kernel
    distance is not; shares of classes do not enter, so it is blind to them. See
    `kdbench.metrics.stratified_kernel`. Otherwise as `kid`: blind to spread lost within modes, a
    few outliers and slight noise.

    Args:
        generated, reference: features (N, D) and (M, D), float32, and labels; at least 2 images of
            every class in each.

    Raises:
        NothingMeasured: a class is missing from a set or has one image only, or see
            `feature_pair`.

    >>> import torch
    >>> labels, x = torch.arange(100) % 2, torch.randn(100, 4)
    >>> kid_stratified(*[ImageSet(z, labels, z) for z in (x + 1, x)]).value > 1
    True
    """
    x, y = feature_pair(generated, reference)
    found = stratified_distance(
        x,
        generated.labels,
        y,
        reference.labels,
        among_x=among_strata(generated),
        among_y=among_strata(reference),
    )
    return estimated(*found)


@metric(
    kind="set",
    higher_is_better=False,
    sets=("teacher",),
    needs_features=True,
    few=FEW,
    needs_labels=True,
    protocol=f"{STRATIFIED}, {PAIRED}",
    source=f"{BINKOWSKI}, eq. 4, as a stratified U-statistic",
)
def kid_stratified_teacher(generated: ImageSet, teacher: ImageSet) -> Estimate:
    """Kernel distance to the teacher's images of the same latents, classes weighted equally.

    As `kid_teacher`, for classes that are drawn in a fixed number of images; blind to the same.

    Args:
        generated, teacher: features (N, D), float32, and labels, row i of the same latent; at
            least 2 images of every class.

    Raises:
        NothingMeasured: the sets differ in size or labels, a class has one image only, or see
            `feature_pair`.

    >>> import torch
    >>> labels, rows = torch.arange(10) % 2, torch.randn(10, 4)
    >>> round(kid_stratified_teacher(*[ImageSet(z, labels, z) for z in (rows, rows)]).value, 6)
    0.0
    """
    check_paired(generated, teacher)
    x, y = feature_pair(generated, teacher, name="teacher")
    found = stratified_distance(
        x,
        generated.labels,
        y,
        teacher.labels,
        among_x=among_strata(generated),
        among_y=among_strata(teacher),
        paired=True,
    )
    return estimated(*found)


@remembered
def among(images: ImageSet) -> Tensor:
    """`mean_among` of a set with features, which does not depend on what it is compared with."""

    def make() -> dict[str, Tensor]:
        return {"means": mean_among(checked_features(images, "compared"))}

    return images.kept("kernel-among@1", make)["means"]


@remembered
def among_strata(images: ImageSet) -> Tensor:
    """`stratified_among` of a set with features and labels."""

    def make() -> dict[str, Tensor]:
        own = checked_features(images, "compared")
        return {"means": stratified_among(own, images.labels)}

    return images.kept("kernel-among-strata@1", make)["means"]
