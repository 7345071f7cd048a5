"""Class by class, and the worst of them, with an interval that knows that it was chosen."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from scipy import stats

from kdbench.errors import NothingMeasured
from kdbench.metrics.base import Estimate, ImageSet
from kdbench.metrics.intervals import LEVEL
from kdbench.record import Interval

LEAST = 20
"""Images of a class in each set: one for every jackknife group."""


def worst_class(
    generated: ImageSet,
    reference: ImageSet,
    measure: Callable[[ImageSet, ImageSet], Estimate],
    *,
    df: float = math.inf,
) -> Estimate:
    """The largest of a distance's values over classes, each class against the same class.

    Details: for each label `class-<label>`, its `class-<label>-standard_error` and every other
    detail of the measurement likewise; `worst`, the label of the worst class; and its
    `standard_error`. The interval is for the largest true value of all classes, whichever class
    that is: from the largest lower end to the largest upper end of Bonferroni intervals, which
    cover all classes at once. The value is the largest of noisy ones and so lies above the largest
    true one on average, the more so the more classes are alike; it need not be the middle of the
    interval. Blind to how many other classes are as bad, and to the shares of classes.

    Args:
        generated, reference: sets with labels.
        measure: a distance of one class's images to the reference's, smaller is better, with the
            detail `standard_error`.
        df: degrees of freedom of the standard error; infinite for a normal one.

    Raises:
        NothingMeasured: a class has fewer than 20 images in a set.
    """
    found = {label: measure(*pair) for label, pair in by_class(generated, reference)}
    values = {label: one.value for label, one in found.items() if one.value is not None}
    if len(values) < len(found):
        label = next(label for label in found if label not in values)
        return Estimate(None, None, f"Class {label}: {found[label].reason}")
    worst = max(values, key=values.__getitem__)
    details: dict[str, float | None] = {
        "worst": float(worst),
        "standard_error": found[worst].details.get("standard_error"),
    }
    for label, one in found.items():
        details[f"class-{label}"] = one.value
        details |= {f"class-{label}-{name}": number for name, number in one.details.items()}
    errors = [one.details.get("standard_error") for one in found.values()]
    known = [error for error in errors if error is not None]
    if len(known) < len(found):
        reason = next(one.reason for one in found.values() if "standard_error" not in one.details)
        return Estimate(values[worst], None, reason, details)
    interval = largest_interval(list(values.values()), known, df=df)
    return Estimate(values[worst], interval, None, details)


def by_class(
    generated: ImageSet, reference: ImageSet
) -> Iterator[tuple[int, tuple[ImageSet, ImageSet]]]:
    """Each label that occurs in either set, with the images of that label in both.

    Raises:
        NothingMeasured: a class has fewer than 20 images in a set.
    """
    labels = torch.unique(torch.cat([generated.labels, reference.labels]))
    for label in labels.tolist():
        own, real = (of_class(images, label) for images in (generated, reference))
        if min(len(own), len(real)) < LEAST:
            raise NothingMeasured(
                f"Class {label} has {len(own)} generated and {len(real)} reference images: a "
                f"measurement class by class needs {LEAST} of each."
            )
        yield label, (own, real)


def of_class(images: ImageSet, label: int) -> ImageSet:
    """The images of one label, with what an extractor said of them."""
    return images.take(images.labels == label)


def largest_interval(values: list[float], errors: list[float], *, df: float) -> Interval:
    """Where the largest of several true values lies.

    >>> interval = largest_interval([1.0, 1.1], [0.1, 0.01], df=math.inf)
    >>> round(interval.low, 4), round(interval.high, 4)  # 2.2414 standard errors
    (1.0776, 1.2241)
    """
    times = float(stats.t.ppf(1 - (1 - LEVEL) / 2 / len(values), df))
    pairs = list(zip(values, errors, strict=True))
    return Interval(
        level=LEVEL,
        low=max(value - times * error for value, error in pairs),
        high=max(value + times * error for value, error in pairs),
        source="sampling",
        method="bonferroni",
    )
