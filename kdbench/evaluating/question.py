"""What is asked of an evaluation, before anything is read."""

from __future__ import annotations

from dataclasses import dataclass

from kdbench.errors import KdbenchError, UnknownName
from kdbench.metrics.protocols import PROTOCOLS
from kdbench.metrics.restoration import RESTORATION, RestorationProtocol


class BadQuestion(KdbenchError):
    """Options that do not go together, or one that is missing."""


@dataclass(frozen=True)
class Question:
    """One evaluation: what is measured, against what, by which metrics."""

    student: str
    """A folder, an image, a batch, a checkpoint, a program, or a registered `pair/arm`."""
    reference: str | None = None
    """A folder, a batch, statistics, or a task: what the set should be like."""
    targets: str | None = None
    """A folder, an image or a batch: what each image should be."""
    teacher: str | None = None
    """As `student`."""
    task: str | None = None
    arm: str | None = None
    """`pair/arm` of a checkpoint that is the student."""
    teacher_arm: str | None = None
    """`pair/arm` of a checkpoint that is the teacher."""
    metrics: tuple[str, ...] = ()
    """Those that are wanted; none: what fits what is given."""
    protocols: tuple[str, ...] = ()
    crop: int | None = None
    """Pixels that are cut from each side, by a protocol of restoration."""
    extractor: str | None = None
    """Stands for the task's."""
    seed: int | None = None
    """Which replicate of the task's inputs is drawn from; 0 where nobody says."""

    def __post_init__(self) -> None:
        words = {
            "STUDENT": self.student,
            "--reference": self.reference,
            "--targets": self.targets,
            "--teacher": self.teacher,
        }
        empty = [option for option, word in words.items() if word == ""]
        if empty:  # an unset variable of a shell, which would stand for the folder one is in
            raise BadQuestion(f"{' and '.join(empty)}: the name is empty.")

    @property
    def replicate(self) -> int:
        """The number of `seed`."""
        return self.seed or 0

    @property
    def restoration(self) -> RestorationProtocol | None:
        """What paired metrics are taken of, if not of whole images."""
        named = [RESTORATION[name] for name in self.protocols if name in RESTORATION]
        return named[0] if named else None

    @property
    def set_protocols(self) -> tuple[str, ...]:
        """Protocols that name metrics of sets."""
        return tuple(name for name in self.protocols if name not in RESTORATION)

    def check_seed(self, *, draws: bool) -> None:
        """Refuse a seed where nothing is drawn, which it would not change.

        Raises:
            BadQuestion: there is one.
        """
        if self.seed is not None and not draws:
            raise BadQuestion(
                "--seed chooses the inputs that images are drawn from, and these are read: leave "
                "it out."
            )

    def check(self, *, has_task: bool, draws: bool) -> None:
        """Refuse what cannot be answered, whatever the files hold.

        Args:
            has_task: whether a task's images are there to compare with.
            draws: whether student or teacher are drawn, and not read.

        Raises:
            BadQuestion: options do not go together.
            UnknownName: there is no such protocol.
        """
        self.check_seed(draws=draws)
        known = (*RESTORATION, *PROTOCOLS)
        for name in self.protocols:
            if name not in known:
                raise UnknownName(f"There is no protocol {name!r}; there are {', '.join(known)}.")
        planes = [name for name in self.protocols if name in RESTORATION]
        if len(planes) > 1:
            raise BadQuestion(f"{' and '.join(planes)} exclude each other: give one of them.")
        if self.crop is not None and not planes:
            raise BadQuestion(f"--crop needs a --protocol: {', '.join(RESTORATION)}.")
        if planes and self.targets is None and self.teacher is None:
            raise BadQuestion(f"The protocol {planes[0]} compares pairs: give --targets.")
        if self.set_protocols and self.reference is None and not has_task:
            raise BadQuestion(
                f"The protocol {self.set_protocols[0]} compares two sets: give --reference."
            )
