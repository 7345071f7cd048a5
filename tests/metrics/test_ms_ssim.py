"""MS-SSIM against the authors' script, written out slowly, and against piq and torchmetrics."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from photographs import noisy_pairs
from scipy import ndimage, signal
from torch import Tensor

from kdbench.errors import NothingMeasured
from kdbench.metrics import ms_ssim as module
from kdbench.metrics import ssim as single_scale
from kdbench.metrics.ms_ssim import SMALLEST, WEIGHTS

ms_ssim: Any = module.ms_ssim
ssim: Any = single_scale.ssim
Plane = NDArray[np.float64]


def maps(x: Plane, y: Plane) -> tuple[Plane, Plane]:
    """ssim_index_new.m: the maps of similarity and of its last two factors."""
    bell = np.exp(-(np.arange(-5, 6) ** 2) / 4.5)
    window = np.outer(bell, bell) / np.outer(bell, bell).sum()

    def mean(z: Plane) -> Plane:
        return signal.convolve2d(z, window, mode="valid")

    mx, my = mean(x), mean(y)
    vx, vy, vxy = mean(x * x) - mx**2, mean(y * y) - my**2, mean(x * y) - mx * my
    structure = (2 * vxy + 7.65**2) / (vx + vy + 7.65**2)
    return (2 * mx * my + 2.55**2) / (mx**2 + my**2 + 2.55**2) * structure, structure


def authors(x: Plane, y: Plane) -> float:
    """msssim.m with method 'product'."""
    value = 1.0
    for level, weight in enumerate(WEIGHTS, 1):
        similarity, structure = maps(x, y)
        value *= (similarity if level == 5 else structure).mean() ** weight
        # imfilter with ones(2)/4, 'symmetric', 'same': each pixel with its right and lower ones
        x, y = (
            ndimage.correlate(z, np.ones((2, 2)) / 4, mode="reflect", origin=-1)[::2, ::2]
            for z in (x, y)
        )
    return float(value)


@pytest.mark.parametrize(("height", "width"), [(176, 192), (177, 193), (201, 231)])
def test_equals_the_authors_script(height: int, width: int) -> None:
    images, targets = (z[:, :, :height, :width] for z in noisy_pairs(240, 1, n=3))
    expected = [
        authors(i[0].double().numpy(), t[0].double().numpy())
        for i, t in zip(images, targets, strict=True)
    ]
    assert ms_ssim(images, targets).tolist() == pytest.approx(expected, abs=1e-10)


def test_channels_are_images_of_their_own() -> None:
    images, targets = noisy_pairs(176, 3, n=3)
    each = [ms_ssim(images[:, i : i + 1], targets[:, i : i + 1]) for i in range(3)]
    torch.testing.assert_close(ms_ssim(images, targets), torch.stack(each).mean(0))


def peers(images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """piq's and torchmetrics' values."""
    piq = pytest.importorskip("piq")
    functional = pytest.importorskip("torchmetrics.functional.image")
    pair = images.double(), targets.double()
    theirs = functional.multiscale_structural_similarity_index_measure
    return (
        piq.multi_scale_ssim(*pair, data_range=255, reduction="none"),
        torch.stack(
            [theirs(a[None], b[None], data_range=255.0) for a, b in zip(*pair, strict=True)]
        ),
    )


def test_piq_agrees_where_sides_are_multiples_of_16_and_torchmetrics_roughly() -> None:
    images, targets = noisy_pairs(192, 3)
    found, (piq, torchmetrics) = ms_ssim(images, targets), peers(images, targets)
    torch.testing.assert_close(found, piq.double(), rtol=0, atol=1e-6)
    assert 1e-5 < (found - torchmetrics).abs().max() < 3e-3


def test_peers_differ_on_odd_sides() -> None:
    images, targets = noisy_pairs(201, 1)
    found, (piq, torchmetrics) = ms_ssim(images, targets), peers(images, targets)
    assert 1e-4 < (found - piq).abs().max() < 1e-2
    assert 1e-4 < (found - torchmetrics).abs().max() < 1e-2


def test_ends_of_the_scale_and_negative_similarity() -> None:
    images, _ = noisy_pairs(176, 1, n=2)
    assert ms_ssim(images, images).tolist() == pytest.approx([1.0, 1.0])
    assert ms_ssim(images, 255 - images).tolist() == [0.0, 0.0]


def test_fine_noise_weighs_less_than_in_one_scale() -> None:
    images, targets = noisy_pairs(176, 1)
    assert (ms_ssim(images, targets) > ssim(images, targets)).all()


def test_small_images_are_refused_with_the_smallest_side() -> None:
    assert SMALLEST == 176
    with pytest.raises(NothingMeasured, match=r"176 x 176 pixels or more: these are 300 x 175"):
        ms_ssim(*(torch.zeros(1, 3, 300, 175, dtype=torch.uint8),) * 2)
