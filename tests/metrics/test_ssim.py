"""SSIM against scikit-image in both windows, and against the conventions that are other numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from photographs import noisy_pairs, photograph
from skimage import metrics
from torch import Tensor

from kdbench.errors import NothingMeasured
from kdbench.metrics import ssim as module

ssim: Any = module.ssim
ssim_uniform7: Any = module.ssim_uniform7
skimage: Any = metrics


def wang(target: Tensor, image: Tensor) -> float:
    """scikit-image in Wang's setting, on windows that lie inside the image."""
    _, full = skimage.structural_similarity(
        target.numpy(),
        image.numpy(),
        channel_axis=0,
        data_range=255,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )
    return float(full[:, 5:-5, 5:-5].mean())


@pytest.mark.parametrize(("size", "channels"), [(11, 1), (12, 3), (64, 3), (301, 1)])
def test_ssim_equals_scikit_image_in_wangs_setting(size: int, channels: int) -> None:
    images, targets = noisy_pairs(size, channels)
    expected = [wang(t, i) for i, t in zip(images, targets, strict=True)]
    assert ssim(images, targets).tolist() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("size", "channels"), [(8, 1), (7, 3), (32, 3), (33, 1), (200, 3)])
def test_ssim_uniform7_equals_scikit_image_by_default(size: int, channels: int) -> None:
    images, targets = noisy_pairs(size, channels)
    expected = [
        skimage.structural_similarity(t.numpy(), i.numpy(), channel_axis=0, data_range=255)
        for i, t in zip(images, targets, strict=True)
    ]
    assert ssim_uniform7(images, targets).tolist() == pytest.approx(expected, abs=1e-9)


def test_ssim_is_a_slow_sum_over_the_outer_product_of_the_window() -> None:
    (image, *_), (target, *_) = noisy_pairs(13, 1)
    x, y = image[0].double().numpy(), target[0].double().numpy()
    bell = np.exp(-(np.arange(-5, 6) ** 2) / 4.5)
    weights = np.outer(bell, bell) / np.outer(bell, bell).sum()
    found = []
    for r in range(3):
        for c in range(3):
            a, b = x[r : r + 11, c : c + 11], y[r : r + 11, c : c + 11]
            ma, mb = (weights * a).sum(), (weights * b).sum()
            va, vb = (weights * (a - ma) ** 2).sum(), (weights * (b - mb) ** 2).sum()
            vab = (weights * (a - ma) * (b - mb)).sum()
            top = (2 * ma * mb + 2.55**2) * (2 * vab + 7.65**2)
            found.append(top / (ma**2 + mb**2 + 2.55**2) / (va + vb + 7.65**2))
    assert float(ssim(image[None], target[None])) == pytest.approx(np.mean(found), abs=1e-12)


def noisy_astronaut(size: int) -> tuple[Tensor, Tensor]:
    target = photograph("astronaut")[:, :, :size, :size]
    noise = 12 * torch.randn(target.shape, generator=torch.Generator().manual_seed(0))
    return (target + noise).round().clamp(0, 255).byte(), target


def test_piq_agrees_unless_it_halves_the_image() -> None:
    piq = pytest.importorskip("piq")
    images, targets = noisy_astronaut(512)
    pair, found = (images.double(), targets.double()), float(ssim(images, targets))
    same = float(piq.ssim(*pair, data_range=255, downsample=False))
    assert found == pytest.approx(same, abs=1e-6)
    assert float(piq.ssim(*pair, data_range=255)) - found > 0.2


def test_torchmetrics_counts_the_border_and_scikit_images_default_is_another_window() -> None:
    functional = pytest.importorskip("torchmetrics.functional.image")
    images, targets = noisy_astronaut(64)
    pair, found = (images.double(), targets.double()), float(ssim(images, targets))
    peer = functional.structural_similarity_index_measure
    _, full = peer(*pair, data_range=255.0, return_full_image=True)
    assert found == pytest.approx(float(full[:, :, 5:-5, 5:-5].mean()), abs=1e-6)
    assert abs(float(peer(*pair, data_range=255.0)) - found) > 0.005
    assert abs(float(ssim_uniform7(images, targets)) - found) > 0.005


@pytest.mark.parametrize("metric", [ssim, ssim_uniform7])
def test_ends_of_the_scale(metric: Any) -> None:
    images, _ = noisy_pairs(16, 3)
    flat = torch.full_like(images, 7)
    assert metric(images, images).tolist() == pytest.approx([1.0] * 4)
    assert metric(flat, flat).tolist() == pytest.approx([1.0] * 4)
    assert (metric(images, flat) < 0.9).all()
    stripes = (torch.arange(16) % 2 * 255).byte().expand(1, 1, 16, 16)
    assert -1 <= float(metric(stripes, 255 - stripes)) < -0.95


@pytest.mark.parametrize("metric", [ssim, ssim_uniform7])
def test_chunks_do_not_matter_and_nothing_is_changed(metric: Any) -> None:
    images, targets = noisy_pairs(40, 3, n=3)
    many, many_targets = images.repeat(70, 1, 1, 1), targets.repeat(70, 1, 1, 1)
    torch.testing.assert_close(metric(many, many_targets), metric(images, targets).repeat(70))
    floats = images.double(), targets.double()
    before = floats[0].clone(), floats[1].clone()
    torch.testing.assert_close(metric(*floats), metric(images, targets))
    assert floats[0].equal(before[0])
    assert floats[1].equal(before[1])


def test_images_below_the_window_are_refused() -> None:
    for metric, height in ((ssim, 10), (ssim_uniform7, 6)):
        with pytest.raises(NothingMeasured, match=f"{height}x12"):
            metric(*(torch.zeros(1, 1, height, 12, dtype=torch.uint8),) * 2)
