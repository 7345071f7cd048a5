"""Distances of values between images that make no set, because their sizes differ."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from kdbench.errors import NothingMeasured
from kdbench.evaluating.few_at_a_time import Side, numbers
from kdbench.evaluating.found import Found
from kdbench.evaluating.material import Material
from kdbench.evaluating.references import labels_of
from kdbench.metrics.base import Metric
from kdbench.metrics.intervals import clipped
from kdbench.metrics.visible_distance import between, own_of, refuse_broken
from kdbench.reading import ReadSet, Statistics

SEVERAL = "images of several sizes: values are taken one size at a time"


def over_sizes(metric: Metric, material: Material) -> Found | None:
    """A `-distance` over the values of all images; None of other metrics and of one size.

    Raises:
        NothingMeasured: there is one image, a value is not finite, or whatever keeps the metric
            from measuring.
    """
    own, reference, read = own_of(metric), material.reference, material.student.read
    if own is None or reference is None or isinstance(reference.given, Statistics):
        return None
    given = reference.given
    if isinstance(read.images, Tensor) and not isinstance(given, ReadSet):
        return None
    if len(read) < 2:
        raise NothingMeasured(f"{metric.id} is used on 1 image: at least 2 are needed.")
    beside = labels_of(given) if isinstance(given, ReadSet) else given.labels
    x, y = _values(own, read.images), _values(own, given.images)
    estimate = between(x, y, labels=(labels_of(read), beside))
    if estimate.interval is not None:
        estimate = replace(estimate, interval=clipped(estimate.interval, metric.bounds))
    return Found(
        replace(estimate, marks=(SEVERAL, *estimate.marks)),
        n=len(x),
        n_reference=len(y),
        reference=reference.sha256,
        protocol=f"{len(x)} images, uint8, {metric.protocol}",
    )


def _values(own: Metric, images: Side) -> Tensor:
    return refuse_broken(own, numbers(own, [images], lambda part: part))
