"""MeanFlow with a teacher's velocities, from a bank or at every update, under the trainer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from kdbench_baselines.diffusion.flow import velocity
from kdbench_baselines.diffusion.meanflow import MeanFlow, mean_velocity
from kdbench_baselines.diffusion.meanflow_distillation import (
    MeanFlowDistillation,
    MeanFlowDistillationParams,
)
from kdbench_baselines.diffusion.resmlp import resmlp

from kdbench.spec import Budget
from kdbench.training.ledger import CountedTeacher, Ledger
from kdbench.training.method import Batch
from kdbench.training.trainer import Trainer

from .conftest import MEAN, STD, Bench, Gaussian, Oracle
from .exact_flows import ExactMean

LABELS = torch.zeros(64, dtype=torch.int64)


def test_distillation_asks_the_teacher_for_the_velocity_and_exact_students_have_no_loss(
    bench: Bench,
) -> None:
    params = MeanFlowDistillationParams(power=0.0, still=0.0, sigma_max=20.0)
    method = bench.method(MeanFlowDistillation, params)
    method.prepare(ExactMean(), Oracle())
    batch = Batch((MEAN + STD * torch.randn((64, 1, 2, 2))).double(), LABELS, 0)
    teacher = Oracle()
    assert float(method.loss(ExactMean(), teacher, batch)) < 1e-6  # float32 times
    assert teacher.calls == 1
    assert float(bench.method(MeanFlow, params).loss(ExactMean(), None, batch)) > 0.1
    assert method.uses == ("real images", "teacher outputs")


def test_a_bank_holds_the_velocities_of_the_teacher_and_is_made_once(bench: Bench) -> None:
    params = MeanFlowDistillationParams(power=0.0, still=0.0, bank=500)
    method, teacher = bench.method(MeanFlowDistillation, params), Oracle()
    method.prepare(ExactMean(), teacher)
    method.prepare(ExactMean(), teacher)
    assert bench.made == 1
    assert teacher.calls == 2  # chunks of 250
    z, t, v = (method.bank[name] for name in ("z", "t", "v"))
    torch.testing.assert_close(v, velocity(Oracle(), z, t, LABELS))
    nothing = Batch(torch.full((64, 1, 2, 2), torch.nan), LABELS, 0)
    assert float(method.loss(ExactMean(), None, nothing)) < 1e-4
    assert teacher.calls == 2


# ---------------------------------------------------------------- in the optimiser loop


def count(work: Callable[[], object]) -> float:
    ledger = Ledger()
    with ledger.counting():
        work()
    return ledger.macs


def test_updates_run_under_the_trainer_and_every_product_is_counted(
    bench: Bench, tmp_path: Path
) -> None:
    """A tangent costs two more products a layer: torch multiplies a zero weight tangent too."""
    method = bench.method(MeanFlowDistillation, MeanFlowDistillationParams())
    method.prepare(ExactMean(), Oracle())
    student = resmlp(Gaussian(), width=8, depth=1, second_time=True)
    teacher = CountedTeacher(Oracle(), method.setting.ledger)
    before = [p.clone() for p in student.parameters()]
    trainer = Trainer(
        student=student,
        teacher=teacher,
        budget=Budget(steps=3, batch=64, lr=1e-2, warmup=1),
        setting=method.setting,
        checkpoint=tmp_path / "checkpoint",
    )
    trainer.run(method)
    assert any(not torch.equal(a, b) for a, b in zip(before, student.parameters(), strict=True))
    assert trainer.ledger.teacher_nfe == 3 * 64
    z, t, r = torch.randn((64, 1, 2, 2)), torch.full((64,), 0.7), torch.full((64,), 0.2)
    forward = count(lambda: student(z, t, LABELS, r))
    both = count(lambda: mean_velocity(student, z, t, r, z, LABELS))
    assert both == 3 * forward
    backward = trainer.ledger.per_update["student"] - both
    assert forward < backward < 2 * forward  # of the value alone: none through the derivative
