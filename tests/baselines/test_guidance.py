"""Guidance on Gaussians whose guided denoiser is known, its distillation, and what it costs."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from kdbench_baselines.diffusion.denoising import Denoising, DenoisingParams
from kdbench_baselines.diffusion.guidance import (
    Conditioned,
    ConditionedSampler,
    Guided,
    GuidedSampler,
)
from kdbench_baselines.diffusion.guidance_distillation import (
    GuidanceDistillation,
    GuidanceDistillationParams,
)
from kdbench_baselines.diffusion.precondition import Denoiser, denoising_weight, null_label
from kdbench_baselines.diffusion.resmlp import resmlp
from kdbench_baselines.diffusion.samplers import Heun
from kdbench_baselines.diffusion.unet import unet
from pydantic import ValidationError
from torch import Tensor, nn

from kdbench.errors import BadSpec
from kdbench.generators.build import build_sampler
from kdbench.spec import Budget, Sampling
from kdbench.training.ledger import CountedTeacher, Ledger
from kdbench.training.method import Batch
from kdbench.training.trainer import Trainer

from .conftest import STD, Bench, Gaussian

MEANS = torch.tensor([-0.5, 0.7, 0.1])
"""Of class 0, of class 1, and of all images."""
STEPS = {"steps": 8, "sigma_max": 20.0, "sigma_min": 0.02}


class ByLabel(nn.Module):
    """The optimal denoiser of N(MEANS[label], STD²); label 2 is the null label."""

    null_label = 2

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: Tensor, sigma: Tensor, labels: Tensor) -> Tensor:
        self.calls += 1
        s = sigma.view(-1, 1, 1, 1).square()
        return (STD**2 * x + s * MEANS[labels].view(-1, 1, 1, 1)) / (STD**2 + s)


class GuidedByLabel(nn.Module):
    """Its guided denoiser: that of N(MEANS + w·(MEANS − MEANS[null]), STD²), in closed form."""

    def __init__(self, fixed: float | None = None) -> None:
        super().__init__()
        self.fixed = fixed
        self.told: Tensor | None = None

    def forward(self, x: Tensor, sigma: Tensor, labels: Tensor, *told: Tensor) -> Tensor:
        assert len(told) == (self.fixed is None)
        self.told = told[0] if told else torch.full_like(sigma, float(self.fixed or 0))
        s, w = sigma.view(-1, 1, 1, 1).square(), self.told.view(-1, 1, 1, 1)
        mean = MEANS[labels].view(-1, 1, 1, 1)
        return (STD**2 * x + s * (mean + w * (mean - MEANS[2]))) / (STD**2 + s)


def batch_of(n: int = 64) -> Batch:
    split = Gaussian().split("train")
    return Batch(split.images[:n], split.labels[:n], 0)


def loss_of(
    bench: Bench, student: nn.Module, teacher: nn.Module, w_min: float, w_max: float
) -> Tensor:
    params = GuidanceDistillationParams(w_min=w_min, w_max=w_max)
    torch.manual_seed(3)
    found: Tensor = bench.method(GuidanceDistillation, params).loss(student, teacher, batch_of())
    return found


# ---------------------------------------------------------------- guidance


@pytest.mark.parametrize("w", [0.0, 0.5, 3.0])
def test_guided_gaussians_are_moved_by_w_times_their_distance(w: float) -> None:
    x, sigma = torch.randn(6, 1, 2, 2), torch.rand(6) + 0.1
    labels = torch.arange(6) % 2
    found = Guided(ByLabel(), w)(x, sigma, labels)
    torch.testing.assert_close(found, GuidedByLabel(w)(x, sigma, labels))


def test_every_image_can_have_its_own_strength() -> None:
    x, sigma, labels = torch.randn(4, 1, 2, 2), torch.rand(4) + 0.1, torch.arange(4) % 2
    w = torch.tensor([0.0, 1.0, 2.0, 4.0])
    together = Guided(ByLabel(), w)(x, sigma, labels)
    for i in range(4):
        alone = Guided(ByLabel(), float(w[i]))(x[i : i + 1], sigma[i : i + 1], labels[i : i + 1])
        torch.testing.assert_close(together[i : i + 1], alone)


def test_guided_sampling_ends_where_the_guided_flow_does_and_counts_two_a_step() -> None:
    sampler = GuidedSampler(w=2.0, sampler="heun@1", args={**STEPS, "steps": 64})
    network, latents = ByLabel(), torch.randn(8, 1, 2, 2)
    labels = torch.arange(8) % 2
    found = sampler(network, latents, labels)
    mean = (MEANS[labels] + 2 * (MEANS[labels] - MEANS[2])).view(-1, 1, 1, 1)
    exact = mean + STD / math.sqrt(STD**2 + 20**2) * (20 * latents - mean)
    torch.testing.assert_close(found, exact, atol=5e-3, rtol=0)
    assert network.calls == sampler.nfe == 2 * (2 * 64 - 1)


def test_without_strength_it_is_the_sampler_within() -> None:
    network, latents, labels = ByLabel(), torch.randn(4, 1, 2, 2), torch.arange(4) % 2
    plain = Heun(**STEPS)(network, latents, labels)
    torch.testing.assert_close(GuidedSampler(0.0, args=STEPS)(network, latents, labels), plain)


def test_a_student_that_is_told_the_strength_needs_one_call_a_step() -> None:
    sampler = build_sampler(
        Sampling(sampler="guidance-conditioned@1", args={"w": 1.5, "args": STEPS})
    )
    student, latents, labels = GuidedByLabel(), torch.randn(4, 1, 2, 2), torch.arange(4) % 2
    assert isinstance(sampler, ConditionedSampler)
    assert sampler.nfe == Heun(**STEPS).nfe
    found = sampler(student, latents, labels)
    assert student.told is not None
    assert student.told.tolist() == [1.5] * 4
    twice = build_sampler(Sampling(sampler="guided@1", args={"w": 1.5, "args": STEPS}))
    torch.testing.assert_close(found, twice(ByLabel(), latents, labels))
    assert Conditioned(student, 1.5)(latents, torch.ones(4), labels).shape == latents.shape


# ---------------------------------------------------------------- its distillation


def test_the_guided_teacher_itself_has_no_loss(bench: Bench) -> None:
    assert loss_of(bench, GuidedByLabel(), ByLabel(), 0.0, 4.0).item() < 1e-10
    assert loss_of(bench, GuidedByLabel(1.5), ByLabel(), 1.5, 1.5).item() < 1e-10
    assert loss_of(bench, GuidedByLabel(1.4), ByLabel(), 1.5, 1.5).item() > 1e-4


def test_without_strength_it_is_plain_distillation(bench: Bench) -> None:
    student, teacher = resmlp(Gaussian(), width=8, depth=1), ByLabel()
    nn.init.normal_(student.network.exit.weight)
    found = loss_of(bench, student, teacher, 0.0, 0.0)
    torch.manual_seed(3)
    batch = batch_of()
    sigma = (-1.2 + 1.2 * torch.randn(64)).exp()
    noisy = batch.images + sigma.view(-1, 1, 1, 1) * torch.randn_like(batch.images)
    error = student(noisy, sigma, batch.labels) - teacher(noisy, sigma, batch.labels)
    by_hand = denoising_weight(sigma, STD) * error.square().mean(dim=(1, 2, 3))
    torch.testing.assert_close(found, by_hand.mean())


def test_strengths_fill_their_range_and_the_student_is_told_them(bench: Bench) -> None:
    student = GuidedByLabel()
    loss_of(bench, student, ByLabel(), 1.0, 3.0)
    assert student.told is not None
    assert 1.0 <= float(student.told.min()) < 1.2
    assert 2.8 < float(student.told.max()) <= 3.0


def test_the_teacher_is_counted_twice_an_image_and_gets_no_gradient(bench: Bench) -> None:
    teacher = CountedTeacher(unet(Gaussian(), channels=8, null_label=True), Ledger())
    student = unet(Gaussian(), channels=8, second_time=True, null_label=True)
    nn.init.normal_(student.network.exit.weight)
    loss = loss_of(bench, student, teacher, 0.0, 4.0)
    loss.backward()  # type: ignore[no-untyped-call]
    assert teacher._ledger.teacher_nfe == 2 * 64
    assert all(p.grad is None for p in teacher.parameters())
    assert any(p.grad is not None and p.grad.any() for p in student.parameters())


def test_a_range_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(ValidationError, match="w_min is above w_max"):
        GuidanceDistillationParams(w_min=2.0, w_max=1.0)


# ---------------------------------------------------------------- the null label


@pytest.mark.parametrize("build", [unet, resmlp])
def test_networks_without_it_are_as_they_were(build: Any) -> None:
    """The option costs one row of the label embedding and changes no other weight's shape."""
    torch.manual_seed(0)
    plain = build(Gaussian())
    torch.manual_seed(0)
    same, more = build(Gaussian(), null_label=False), build(Gaussian(), null_label=True)
    for name, tensor in plain.state_dict().items():
        assert torch.equal(tensor, same.state_dict()[name])
        rows = 1 if name == "network.condition.label.weight" else 0
        assert more.state_dict()[name].shape[0] == tensor.shape[0] + rows
    assert null_label(more) == Gaussian.classes
    assert plain.null_label is None


def test_networks_that_have_none_are_refused(bench: Bench) -> None:
    plain = resmlp(Gaussian(), width=8, depth=1)
    for network in (plain, CountedTeacher(plain, Ledger())):
        with pytest.raises(BadSpec, match="null_label = true"):
            Guided(network, 1.0)
    method = bench.method(Denoising, DenoisingParams(label_dropout=0.1))
    with pytest.raises(BadSpec, match="null_label = true"):
        method.loss(plain, None, batch_of())


# ---------------------------------------------------------------- label dropout


class Labels(nn.Module):
    """Keeps the labels that it is given."""

    null_label = 2

    def forward(self, x: Tensor, sigma: Tensor, labels: Tensor) -> Tensor:
        self.x, self.labels = x, labels
        return x


def test_labels_are_withheld_as_often_as_is_said_and_nothing_else_changes(bench: Bench) -> None:
    seen = {}
    for share in (0.0, 0.25):
        network = Labels()
        torch.manual_seed(0)
        method = bench.method(Denoising, DenoisingParams(label_dropout=share))
        method.loss(network, None, batch_of(4096))
        seen[share] = network
    assert torch.equal(seen[0.0].x, seen[0.25].x)
    assert torch.equal(seen[0.0].labels, batch_of(4096).labels)
    withheld = seen[0.25].labels == 2
    assert float(withheld.double().mean()) == pytest.approx(0.25, abs=0.03)
    assert torch.equal(seen[0.25].labels[~withheld], batch_of(4096).labels[~withheld])
    with pytest.raises(ValidationError):
        DenoisingParams(label_dropout=1.0)


def test_a_training_with_it_learns_both_and_its_guided_student_follows(
    bench: Bench, tmp_path: Path
) -> None:
    """A few updates each: losses fall, and all weights stay finite."""

    def train(kind: Any, params: Any, student: Denoiser, teacher: Any) -> Trainer:
        method = bench.method(kind, params, batch=64)
        trainer = Trainer(
            student=student,
            teacher=teacher and CountedTeacher(teacher, method.setting.ledger),
            budget=Budget(steps=60, batch=64, lr=1e-2, warmup=1, ema=0.9),
            setting=method.setting,
            checkpoint=tmp_path / kind.__name__,
        )
        method.prepare(trainer.student, trainer.teacher)
        trainer.run(method)
        return trainer

    small = {"width": 16, "depth": 1, "null_label": True}
    teacher = train(
        Denoising, DenoisingParams(label_dropout=0.2), resmlp(Gaussian(), **small), None
    )
    student = resmlp(Gaussian(), second_time=True, **small)
    params = GuidanceDistillationParams()
    done = train(GuidanceDistillation, params, student, teacher.ema.network)
    losses = [point["loss"] for point in done.curve]
    assert sum(losses[-5:]) < 0.5 * sum(losses[:5])
    assert done.ledger.teacher_nfe == 60 * 64 * 2
