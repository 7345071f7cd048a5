"""Images that do not depend on how many are drawn, bytes that are rounded once, trivial marks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from kdbench import registry
from kdbench.generators.base import Generator, Inputs, quantise, sample
from kdbench.generators.build import build_generator
from kdbench.generators.trivial import ClassMean, Noise, Real
from kdbench.tasks.base import Task
from kdbench.tasks.digits import Digits
from kdbench.tasks.toy import Toy
from kdbench.weights import find_weights


def inputs(task: Task, n: int) -> Inputs:
    return task.inputs(n, split="held-out", replicate=0)


class Counting:
    """Remembers the sizes that it was called with, and returns latents in double precision."""

    nfe = 1

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def __call__(self, inputs: Inputs) -> Tensor:
        self.sizes.append(len(inputs))
        return inputs.latents.double()


# ---------------------------------------------------------------- chunks


@pytest.mark.parametrize("n", [1, 3, 4, 5, 8, 9])
def test_every_chunk_has_one_size_and_every_input_one_image(n: int) -> None:
    generator, asked = Counting(), inputs(Toy(), n)
    images = sample(generator, asked, chunk=4)
    assert generator.sizes == [4] * -(-n // 4)
    assert torch.equal(images, asked.latents)
    assert images.dtype == torch.float32


class Convolutional:
    """A network whose arithmetic would differ between batch sizes."""

    nfe = 1

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.network = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.SiLU(), nn.Conv2d(16, 1, 3, padding=1)
        )

    def __call__(self, inputs: Inputs) -> Tensor:
        images: Tensor = self.network(inputs.latents)
        return images


def teacher() -> Generator:
    pair = registry.pairs.load("toy-edm").model_dump(mode="json")
    weights = str(find_weights("toy-edm-0"))
    made, _ = build_generator({"pair": pair, "arm": "heun-15", "weights": weights, "device": "cpu"})
    return made


@pytest.mark.parametrize(
    ("build", "task"), [(Convolutional, Digits()), (teacher, Toy())], ids=["convolution", "teacher"]
)
def test_images_do_not_depend_on_how_many_are_drawn(
    build: Callable[[], Generator], task: Task
) -> None:
    generator = build()
    all_of_them = sample(generator, inputs(task, 600))
    for n in (1, 7, 250, 251, 499):
        assert torch.equal(sample(generator, inputs(task, n)), all_of_them[:n]), n


def test_drawing_needs_no_gradients() -> None:
    assert not sample(Convolutional(), inputs(Digits(), 3)).requires_grad


# ---------------------------------------------------------------- bytes


def test_quantising_rounds_and_clips_as_numpy_does() -> None:
    values = torch.cat([torch.linspace(-0.5, 1.5, 20_001), torch.arange(256) / 255])
    expected = np.rint(np.clip(values.numpy(), 0, 1) * np.float32(255)).astype(np.uint8)
    assert quantise(values).dtype == torch.uint8
    assert np.array_equal(quantise(values).numpy(), expected)


def test_bytes_come_back_as_they_were() -> None:
    every = torch.arange(256, dtype=torch.uint8)
    task = Digits()
    assert torch.equal(task.finish(task.decode(task.encode(every))), every)


def test_points_of_the_plane_are_not_quantised() -> None:
    points = torch.randn(5, 2, 1, 1)
    assert torch.equal(Toy().finish(points), points)


# ---------------------------------------------------------------- trivial generators


@pytest.mark.parametrize("kind", [ClassMean, Noise, Real])
def test_trivial_generators_are_generators_without_a_network(
    kind: Callable[[Task], Generator],
) -> None:
    generator = kind(Digits())
    assert isinstance(generator, Generator)
    assert generator.nfe == 0
    images = sample(generator, inputs(Digits(), 5))
    assert images.shape == (5, 1, 8, 8)
    assert images.dtype == torch.float32


def test_the_class_mean_is_the_mean_of_the_class() -> None:
    task = Digits()
    split, asked = task.split("train"), inputs(task, 20)
    images = sample(ClassMean(task), asked)
    grey = split.images.numpy().astype(np.float64) / 255
    for image, label in zip(images.numpy(), asked.labels.tolist(), strict=True):
        mean = grey[split.labels.numpy() == label].mean(axis=0)
        np.testing.assert_allclose(image, mean, atol=1e-6)


def test_noise_has_the_mean_and_spread_of_the_data() -> None:
    task = Digits()
    images = sample(Noise(task), inputs(task, 1000)).double()
    grey = task.split("train").images.double() / 255
    assert float(images.mean()) == pytest.approx(float(grey.mean()), abs=0.01)
    assert float(images.std()) == pytest.approx(float(grey.std()), abs=0.01)


def test_real_images_are_those_of_the_training_split_with_their_labels() -> None:
    task = Digits()
    split, asked = task.split("train"), inputs(task, 1003)
    generator = Real(task)
    images = task.finish(sample(generator, asked))
    assert torch.equal(images[:1000], split.images)
    assert torch.equal(images[1000:], split.images[:3])
    assert torch.equal(generator.labels_of(asked)[:1000], split.labels)
