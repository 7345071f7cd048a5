"""An evaluation as it is written down: nothing in it names a path, a user or a host."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from torch import Tensor

from kdbench.digest import sha256_of
from kdbench.environment import describe_code
from kdbench.evaluating.evaluation import SCHEMA, Evaluation, EvaluationScore, Given
from kdbench.evaluating.material import Material
from kdbench.evaluating.partners import Partners
from kdbench.evaluating.question import Question
from kdbench.evaluating.references import Reference
from kdbench.evaluating.subjects import Subject
from kdbench.metrics.image_sets import Images
from kdbench.spec import content_key


def written(
    question: Question,
    material: Material,
    scores: list[EvaluationScore],
    numbers: dict[str, list[float]],
) -> Evaluation:
    """Everything about one evaluation.

    Args:
        question: what was asked.
        material: what was read and drawn.
        scores: in the order of measuring.
        numbers: of every image in the student's order, by metric.
    """
    reference, targets, teacher = material.reference, material.targets, material.teacher
    return Evaluation(
        schema=SCHEMA,
        created=datetime.now(UTC).isoformat(timespec="microseconds"),
        student=_subject(material.student),
        reference=_reference(reference) if reference else None,
        targets=_targets(targets) if targets else None,
        teacher=_subject(teacher, material.beside) if teacher else None,
        task=material.task.id if material.task else None,
        seed=question.seed,
        protocol=_protocols(question),
        scores=scores,
        per_image=_per_image(material.student.read.names, numbers),
        code=describe_code(),
    )


def _protocols(question: Question) -> list[str]:
    cut = f", {question.crop or 0} pixels cut on each side"
    planes = question.restoration
    return [name + (cut if planes and name == planes.name else "") for name in question.protocols]


def _subject(subject: Subject, beside: Partners | None = None) -> Given:
    """A student; or a teacher, by its images in the student's order."""
    read = subject.read
    return Given(
        name=subject.name,
        n=len(read),
        sha256=beside.sha256 if beside else read.content,
        labels_sha256=_labels(read.labels, read.classes),
        n_failed=subject.n_failed,
        notes=list(read.notes),
    )


def _reference(reference: Reference) -> Given:
    given = reference.given
    labels = given.labels if reference.has_labels and isinstance(given, Images) else None
    return Given(
        name=reference.name,
        n=reference.n,
        sha256=reference.sha256,
        labels_sha256=_labels(labels, reference.classes),
        notes=list(reference.notes),
    )


def _labels(labels: Tensor | None, classes: tuple[str, ...]) -> str | None:
    """What labels say: numbers, and which sub-folders they stand for."""
    return None if labels is None else content_key([sha256_of(labels), classes])


def _targets(targets: Partners) -> Given:
    notes = list(targets.notes)
    return Given(name=targets.name, n=len(targets.pairs), sha256=targets.sha256, notes=notes)


def _per_image(
    names: tuple[str, ...], numbers: dict[str, list[float]]
) -> list[dict[str, float | str | None]]:
    """For each image its name and its numbers; None for one that is not finite."""
    if not numbers:
        return []
    found: list[dict[str, float | str | None]] = []
    for i, name in enumerate(names):
        own = {metric: values[i] for metric, values in numbers.items()}
        known = {m: value if math.isfinite(value) else None for m, value in own.items()}
        found.append({"name": name, **known})
    return found
