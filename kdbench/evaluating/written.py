"""An evaluation as it is written down: nothing in it names a path, a user or a host."""

from __future__ import annotations

import math
from collections.abc import Set
from datetime import UTC, datetime

from torch import Tensor

from kdbench.digest import sha256_of
from kdbench.environment import describe_code
from kdbench.evaluating.evaluation import SCHEMA, Evaluation, EvaluationScore, Given
from kdbench.evaluating.failed import constant_mark
from kdbench.evaluating.material import Material
from kdbench.evaluating.partners import Partners
from kdbench.evaluating.question import Question
from kdbench.evaluating.references import Reference
from kdbench.evaluating.subjects import Subject
from kdbench.metrics.base import Kind
from kdbench.metrics.image_sets import Images
from kdbench.reading.gathered import GREY
from kdbench.spec import content_key


def written(
    question: Question,
    material: Material,
    scores: list[EvaluationScore],
    numbers: dict[str, list[float]],
    kinds: Set[Kind],
) -> Evaluation:
    """Everything about one evaluation.

    Args:
        question: what was asked.
        material: what was read and drawn.
        scores: in the order of measuring.
        numbers: of every image in the student's order, by metric.
        kinds: of metrics that were to be measured.
    """
    reference, targets, teacher = material.reference, material.targets, material.teacher
    return Evaluation(
        schema=SCHEMA,
        created=datetime.now(UTC).isoformat(timespec="microseconds"),
        student=_subject(material.student, kinds),
        reference=_reference(reference) if reference else None,
        targets=_targets(targets, material) if targets else None,
        teacher=_teacher(teacher, material, kinds) if teacher else None,
        task=material.task.id if material.task else None,
        seed=question.replicate,
        protocol=_protocols(question),
        scores=scores,
        per_image=_per_image(material.student.read.names, numbers),
        code=describe_code(),
    )


def _protocols(question: Question) -> list[str]:
    cut = f", {question.crop or 0} pixels cut on each side"
    planes = question.restoration
    return [name + (cut if planes and name == planes.name else "") for name in question.protocols]


def _subject(subject: Subject, kinds: Set[Kind]) -> Given:
    read = subject.read
    return Given(
        name=subject.name,
        n=len(read),
        sha256=read.content,
        labels_sha256=_labels(read.labels, read.classes),
        n_failed=subject.n_failed,
        notes=[
            *as_taken(read.notes, kinds),
            *(f"{said}." for said in constant_mark(subject.constant)),
        ],
    )


def _teacher(teacher: Subject, material: Material, kinds: Set[Kind]) -> Given:
    """By its images in the student's order."""
    given, beside = _subject(teacher, kinds), material.beside
    assert beside is not None
    more = () if material.targets else beside.pairs.notes
    return given.model_copy(update={"sha256": beside.sha256, "notes": [*given.notes, *more]})


def as_taken(notes: tuple[str, ...], kinds: Set[Kind]) -> list[str]:
    """What is true of images as they were measured: grey ones are not always repeated.

    >>> as_taken((f"1 of 2 images {GREY}",), {"paired"})
    []
    """
    if "paired" not in kinds:
        return list(notes)
    if kinds == {"paired"}:
        return [note for note in notes if not note.endswith(GREY)]
    but = f"{GREY.removesuffix('.')}, but not in pairs that are grey on all sides."
    return [note.removesuffix(GREY) + but if note.endswith(GREY) else note for note in notes]


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


def _targets(targets: Partners, material: Material) -> Given:
    n, places = len(targets.pairs), material.in_colour
    notes = as_taken(targets.notes, {"paired"})
    if material.beside is None:
        notes += targets.pairs.notes
    elif places:
        notes.append(
            f"{len(places):,} of {n:,} images are in colour for some of student, target and "
            "teacher and grey for others: grey repeated in three channels."
        )
    return Given(name=targets.name, n=n, sha256=targets.sha256, notes=notes)


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
