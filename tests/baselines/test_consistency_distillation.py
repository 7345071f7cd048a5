"""Consistency distillation: its loss at the known optimum, its target, and what takes gradients."""

from __future__ import annotations

import pytest
import torch
from kdbench_baselines.diffusion.consistency_distillation import (
    ConsistencyDistillation,
    ConsistencyDistillationParams,
    heun_between,
)
from kdbench_baselines.diffusion.resmlp import resmlp
from kdbench_baselines.diffusion.samplers import heun_step
from torch import nn

from kdbench.training.method import Batch

from .conftest import MEAN, STD, Bench, ExactConsistency, Gaussian, Oracle


def batch(n: int) -> Batch:
    generator = torch.Generator().manual_seed(4)
    images = MEAN + STD * torch.randn((n, 1, 2, 2), generator=generator)
    return Batch(images.double(), torch.zeros(n, dtype=torch.int64), 0)


def loss_of_the_optimum(bench: Bench, levels: int) -> float:
    """The distance, all but absolute, when student and target are the exact map to σ_min."""
    params = ConsistencyDistillationParams(levels=levels, huber=1e-12)
    method = bench.method(ConsistencyDistillation, params)
    exact = ExactConsistency(params.sigma_min)
    method.prepare(exact, Oracle())
    method.grid = method.grid.double()
    torch.manual_seed(2)
    return float(method.loss(exact, Oracle(), batch(40_000)))


def test_error_at_the_optimum_falls_with_the_cube_of_the_step(bench: Bench) -> None:
    """What is left is the error of one Heun step: an eighth at half the step."""
    errors = [loss_of_the_optimum(bench, levels) for levels in (33, 65, 129)]
    assert errors[0] / errors[1] == pytest.approx(8, rel=0.1)
    assert errors[1] / errors[2] == pytest.approx(8, rel=0.1)
    assert errors[2] < 1e-4


def test_every_image_takes_its_own_heun_step() -> None:
    torch.manual_seed(0)
    x, labels = 3 * torch.randn((8, 1, 2, 2)).double(), torch.zeros(8, dtype=torch.int64)
    a, b = torch.linspace(2, 9, 8).double(), torch.linspace(1, 3, 8).double()
    together = heun_between(Oracle(), x, a, b, labels)
    alone = [heun_step(Oracle(), x[i : i + 1], a[i], b[i], labels[:1]) for i in range(8)]
    torch.testing.assert_close(together, torch.cat(alone))


def test_the_lowest_level_is_the_boundary_to_the_bit(bench: Bench) -> None:
    method = bench.method(ConsistencyDistillation, ConsistencyDistillationParams())
    method.prepare(nn.Identity(), None)
    assert len(method.grid) == 18
    assert method.grid[-1] == torch.tensor(0.02)
    assert float(method.grid[0]) == pytest.approx(20.0)
    assert bool((method.grid.diff() < 0).all())


def network() -> nn.Module:
    torch.manual_seed(1)
    made = resmlp(Gaussian(), width=8, depth=1)
    for parameter in made.parameters():  # layers that start at 0 would hide the others
        nn.init.normal_(parameter, std=0.2)
    return made.double()


def test_the_student_alone_takes_gradients(bench: Bench) -> None:
    student, teacher = network(), network()
    method = bench.method(ConsistencyDistillation, ConsistencyDistillationParams())
    method.prepare(student, teacher)
    method.loss(student, teacher, batch(64)).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in student.parameters())
    for other in (method.target, teacher):
        assert all(p.grad is None for p in other.parameters())


def test_targets_come_from_the_average_and_not_from_the_student(bench: Bench) -> None:
    student = network()
    method = bench.method(ConsistencyDistillation, ConsistencyDistillationParams())
    method.prepare(student, Oracle())
    asked: list[str] = []
    method.target.register_forward_hook(lambda *_: asked.append("target"))
    student.register_forward_hook(lambda *_: asked.append("student"))
    method.loss(student, Oracle(), batch(64))
    assert sorted(asked) == ["student", "target"]


def test_the_target_is_a_moving_average_of_the_student(bench: Bench) -> None:
    student = network()
    method = bench.method(ConsistencyDistillation, ConsistencyDistillationParams(mu=0.9))
    method.prepare(student, None)
    assert method.frozen_networks() == {"target": method.target}
    expected = [p.detach().clone() for p in student.parameters()]
    for step in range(3):
        with torch.no_grad():
            for parameter in student.parameters():
                parameter.normal_()
            method.after_step(student, step)
        expected = [
            0.9 * e + 0.1 * p.detach() for e, p in zip(expected, student.parameters(), strict=True)
        ]
    for found, known in zip(method.target.parameters(), expected, strict=True):
        torch.testing.assert_close(found.detach(), known)


def test_stored_steps_are_the_teachers_and_made_once(bench: Bench) -> None:
    params = ConsistencyDistillationParams(bank=500, huber=1e-12, levels=65)
    method = bench.method(ConsistencyDistillation, params)
    oracle, exact = Oracle(), ExactConsistency(params.sigma_min)
    method.prepare(exact, oracle)
    method.prepare(exact, oracle)
    assert bench.made == 1
    asked = oracle.calls
    assert asked == 4  # two chunks, two calls a step
    # Its real images play no part once steps are stored.
    nowhere = Batch(torch.full((64, 1, 2, 2), torch.nan), torch.zeros(64, dtype=torch.int64), 0)
    assert float(method.loss(exact, oracle, nowhere)) < 0.01
    assert oracle.calls == asked
