"""Shortcut models: smallest steps are flow matching, longer ones are two steps of the average."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from kdbench_baselines.diffusion.flow import path, step_code, velocity
from kdbench_baselines.diffusion.flow_samplers import ShortcutSteps
from kdbench_baselines.diffusion.resmlp import resmlp
from kdbench_baselines.diffusion.shortcut import Shortcut, ShortcutParams, two_step_target
from torch import Tensor, nn

from kdbench.spec import Budget
from kdbench.training.method import Batch
from kdbench.training.trainer import Trainer

from .conftest import MEAN, STD, Bench, Gaussian, exact_map
from .exact_flows import SIGMA_MAX, T_MAX, ExactShortcut

LABELS = torch.zeros(16, dtype=torch.int64)


def begin(level: int) -> tuple[Tensor, Tensor, Tensor]:
    """Points, times and sizes of all steps of one level that begin at its grid."""
    steps = 2**level
    t = T_MAX * (torch.arange(1, steps + 1).double() / steps)
    return torch.randn((steps, 1, 2, 2)).double(), t, torch.full_like(t, 1 / steps)


@pytest.mark.parametrize("level", [0, 1, 2, 3, 4])
def test_exact_steps_are_consistent_and_wrong_ones_keep_their_error(level: int) -> None:
    z, t, d = begin(level)
    labels = LABELS[: len(t)]
    for error in (0.0, 0.1):
        network = ExactShortcut(error)
        target = two_step_target(network, z, t, d, labels, t_max=T_MAX, clip=100.0)
        assert network.heard == step_code(d / 2).tolist() * 2
        one = velocity(ExactShortcut(), z, t, labels, step_code(d))
        if error == 0:
            torch.testing.assert_close(target, one, rtol=0, atol=1e-9)
        else:
            assert float((target - one).detach().abs().mean()) > 0.05


def test_the_target_is_where_two_steps_land_and_takes_no_gradient() -> None:
    z, t, d = begin(2)
    network, labels = ExactShortcut(0.1), LABELS[:4]
    target = two_step_target(network, z, t, d, labels, t_max=T_MAX, clip=100.0)
    half = (T_MAX * d / 2).view(-1, 1, 1, 1)
    ahead = z - half * velocity(network, z, t, labels, step_code(d / 2))
    later = velocity(network, ahead, t - half.flatten(), labels, step_code(d / 2))
    torch.testing.assert_close(z - 2 * half * target, ahead - half * later)
    assert not target.requires_grad


def test_what_the_average_reaches_and_teaches_is_clipped() -> None:
    z, t, d = begin(1)
    code, half = step_code(d / 2), (T_MAX * d / 2).view(-1, 1, 1, 1)
    first = velocity(ExactShortcut(), z, t, LABELS[:2], code)
    ahead = (z - half * first).clamp(-0.3, 0.3)
    later = velocity(ExactShortcut(), ahead, t - half.flatten(), LABELS[:2], code)
    near = two_step_target(ExactShortcut(), z, t, d, LABELS[:2], t_max=T_MAX, clip=0.3)
    torch.testing.assert_close(near, ((first + later) / 2).clamp(-0.3, 0.3))
    far = two_step_target(ExactShortcut(100.0), z, t, d, LABELS[:2], t_max=T_MAX, clip=4.0)
    assert float(far.abs().max()) == 4.0


class Listening(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor, sigma: Tensor, labels: Tensor, code: Tensor) -> Tensor:
        self.x, self.sigma, self.code = x, sigma, code
        return self.scale * x


def test_one_in_eight_learns_longer_steps_and_the_rest_flow_matching(bench: Bench) -> None:
    method = bench.method(Shortcut, ShortcutParams())
    method.average = Listening().requires_grad_(False)
    student = Listening()
    images = MEAN + STD * torch.randn((128, 1, 2, 2))
    torch.manual_seed(1)
    loss = method.loss(student, None, Batch(images, torch.zeros(128, dtype=torch.int64), 0))
    level = (-4 * student.code / torch.tensor(2.0).log()).round().to(torch.int64)
    assert level[:16].tolist() == [*range(7), *range(7), 0, 1]
    assert bool((level[16:] == 7).all())
    t = student.sigma / (1 + student.sigma)
    places = t / T_MAX * 2**level
    torch.testing.assert_close(places, places.round(), rtol=0, atol=1e-3)
    assert int(places.round().min()) >= 1
    assert int(places[16:].round().max()) > 100
    # the target of the rest is e − x, whatever the average says: repeat it without a network
    torch.manual_seed(1)
    torch.rand(128)
    z, target = path(images, torch.randn_like(images), t, sigma_max=SIGMA_MAX)
    error = velocity(student, z, t, LABELS, student.code) - target
    teaches = two_step_target(
        method.average, z[:16], t[:16], 0.5 ** level[:16].float(), LABELS, t_max=T_MAX, clip=4.0
    )
    error[:16] = velocity(student, z, t, LABELS, student.code)[:16] - teaches
    assert float(loss.detach()) == pytest.approx(float(error.square().mean().detach()), rel=1e-3)
    loss.backward()
    assert student.scale.grad is not None
    assert method.average.scale.grad is None


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_sampler_tells_the_step_size_and_exact_steps_arrive(steps: int) -> None:
    latents, network = torch.randn((16, 1, 2, 2)).double(), ExactShortcut()
    images = ShortcutSteps(steps=steps)(network, latents, LABELS)
    torch.testing.assert_close(
        images, exact_map(SIGMA_MAX * latents, SIGMA_MAX, 0.0), rtol=0, atol=1e-4
    )
    assert len(network.heard) == 16 * ShortcutSteps(steps=steps).nfe


def test_steps_that_were_never_learnt_are_refused() -> None:
    with pytest.raises(TypeError, match="power of 2"):
        ShortcutSteps(steps=3)


def test_the_measured_average_teaches(bench: Bench, tmp_path: Path) -> None:
    method = bench.method(Shortcut, ShortcutParams())
    trainer = Trainer(
        student=resmlp(Gaussian(), width=8, depth=1, second_time=True),
        teacher=None,
        budget=Budget(steps=3, batch=64, lr=1e-2, warmup=1),
        setting=method.setting,
        checkpoint=tmp_path / "checkpoint",
    )
    method.fit(trainer)
    assert method.average is trainer.ema.network
    assert trainer.step == 3
