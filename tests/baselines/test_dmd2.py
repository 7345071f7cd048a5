"""DMD2: features cut where they are named, losses by hand, and the ratio of updates."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from kdbench_baselines.diffusion.dmd2 import Dmd2, Dmd2Params
from kdbench_baselines.diffusion.gan_head import (
    Head,
    JudgedScore,
    features_at,
    judge_loss,
    student_loss,
)
from kdbench_baselines.diffusion.unet import unet
from torch import Tensor, nn

from kdbench.spec import Budget
from kdbench.tasks.digits import Digits
from kdbench.training.ledger import CountedTeacher
from kdbench.training.method import Batch
from kdbench.training.trainer import Trainer

from .conftest import Bench
from .scores import Affine


class Wide(nn.Module):
    """A denoiser with eight channels inside and a module that nothing passes through."""

    def __init__(self) -> None:
        super().__init__()
        self.inside, self.out = nn.Conv2d(1, 8, 1), nn.Conv2d(8, 1, 1)
        self.beside = nn.Identity()

    def forward(self, x: Tensor, sigma: Tensor, labels: Tensor) -> Tensor:
        out: Tensor = self.out(self.inside(x))
        return out


def made(bench: Bench, **params: Any) -> tuple[Any, CountedTeacher]:
    method = bench.method(Dmd2, Dmd2Params(bottleneck="inside", **params), batch=16)
    teacher = CountedTeacher(Wide(), method.setting.ledger)
    method.prepare(Affine(), teacher)
    return method, teacher


def batch(n: int = 16) -> Batch:
    return Batch(torch.randn(n, 1, 2, 2), torch.zeros(n, dtype=torch.int64), 0)


# ---------------------------------------------------------------- features and losses


def test_features_are_the_modules_output_and_the_rest_is_not_run() -> None:
    network, x = Wide(), torch.randn(3, 1, 2, 2)
    ran: list[nn.Module] = []
    network.out.register_forward_hook(lambda module, inputs, output: ran.append(module))
    features = features_at(network, "inside", x, torch.ones(3), torch.zeros(3))
    torch.testing.assert_close(features, network.inside(x))
    assert not ran
    network(x, torch.ones(3), torch.zeros(3))  # the hook is gone
    assert ran == [network.out]
    with pytest.raises(ValueError, match="beside"):
        features_at(network, "beside", x, torch.ones(3), torch.zeros(3))


def test_head_of_the_digits_teacher_gives_one_logit_an_image() -> None:
    task = Digits()
    judged = JudgedScore(unet(task), "network.coarse", task.shape)
    x, sigma, labels = torch.randn(5, 1, 8, 8), torch.rand(5) + 0.1, torch.arange(5)
    logits = judged.eval().logits(x, sigma, labels)
    assert logits.shape == (5,)
    torch.testing.assert_close(judged.logits(x[:1], sigma[:1], labels[:1]), logits[:1])
    logits.sum().backward()  # type: ignore[no-untyped-call]
    network: Any = judged.score.network
    assert network.entry.weight.grad.any()
    assert network.exit.weight.grad is None
    assert Head(16, 4)(torch.randn(2, 16, 4, 4)).shape == (2,)


def test_softplus_losses_by_hand() -> None:
    on_real, on_fake = torch.tensor([0.0, 1.0]), torch.tensor([0.0, -2.0])
    real = (math.log(2) + math.log(1 + math.exp(-1))) / 2
    fake = (math.log(2) + math.log(1 + math.exp(-2))) / 2
    assert float(judge_loss(on_real, on_fake)) == pytest.approx(real + fake)
    wanted = (math.log(2) + math.log(1 + math.exp(2))) / 2
    assert float(student_loss(on_fake)) == pytest.approx(wanted)


# ---------------------------------------------------------------- the two losses


def test_classifier_learns_and_no_gradient_reaches_the_student(bench: Bench) -> None:
    method, _ = made(bench)
    method.extra_networks()
    student = Affine()
    method.extra_loss("fake", student, None, batch()).backward()
    assert student.slope.grad is None
    assert all(p.grad is not None and p.grad.any() for p in method.judged.score.parameters())
    assert all(p.grad is not None for p in method.judged.head.parameters())


def test_losses_are_the_scores_plus_the_weighted_gan_terms(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With logits 1 for real and −2 for generated images; with F = T the student's rest is 0."""
    method, teacher = made(bench, student_gan=0.5, judge_gan=0.25)
    method.extra_networks()
    seen = batch()
    logit = {True: 1.0, False: -2.0}
    monkeypatch.setattr(
        method, "logits", lambda x, labels: 0 * x.flatten(1).sum(1) + logit[x is seen.images]
    )
    loss = method.loss(Affine(), teacher, seen)
    assert float(loss.detach()) == pytest.approx(0.5 * math.log(1 + math.exp(2)))
    monkeypatch.setattr(method, "fake_loss", lambda x, labels: torch.tensor(3.0))
    loss = method.extra_loss("fake", Affine(), teacher, seen)
    told = math.log(1 + math.exp(-1)) + math.log(1 + math.exp(-2))
    assert float(loss) == pytest.approx(3 + 0.25 * told)


def test_gan_term_moves_the_student_where_the_scores_agree(bench: Bench) -> None:
    method, teacher = made(bench)
    method.extra_networks()
    student = Affine()
    method.loss(student, teacher, batch()).backward()
    assert student.offset.grad is not None
    assert student.offset.grad.any()


# ---------------------------------------------------------------- two time scales


@pytest.mark.parametrize("updates", [1, 5])
def test_fake_score_is_updated_so_often_before_each_of_the_students(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, updates: int
) -> None:
    method, teacher = made(bench, fake_updates=updates)
    done: list[str] = []
    for name in ("loss", "extra_loss"):
        own = getattr(method, name)
        monkeypatch.setattr(method, name, lambda *a, n=name, own=own: (done.append(n), own(*a))[1])
    budget = Budget(steps=3, batch=16, lr=1e-3)
    Trainer(Affine(), teacher, budget, method.setting, tmp_path / "checkpoint").run(method)
    assert done == [*["extra_loss"] * updates, "loss"] * 3
