"""GAN losses on discriminators whose gradient is known, and output distillation at its optimum."""

from __future__ import annotations

import math

import pytest
import torch
from kdbench_baselines.gan.discriminator import Discriminator
from kdbench_baselines.gan.losses import discriminator_loss, generator_loss
from kdbench_baselines.gan.output_distillation import OutputDistillation
from kdbench_baselines.gan.unet_generator import unet_generator
from torch import Tensor, nn

from kdbench.generators.build import build_sampler
from kdbench.spec import Sampling
from kdbench.tasks.digits import Digits
from kdbench.training.method import Batch

from .conftest import Bench


class Linear(nn.Module):
    """D(x) = w·x: its gradient is w everywhere."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        return images.flatten(1) @ self.weight


def test_penalties_of_a_linear_discriminator_are_its_squared_norm() -> None:
    weight = torch.tensor([1.0, 2.0, 0.0, 2.0])
    real, fake = torch.zeros((3, 1, 2, 2)), torch.zeros((3, 1, 2, 2))
    labels = torch.zeros(3, dtype=torch.int64)
    loss = discriminator_loss(Linear(weight), real, fake, labels, gamma=0.5)
    assert float(loss.detach()) == pytest.approx(math.log(2) + 0.5 / 2 * (9 + 9))


def test_discriminator_is_rewarded_for_the_difference_and_not_for_the_level() -> None:
    labels = torch.zeros(1, dtype=torch.int64)
    discriminator = Linear(torch.tensor([1.0, 0.0, 0.0, 0.0]))
    low = torch.zeros((1, 1, 2, 2))
    high = low + 1
    for offset in (0.0, 5.0):
        loss = discriminator_loss(discriminator, high + offset, low + offset, labels, gamma=0.0)
        assert float(loss.detach()) == pytest.approx(math.log(1 + math.exp(-1)), rel=1e-5)


def test_generator_gradient_flows_through_its_images_alone() -> None:
    discriminator = Linear(torch.tensor([1.0, 0.0, 0.0, 0.0]))
    labels = torch.zeros(1, dtype=torch.int64)
    real = torch.zeros((1, 1, 2, 2), requires_grad=True)
    fake = torch.zeros((1, 1, 2, 2), requires_grad=True)
    generator_loss(discriminator, real, fake, labels).backward()
    assert real.grad is None
    assert fake.grad is not None
    assert float(fake.grad[0, 0, 0, 0]) == pytest.approx(-0.5)  # −sigmoid(0)·w


def test_images_of_a_batch_do_not_see_each_other() -> None:
    torch.manual_seed(0)
    discriminator = Discriminator(Digits(), channels=4)
    images, labels = torch.randn((4, 1, 8, 8)), torch.arange(4)
    alone = discriminator(images[:1], labels[:1])
    torch.testing.assert_close(discriminator(images, labels)[:1], alone)


def test_output_distillation_is_zero_for_a_copy_and_sees_no_real_image(bench: Bench) -> None:
    class Teacher(nn.Module):
        def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
            return latents.tanh() + labels.view(-1, 1, 1, 1)

    class Half(nn.Module):
        def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
            return Teacher()(latents, labels) + 0.5

    method = bench.method(OutputDistillation)
    batch = Batch(torch.full((64, 1, 2, 2), math.nan), torch.zeros(64, dtype=torch.int64), 0)
    assert float(method.loss(Teacher(), Teacher(), batch)) == 0
    assert float(method.loss(Half(), Teacher(), batch)) == pytest.approx(0.25)
    assert OutputDistillation.uses == ("teacher samples",)


def test_a_generator_of_the_students_network_is_its_one_call_from_scratch() -> None:
    torch.manual_seed(0)
    generator = unet_generator(Digits(), channels=8, sigma=5.0)
    for parameter in generator.parameters():
        nn.init.normal_(parameter, std=0.1)  # the last layers start at zero
    latents, labels = torch.randn(4, 1, 8, 8), torch.arange(4)
    student = build_sampler(Sampling(sampler="euler@1", args={"sigmas": [5.0]}))
    drawn = student(generator.denoiser, latents, labels)
    torch.testing.assert_close(generator(latents, labels), drawn)
    assert not torch.allclose(generator(latents, labels.flip(0)), drawn)
