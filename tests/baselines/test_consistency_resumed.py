"""Trainings of consistency models end in the same bits after an interruption."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from kdbench_baselines.diffusion.consistency_distillation import (
    ConsistencyDistillation,
    ConsistencyDistillationParams,
)
from kdbench_baselines.diffusion.consistency_training import (
    ConsistencyTraining,
    ConsistencyTrainingParams,
)
from kdbench_baselines.diffusion.resmlp import resmlp

from kdbench.spec import Budget
from kdbench.training import trainer as trainer_module
from kdbench.training.checkpoint import network_bytes
from kdbench.training.ledger import CountedTeacher
from kdbench.training.trainer import Trainer

from .conftest import Bench, Oracle

LEARNT: list[tuple[Any, Any]] = [
    (ConsistencyDistillation, ConsistencyDistillationParams()),
    (ConsistencyTraining, ConsistencyTrainingParams(stage_images=160)),
]


class Interruption(Exception):
    """What a kill looks like from inside."""


def stop_at_20(done: int, total: int) -> None:
    if done == 20:
        raise Interruption


def start(kind: Any, params: Any, bench: Bench, checkpoint: Path) -> tuple[Trainer, Any]:
    method = bench.method(kind, params, batch=16)
    torch.manual_seed(0)
    trainer = Trainer(
        student=resmlp(method.setting.task, width=8, depth=1),
        teacher=CountedTeacher(Oracle(), method.setting.ledger),
        budget=Budget(steps=40, batch=16, lr=1e-2, warmup=1, ema=0.9),
        setting=method.setting,
        checkpoint=checkpoint,
    )
    method.prepare(trainer.student, trainer.teacher)
    return trainer, method


@pytest.mark.parametrize(("kind", "params"), LEARNT)
def test_an_interruption_changes_no_bit(
    kind: Any, params: Any, bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed, method = start(kind, params, bench, tmp_path / "undisturbed")
    undisturbed.run(method)
    monkeypatch.setattr(trainer_module, "CHECKPOINT_SECONDS", -1.0)
    disturbed, method = start(kind, params, bench, tmp_path / "disturbed")
    disturbed.progress = stop_at_20
    with pytest.raises(Interruption):
        disturbed.run(method)
    resumed, method = start(kind, params, bench, tmp_path / "disturbed")
    resumed.run(method)
    assert resumed.ledger.restarts == 1
    assert network_bytes(resumed.ema.network) == network_bytes(undisturbed.ema.network)
    assert resumed.curve == undisturbed.curve
    assert resumed.ledger.teacher_nfe == undisturbed.ledger.teacher_nfe
