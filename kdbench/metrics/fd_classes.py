"""Fréchet distance class by class, and of the worst of them."""

from __future__ import annotations

from dataclasses import replace

from kdbench.metrics.base import Estimate, ImageSet, metric
from kdbench.metrics.fd import PROTOCOL, SOURCE, estimated, sample_sizes
from kdbench.metrics.feature_pair import feature_pair
from kdbench.metrics.frechet import Gaussian, jackknifed
from kdbench.metrics.group_jackknife import GROUPS, deal
from kdbench.metrics.worst_class import worst_class


@metric(
    kind="set",
    higher_is_better=False,
    name="fd-worst-class",
    bounds=(0.0, None),
    needs_features=True,
    needs_labels=True,
    protocol=f"{PROTOCOL}; largest of all classes, Bonferroni",
    source=SOURCE,
)
def fd_worst_class(generated: ImageSet, reference: ImageSet) -> Estimate:
    """Largest Fréchet distance between generated and reference images of one class.

    Each distance is the plain one of its class, which has few images: bias weighs more than in
    `fd`, and differs from class to class with size and variety. The unbiased `kid-worst-class`
    says which class is worst where classes are smaller than a few times the number of features;
    a value is marked with the size of its bias as `fd` is. Details: for each label `class-L`,
    `class-L-bias_corrected` and `class-L-standard_error`; `worst`, the label; `standard_error`.
    The interval is for the largest true value of all classes (Student t with 19 degrees of
    freedom, Bonferroni). Blind to what `fd` is blind to, and to differences between classes.

    Args:
        generated, reference: features (N, D) and (M, D), float32, and labels; at least 20 images
            of every class in both.

    Raises:
        NothingMeasured: a class has fewer than 20 images in a set, or see `feature_pair`.

    >>> import torch
    >>> labels, rows = torch.arange(80) % 2, torch.randn(80, 3)
    >>> x, y = (ImageSet(part, labels, part) for part in (rows + labels[:, None], rows))
    >>> found = fd_worst_class(x, y)
    >>> round(found.value, 5), found.details["worst"]
    (3.0, 1.0)
    """
    feature_pair(generated, reference)
    found: dict[int, Estimate] = {}

    def measured(own: ImageSet, real: ImageSet) -> Estimate:
        found[int(own.labels[0])] = estimate = of_one_class(own, real)
        return estimate

    worst = worst_class(generated, reference, measured, df=GROUPS - 1)
    label = int(worst.details["worst"] or 0)
    return replace(worst, marks=tuple(f"class {label}: {mark}" for mark in found[label].marks))


def of_one_class(own: ImageSet, real: ImageSet) -> Estimate:
    """The distance of one class, whose images are not kept for other metrics."""
    first, second = (Gaussian.of(rows) for rows in feature_pair(own, real))
    found = jackknifed(first, second, (deal(own.labels), deal(real.labels)))
    estimate = estimated(found, sample_sizes(first, second))
    details = {name: value for name, value in estimate.details.items() if name != "plain"}
    return replace(estimate, details=details)
