"""Whose images are shown beside the student's, and which image beside which."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from kdbench.blind.trials import Opponent, Shown
from kdbench.evaluating.material import Registered
from kdbench.evaluating.question import BadQuestion, Question
from kdbench.evaluating.references import held_out, labels_of, open_reference
from kdbench.evaluating.subjects import Subject, open_subject, read_subject
from kdbench.reading import BadImages, ReadSet, Statistics, pair
from kdbench.seeds import seed as derive_seed
from kdbench.stages import Progress


def opponents(
    question: Question,
    registered: Registered,
    student: Subject,
    *,
    count: int,
    progress: Progress,
) -> list[Opponent]:
    """Everyone that the student is compared with: teacher, targets, real images.

    Teachers and targets are matched by name or input where they can be, others at random, with
    images of one label where both sides have labels.

    Args:
        question: names them.
        registered: what its words stand for.
        student: whose images are compared.
        count: comparisons with each.
        progress: told of what is read and drawn.

    Raises:
        BadQuestion: there is nobody to compare with.
    """
    found = []
    for role, name, read in _sides(question, registered, progress):
        pairs = _matched(student, read) if role != "reference" else None
        draw = np.random.default_rng(derive_seed("shown", role, question.seed))
        if pairs is None:
            pairs = _strangers(student.read, read, draw)
        chosen = draw.permutation(len(pairs))[:count].tolist()
        found.append(Opponent(role, name, [pairs[i] for i in chosen]))
    if not found:
        raise BadQuestion(
            "A blind comparison needs somebody to compare with: give --teacher, --targets or "
            "--reference."
        )
    return found


def _sides(
    question: Question, registered: Registered, progress: Progress
) -> Iterator[tuple[str, str, ReadSet]]:
    if question.teacher is not None:
        teacher = open_subject(
            question.teacher,
            arm=registered.teacher_arm,
            task=registered.task,
            seed=question.seed,
            progress=progress,
            option="--teacher-as",
        )
        yield "teacher", teacher.name, teacher.read
    if question.targets is not None:
        targets = read_subject(Path(question.targets), progress)
        yield "targets", targets.name, targets.read
    if question.reference is not None:
        reference = open_reference(question.reference, progress=progress)
    elif registered.task is not None and not (question.teacher or question.targets):
        reference = held_out(registered.task)
    else:
        return
    given = reference.given
    if isinstance(given, Statistics):
        raise BadImages("The reference is statistics: there is nothing to look at.")
    if not isinstance(given, ReadSet):
        names = tuple(map(str, range(len(given.images))))
        given = ReadSet(names, given.images, given.labels, has_files=False)
    yield "reference", reference.name, given


def _matched(student: Subject, other: ReadSet) -> list[tuple[Shown, Shown]] | None:
    """Images of one name or place; None where names do not fit together."""
    if student.is_file and len(other) == 1:
        other = replace(other, names=student.read.names)
    try:
        found = pair(student.read, other)
    except BadImages:
        return None
    sides = zip(found.names, found.students, found.targets, strict=True)
    return [(Shown(name, own), Shown(name, image)) for name, own, image in sides]


def _strangers(
    own: ReadSet, other: ReadSet, draw: np.random.Generator
) -> list[tuple[Shown, Shown]]:
    """Every image of the student beside a random one, of its own label if there are labels."""
    if own.labels is None or other.labels is None:
        own, other = replace(own, labels=None), replace(other, labels=None)
    asked, there = labels_of(own), labels_of(other)
    found = []
    for i in range(len(own)):
        places = (there == asked[i]).nonzero().flatten().tolist()
        if places:
            j = int(draw.choice(places))
            sides = Shown(own.names[i], own.images[i]), Shown(other.names[j], other.images[j])
            found.append(sides)
    return found
