"""Whose images are shown beside the student's, and which image beside which."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from kdbench.blind.trials import Opponent, Shown
from kdbench.evaluating.failed import OF_TEACHER, refuse_failed
from kdbench.evaluating.material import Registered
from kdbench.evaluating.question import BadQuestion, Question
from kdbench.evaluating.references import held_out, labels_of, open_reference
from kdbench.evaluating.subjects import TARGETS, TEACHER, Subject, open_subject, read_subject
from kdbench.reading import BadImages, ReadSet, Statistics
from kdbench.reading.pairs import as_it_was, matched
from kdbench.seeds import seed as derive_seed
from kdbench.stages import Progress


@dataclass(frozen=True)
class _Pair:
    """Two images that may be shown beside each other, by their places."""

    own: int
    other: int
    name: str | None = None
    """What both are called; None where they were brought together at random."""


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
    images of one label where both sides have labels. Two images of unlike size, or of which one is
    grey and the other in colour, would show whose they are and are left out.

    Args:
        question: names them.
        registered: what its words stand for.
        student: whose images are compared.
        count: comparisons with each.
        progress: told of what is read and drawn.

    Raises:
        BadQuestion: there is nobody to compare with.
        BadImages: no two images are alike in size and colour, or of one label.
        NothingMeasured: some of the teacher's images failed.
    """
    found = []
    for role, name, read in _sides(question, registered, progress):
        draw = np.random.default_rng(derive_seed("shown", role, question.replicate))
        pairs = _matched(student, read) if role != "reference" else None
        if pairs is None:
            pairs = _strangers(student.read, read, draw)
        alike = [one for one in pairs if _kind(student.read, one.own) == _kind(read, one.other)]
        _refuse_none(pairs, alike, role)
        chosen = [alike[i] for i in draw.permutation(len(alike))[:count].tolist()]
        shown = [_shown(one, student.read, read) for one in chosen]
        notes = _left_out(len(pairs) - len(alike), len(pairs), role)
        found.append(Opponent(role, name, shown, notes))
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
            seed=question.replicate,
            progress=progress,
            side=TEACHER,
        )
        refuse_failed(teacher.n_failed, OF_TEACHER)
        yield "teacher", teacher.name, teacher.read
    if question.targets is not None:
        targets = read_subject(Path(question.targets), progress, side=TARGETS)
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


def _matched(student: Subject, other: ReadSet) -> list[_Pair] | None:
    """Images of one name or place; None where names do not fit together."""
    if student.is_file and len(other) == 1:
        other = replace(other, names=student.read.names)
    try:
        found = matched(student.read, other)
    except BadImages:
        return None
    return [_Pair(i, j, name) for name, (i, j) in found.items()]


def _strangers(own: ReadSet, other: ReadSet, draw: np.random.Generator) -> list[_Pair]:
    """Every image of the student beside a random one, of its own label if there are labels.

    It is one of the same size and as many channels, where there is one.
    """
    if own.labels is None or other.labels is None:
        own, other = replace(own, labels=None), replace(other, labels=None)
    asked, there = labels_of(own), labels_of(other)
    kinds = [_kind(other, j) for j in range(len(other))]
    found = []
    for i in range(len(own)):
        places = (there == asked[i]).nonzero().flatten().tolist()
        kind = _kind(own, i)
        alike = [j for j in places if kinds[j] == kind]
        if places:
            found.append(_Pair(i, int(draw.choice(alike or places))))
    return found


def _kind(images: ReadSet, i: int) -> tuple[int, ...]:
    """What an image shows of itself at first sight: channels, height and width."""
    return tuple(as_it_was(images, i).shape)


def _shown(pair: _Pair, own: ReadSet, other: ReadSet) -> tuple[Shown, Shown]:
    names = (pair.name or own.names[pair.own], pair.name or other.names[pair.other])
    images = as_it_was(own, pair.own), as_it_was(other, pair.other)
    return Shown(names[0], images[0]), Shown(names[1], images[1])


def _left_out(n: int, of: int, role: str) -> tuple[str, ...]:
    what = "differs in size or colour, which would show whose each is"
    if n != 1:
        what = "differ in size or colour, which would show whose they are"
    return (f"{n:,} of {of:,} pairs with the {role} {what}: left out.",) if n else ()


def _refuse_none(pairs: list[_Pair], alike: list[_Pair], role: str) -> None:
    if not pairs:
        raise BadImages(f"No image of the {role} has a label of the student's images.")
    if not alike:
        raise BadImages(
            f"All images of student and {role} differ in size, or one is grey and the other in "
            "colour, which shows whose they are. Bring both sides to one size and colour before "
            "people compare them."
        )
