"""The one optimiser loop that methods and controls share: EMA, clipping, divergence, resume."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from kdbench.errors import BadSpec, Diverged
from kdbench.seeds import seed
from kdbench.spec import Budget
from kdbench.training.checkpoint import (
    load_checkpoint,
    optimiser_tensors,
    pack,
    restore_optimiser,
    save_checkpoint,
    unpack,
)
from kdbench.training.ema import Ema
from kdbench.training.ledger import CountedTeacher, Ledger
from kdbench.training.method import Batch, Method, Setting
from kdbench.training.optimiser import Trained, autocast, learning_rate

CHECKPOINT_SECONDS = 10.0
"""Longest work that a kill can undo."""
CURVE_POINTS = 20
"""Points of the recorded training curve."""


@dataclass(eq=False)
class Trainer:
    """One training: a student, perhaps a teacher, a budget, and where its checkpoints go."""

    student: nn.Module
    teacher: CountedTeacher | None
    budget: Budget
    setting: Setting
    checkpoint: Path
    progress: Callable[[int, int], None] = lambda step, steps: None
    step: int = 0
    curve: list[dict[str, Any]] = field(default_factory=list)
    _frozen: dict[str, nn.Module] = field(default_factory=dict)
    _last_saved: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        split = self.setting.task.split("train")
        self._images, self._labels = split.images, split.labels
        self.ema = Ema(self.student, self.budget.ema)

    @property
    def ledger(self) -> Ledger:
        """What has been spent so far."""
        return self.setting.ledger

    def run(self, method: Method) -> None:
        """Train for the whole budget, from the last checkpoint where there is one.

        Raises:
            Diverged: a loss, a gradient or a weight is not finite; says at which update.
        """
        self._seed("extra networks")
        extra = method.extra_networks()
        self._check_rates(extra)
        networks = {"student": self.student, **extra}
        trained = {name: Trained.of(network, self.budget) for name, network in networks.items()}
        self._frozen = method.frozen_networks()
        for network in self._frozen.values():
            network.requires_grad_(False)
        self._resume(trained)
        started = time.monotonic() - self.ledger.seconds
        while self.step < self.budget.steps:
            self._seed("update", self.step)
            batch = self._draw()
            for place, phase in enumerate(method.phases):
                if phase in method.phases[:place]:
                    batch = self._draw()
                self._update(method, phase, trained, batch)
            self.ema.update(self.step)
            with torch.no_grad():
                method.after_step(self.student, self.step)
            self.step += 1
            self.ledger.seconds = time.monotonic() - started
            self._report(trained)
        if not all(torch.isfinite(t).all() for t in self.ema.network.state_dict().values()):
            raise Diverged(f"A weight is not finite after {self.step} updates.")

    def _check_rates(self, extra: dict[str, nn.Module]) -> None:
        rates = self.budget.extra_lr
        unknown = sorted(set(rates) - set(extra)) if isinstance(rates, dict) else []
        if unknown:
            raise BadSpec(
                f"The budget gives {', '.join(unknown)} a learning rate; beside the student "
                f"are trained: {', '.join(extra) or 'none'}."
            )

    def _seed(self, *purpose: str | int) -> None:
        """Seed the global generators; `torch.manual_seed` would queue a call for every GPU."""
        value = seed(*purpose, self.setting.seed)
        torch.default_generator.manual_seed(value)
        if self.setting.device.type == "cuda":
            torch.cuda.manual_seed(value)

    def _draw(self) -> Batch:
        """A batch of real images, drawn with replacement; only it is on the device."""
        chosen, device = torch.randint(len(self._images), (self.budget.batch,)), self.setting.device
        self.ledger.images_seen += len(chosen)
        images = self.setting.task.encode(self._images[chosen].to(device))
        return Batch(images, self._labels[chosen].to(device), self.step)

    def _update(
        self,
        method: Method,
        phase: str,
        trained: dict[str, Trained],
        batch: Batch,
    ) -> None:
        own = trained[phase]
        for group in own.optimiser.param_groups:
            group["lr"] = learning_rate(self.budget, self.step, phase=phase)
        if len(trained) > 1:
            for name, other in trained.items():
                other.require_gradients(name == phase)

        def update() -> float:
            with autocast(self.budget, self.setting.device):
                if phase == "student":
                    loss = method.loss(self.student, self.teacher, batch)
                else:
                    loss = method.extra_loss(phase, self.student, self.teacher, batch)
            own.optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            return float(loss.detach())

        loss = self.ledger.charge_update(phase, update)
        norm = float(nn.utils.clip_grad_norm_(own.parameters, self.budget.clip))
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise Diverged(f"The {phase}'s loss or gradient is not finite at update {self.step}.")
        own.optimiser.step()
        if phase == "student":
            self._note(loss, norm)

    def _note(self, loss: float, norm: float) -> None:
        every = max(1, self.budget.steps // CURVE_POINTS)
        if self.step % every == 0 or self.step == self.budget.steps - 1:
            self.curve.append({"step": self.step, "loss": loss, "grad_norm": norm})

    def _report(self, trained: dict[str, Trained]) -> None:
        if self.step % 20 == 0 or self.step == self.budget.steps:
            self.progress(self.step, self.budget.steps)
        if time.monotonic() - self._last_saved > CHECKPOINT_SECONDS:
            self._save(trained)
            self._last_saved = time.monotonic()

    def _save(self, trained: dict[str, Trained]) -> None:
        tensors = pack("ema", self.ema.network.state_dict())
        for name, own in trained.items():
            tensors |= pack(f"network-{name}", own.network.state_dict())
            tensors |= pack(f"optimiser-{name}", optimiser_tensors(own.optimiser))
        for name, network in self._frozen.items():
            tensors |= pack(f"frozen-{name}", network.state_dict())
        meta = {"step": self.step, "curve": self.curve, "ledger": self.ledger.as_dict()}
        save_checkpoint(self.checkpoint, tensors, meta)

    def _resume(self, trained: dict[str, Trained]) -> None:
        found = load_checkpoint(self.checkpoint)
        if found is None:
            return
        tensors, meta = found
        self.ema.network.load_state_dict(unpack("ema", tensors))
        for name, own in trained.items():
            own.network.load_state_dict(unpack(f"network-{name}", tensors))
            restore_optimiser(own.optimiser, unpack(f"optimiser-{name}", tensors))
        for name, network in self._frozen.items():
            network.load_state_dict(unpack(f"frozen-{name}", tensors))
        self.step, self.curve = meta["step"], meta["curve"]
        for name, value in meta["ledger"].items():
            setattr(self.ledger, name, value)
        self.ledger.restarts += 1
