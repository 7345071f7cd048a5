"""What a method is: how a student learns, in 40–150 lines that a reader checks against a paper."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from kdbench.spec import Spec
from kdbench.tasks.base import Task
from kdbench.training.ledger import Ledger

if TYPE_CHECKING:
    from kdbench.training.trainer import Trainer


class NoParams(Spec):
    """The parameters of a method that has none."""


@dataclass(frozen=True, eq=False)
class Batch:
    """What one update sees. Draw further noise with torch's global generator: it is seeded anew
    for every update, so a resumed training repeats an undisturbed one bit by bit."""

    images: Tensor
    """(B, C, H, W), float32, encoded for networks; real images of the training split."""
    labels: Tensor
    """(B,), int64."""
    step: int
    """Number of the update, from 0."""


@dataclass(frozen=True, eq=False)
class Setting:
    """Everything around a method: its task, its seed and the store's cache."""

    task: Task
    seed: int
    batch: int
    device: torch.device
    ledger: Ledger
    teacher_sha256: str | None
    """Hash of the teacher's weights, for whatever is cached of it."""
    cached: Callable[[str, dict[str, Any], Callable[[], dict[str, Tensor]]], dict[str, Tensor]]
    """`cached(what, identity, make)`: tensors made once for all runs with this identity."""


class Method:
    """Trains a student. Override `loss`, or `fit` for a whole procedure.

    A method never sees the evaluation extractor, the validation or the held-out split.
    """

    Params: ClassVar[type[Spec]] = NoParams
    """The method's own parameters, validated from the pair's TOML."""
    uses: ClassVar[tuple[str, ...]] = ("real images",)
    """What it touches: `real images`, `teacher samples`, `teacher outputs`, …"""
    phases: tuple[str, ...] = ("student",)
    """What is updated in turn within one step: `student`, once, and names of `extra_networks`.

    A name that comes again is updated again, on a fresh batch that the phases after it share.
    Set it in `__init__` where it depends on the parameters.
    """

    def __init__(self, setting: Setting, params: Any) -> None:
        self.setting = setting
        self.params = params

    def prepare(self, student: nn.Module, teacher: nn.Module | None) -> None:
        """Make what the updates need (teacher samples, a frozen copy), before the first one."""

    def extra_networks(self) -> dict[str, nn.Module]:
        """Networks that are trained beside the student and thrown away, by phase."""
        return {}

    def frozen_networks(self) -> dict[str, nn.Module]:
        """Networks that no optimiser trains and `after_step` changes (a target's average).

        They are saved and restored with the training; their weights take no gradients. Make them
        in `prepare`, where the student has its first weights.
        """
        return {}

    def loss(self, student: nn.Module, teacher: nn.Module | None, batch: Batch) -> Tensor:
        """The student's loss on one batch, a scalar."""
        raise TypeError(f"{type(self).__name__} overrides neither loss nor fit")

    def extra_loss(
        self, phase: str, student: nn.Module, teacher: nn.Module | None, batch: Batch
    ) -> Tensor:
        """The loss of the extra network `phase`, a scalar."""
        raise TypeError(f"{type(self).__name__} names the phase {phase!r} and gives it no loss")

    def after_step(self, student: nn.Module, step: int) -> None:
        """Called without gradients when all phases of update number `step` (from 0) are done."""

    def fit(self, trainer: Trainer) -> None:
        """Train `trainer.student`; by default, `trainer.run(self)`."""
        trainer.run(self)
