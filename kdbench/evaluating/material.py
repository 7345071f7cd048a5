"""Everything that one evaluation has read or drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from kdbench import registry
from kdbench.errors import BadSpec, NothingMeasured
from kdbench.evaluating.failed import OF_TEACHER, refuse_failed
from kdbench.evaluating.partners import Partners, in_colour, partners
from kdbench.evaluating.question import Question
from kdbench.evaluating.references import Reference, held_out, labels_of, open_reference, task_named
from kdbench.evaluating.subjects import (
    AS,
    TARGETS,
    TEACHER,
    Subject,
    arm_of,
    open_subject,
    read_subject,
)
from kdbench.generators.exported import PROGRAMS
from kdbench.metrics.base import SetName
from kdbench.metrics.image_sets import Images
from kdbench.reading.errors import whose
from kdbench.scoring import real_images
from kdbench.spec import Pair
from kdbench.stages import Progress, shared_task
from kdbench.tasks.base import Task


@dataclass(frozen=True, eq=False)
class Material:
    """A student with all that it is compared with."""

    student: Subject
    world: Task | None = None
    """The task whose training images and extractor belong to this evaluation."""
    task: Task | None = None
    reference: Reference | None = None
    teacher: Subject | None = None
    targets: Partners | None = None
    beside: Partners | None = None
    """The teacher's images, in the student's order."""

    @property
    def compared(self) -> Partners | None:
        """What paired metrics compare with: targets if there are any, else the teacher's images."""
        return self.targets or self.beside

    @cached_property
    def in_colour(self) -> frozenset[int]:
        """Images that are compared in three channels though some of those compared are grey."""
        return in_colour(self.targets, self.beside)

    @property
    def in_task(self) -> bool:
        """Whether this is a task's own measurement: its inputs, its held-out images."""
        own = self.reference is not None and self.reference.task is self.task
        return self.task is not None and self.student.drawn and own

    @cached_property
    def generated(self) -> Images:
        """The student's images as a set.

        Raises:
            BadImages: sizes differ.
        """
        return Images(self.student.images, labels_of(self.student.read))

    def set_of(self, name: SetName) -> Images:
        """What a set metric compares with.

        Raises:
            BadImages: sizes differ, or there is nothing but statistics.
            NothingMeasured: it was not given, or some of the teacher's images failed.
        """
        found: Callable[[], Images | None] = {
            "reference": lambda: self.reference.images() if self.reference else None,
            "train": lambda: real_images(self.world.id, "train") if self.world else None,
            "teacher": lambda: self._teacher,
            "teacher-again": lambda: self._again,
        }[name]
        images = found()
        if images is None:
            raise NothingMeasured(f"It compares with {LACKING[name]}.")
        return images

    @cached_property
    def _teacher(self) -> Images | None:
        """The teacher's images in the student's order."""
        if self.teacher is None or self.beside is None:
            return None
        refuse_failed(self.teacher.n_failed, OF_TEACHER)
        labels = labels_of(self.teacher.read) if self.teacher.drawn else self.generated.labels
        with whose(TEACHER):
            return Images(self.beside.others(), labels)

    @cached_property
    def _again(self) -> Images | None:
        if self.teacher is None or self.teacher.again is None:
            return None
        read = self.teacher.again()
        return Images(read.stacked(), labels_of(read))


LACKING: dict[SetName, str] = {
    "reference": "real images: give --reference or --task",
    "train": "the training images of a task: give --task",
    "teacher": "the teacher's images of the same inputs: give --teacher",
    "teacher-again": "the teacher's images from other latents: give a --teacher that can be "
    "drawn from, a program or a checkpoint",
}
"""What each set is, and which option brings it."""

PARTNERS = "an image for each: give --targets or --teacher"


@dataclass(frozen=True)
class Registered:
    """What the words of a question stand for among what is registered."""

    task: Task | None
    arm: tuple[Pair, str] | None
    teacher_arm: tuple[Pair, str] | None
    reference_task: Task | None

    @property
    def world(self) -> Task | None:
        """The task whose training images and extractor belong to this evaluation."""
        return self.task or self.reference_task

    def draws(self, question: Question) -> bool:
        """Whether the student or the teacher is drawn from the task's inputs, and not read."""
        words = (question.student, question.teacher or "")
        programs = any(Path(word).suffix.lower() in PROGRAMS for word in words)
        return programs or bool(self.arm or self.teacher_arm)


def look_up(question: Question) -> Registered:
    """Find the networks that are meant, and the task that all of them are of.

    Raises:
        UnknownName: there is no such task, pair or arm.
        BadQuestion: a checkpoint without its network, or a network for what has none.
        BadSpec: they are of several tasks.
    """
    arm = arm_of(question.student, question.arm)
    teacher_arm = None
    if question.teacher is not None:
        teacher_arm = arm_of(question.teacher, question.teacher_arm, AS[TEACHER])
    names = [registry.tasks.resolve(question.task)] if question.task else []
    names += [registry.tasks.resolve(one[0].task) for one in (arm, teacher_arm) if one]
    if len(set(names)) > 1:
        raise BadSpec(f"These belong to several tasks: {', '.join(dict.fromkeys(names))}.")
    task = shared_task(names[0]) if names else None
    reference_task = task_named(question.reference) if question.reference else None
    return Registered(task, arm, teacher_arm, reference_task)


def gather(question: Question, registered: Registered, *, progress: Progress) -> Material:
    """Read and draw all that an evaluation needs, paired as it will be compared.

    Raises:
        KdbenchError: some of it cannot be had; the message says what, and what to do.
    """
    task = registered.task
    reference = _reference(question, task, _told(progress, "reference"))
    student = open_subject(
        question.student,
        arm=registered.arm,
        task=task,
        seed=question.replicate,
        progress=_told(progress, "student"),
    )
    teacher = targets = beside = None
    if question.targets is not None:
        found = read_subject(Path(question.targets), _told(progress, "targets"), side=TARGETS)
        targets = partners(student, found, role="target")
    if question.teacher is not None:
        teacher = open_subject(
            question.teacher,
            arm=registered.teacher_arm,
            task=task,
            seed=question.replicate,
            progress=_told(progress, "teacher"),
            side=TEACHER,
        )
        beside = partners(student, teacher, role="teacher")
    return Material(student, registered.world, task, reference, teacher, targets, beside)


def _reference(question: Question, task: Task | None, progress: Progress) -> Reference | None:
    if question.reference is not None:
        return open_reference(question.reference, progress=progress)
    return held_out(task) if task is not None else None


def _told(progress: Progress, whose: str) -> Progress:
    return lambda stage, done, total: progress(f"{stage} the {whose}", done, total)
