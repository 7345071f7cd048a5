"""An evaluation as it is written down: nothing in it names a path, a user or a host."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from kdbench.environment import describe_code
from kdbench.evaluating.evaluation import SCHEMA, Evaluation, EvaluationScore, Given
from kdbench.evaluating.material import Material
from kdbench.evaluating.partners import Partners
from kdbench.evaluating.question import Question
from kdbench.evaluating.references import Reference
from kdbench.evaluating.subjects import Subject


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
        teacher=_subject(teacher) if teacher else None,
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


def _subject(subject: Subject) -> Given:
    read = subject.read
    return Given(
        name=subject.name,
        n=len(read),
        sha256=read.content,
        n_failed=subject.n_failed,
        notes=list(read.notes),
    )


def _reference(reference: Reference) -> Given:
    notes = list(reference.notes)
    return Given(name=reference.name, n=reference.n, sha256=reference.sha256, notes=notes)


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
