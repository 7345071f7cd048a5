"""Whether a label means the same on both sides of a comparison by class."""

from __future__ import annotations

import torch

from kdbench.errors import NothingMeasured
from kdbench.evaluating.references import Reference
from kdbench.metrics.base import Metric
from kdbench.reading import ReadSet
from kdbench.reading.names import printable

CLASSIFIED = frozenset(("class-accuracy", "class-divergence"))
"""Metrics that compare labels with the classes of an extractor, which has numbers for them."""


def check_labels(metric: Metric, student: ReadSet, reference: Reference | None) -> None:
    """Refuse a metric by class where classes are not known or are not the same ones.

    Sub-folders are classes by their names; a task, an extractor and a batch have numbers for them.

    Raises:
        NothingMeasured: labels are missing, or one of them stands for two things.
    """
    if not metric.needs_labels:
        return
    if student.labels is None:
        raise NothingMeasured(
            "It needs to know what each image was asked for: give a sub-folder for each class, or "
            "labels in the .npz."
        )
    compared = reference if "reference" in metric.sets else None
    if compared is None and metric.name not in CLASSIFIED:
        return
    if compared is not None and not compared.has_labels:
        raise NothingMeasured("It compares class by class, and the reference has no labels.")
    for label in torch.unique(student.labels).tolist():
        own = _called(student.classes, label)
        other = _called(compared.classes if compared else (), label)
        if own != other:
            raise NothingMeasured(
                f"It compares class by class, and class {label} is {printable(own)!r} among "
                f"the student's images and {printable(other)!r} beside them; name sub-folders "
                "alike on both sides, 0, 1, … for a task or a batch."
            )


def _called(classes: tuple[str, ...], label: int) -> str:
    return classes[label] if label < len(classes) else str(label)
