"""Kernel distance class by class: what an average over classes hides."""

from __future__ import annotations

from kdbench.metrics.base import Estimate, ImageSet, metric
from kdbench.metrics.feature_pair import feature_pair
from kdbench.metrics.kernel import estimated, kernel_distance
from kdbench.metrics.worst_class import worst_class


@metric(
    kind="set",
    higher_is_better=False,
    needs_features=True,
    needs_labels=True,
    protocol=(
        "largest over classes of the unbiased U-statistic over all pairs of one class, "
        "kernel (x.y/d + 1)^3, float32 products, float64 sums"
    ),
    source="Binkowski et al. 2018, arXiv:1801.01401, class by class; Bonferroni intervals",
)
def kid_worst_class(generated: ImageSet, reference: ImageSet) -> Estimate:
    """Kernel distance of the class that is farthest from the real images of its label.

    The distance of one class is unbiased at any number of its images; the largest of several is
    not, and lies above the largest true one by an amount that shrinks as images are added. Blind
    to shares of classes, and within a class to what `kid` is blind to.

    Details: `class-L` and `class-L-standard_error` for each label L; `worst`, the label. The
    interval is for the largest true distance, whichever class that is of: Bonferroni's, normal.

    Args:
        generated, reference: features (N, D) and (M, D), float32, and labels; at least 20 images
            of every class in each.

    Raises:
        NothingMeasured: a class has fewer than 20 images in a set, or see `feature_pair`.

    >>> import torch
    >>> labels = torch.arange(80) % 2
    >>> x, y = torch.randn(80, 4) + 2 * labels[:, None], torch.randn(80, 4)
    >>> sets = [ImageSet(z, labels, z) for z in (x, y)]
    >>> kid_worst_class(*sets).details["worst"]
    1.0
    """
    feature_pair(generated, reference)
    return worst_class(generated, reference, _distance)


def _distance(generated: ImageSet, reference: ImageSet) -> Estimate:
    found = kernel_distance(*feature_pair(generated, reference))
    return estimated(found.value, found.standard_error)
