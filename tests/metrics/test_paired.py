"""PSNR and SSIM against scikit-image."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from skimage import data, metrics
from torch import Tensor

from kdbench.errors import NothingMeasured
from kdbench.metrics import paired
from kdbench.metrics.paired import PSNR_CAP_DB

psnr: Any = paired.psnr
ssim_uniform7: Any = paired.ssim_uniform7
astronaut: Any = data.astronaut
skimage: Any = metrics


def noisy_pairs(size: int, channels: int, n: int = 4) -> tuple[Tensor, Tensor]:
    """Crops of a photograph and the same with noise of 1 to 40 levels, uint8 (N, C, H, W)."""
    photo = np.transpose(astronaut(), (2, 0, 1))[:channels]
    crops = np.stack([photo[:, 60 + 9 * i :, 150 + 5 * i :][:, :size, :size] for i in range(n)])
    level = np.geomspace(1, 40, n)[:, None, None, None]
    noise = np.random.default_rng(0).normal(size=crops.shape) * level
    noisy = np.clip(np.round(crops + noise), 0, 255).astype(np.uint8)
    return torch.from_numpy(noisy), torch.from_numpy(crops)


@pytest.mark.parametrize(("size", "channels"), [(8, 1), (7, 3), (32, 3), (33, 1)])
def test_ssim_equals_scikit_image(size: int, channels: int) -> None:
    images, targets = noisy_pairs(size, channels)
    expected = [
        skimage.structural_similarity(t.numpy(), i.numpy(), channel_axis=0, data_range=255)
        for i, t in zip(images, targets, strict=True)
    ]
    assert ssim_uniform7(images, targets).tolist() == pytest.approx(expected, abs=1e-6)


def test_psnr_equals_scikit_image_per_image() -> None:
    images, targets = noisy_pairs(32, 3)
    expected = [
        skimage.peak_signal_noise_ratio(t.numpy(), i.numpy(), data_range=255)
        for i, t in zip(images, targets, strict=True)
    ]
    found = psnr(images, targets)
    assert found.tolist() == pytest.approx(expected, abs=1e-6)
    pooled = 10 * np.log10(255**2 / float((images.double() - targets.double()).square().mean()))
    assert float(found.mean()) - pooled > 3


def test_identical_images_are_capped_at_the_noise_of_rounding() -> None:
    images, targets = noisy_pairs(16, 1, n=2)
    images[0] = targets[0]
    values = psnr(images, targets)
    assert values[0] == pytest.approx(10 * np.log10(12 * 255**2))
    assert values[0] == pytest.approx(PSNR_CAP_DB)
    assert values.isfinite().all()
    nearly = targets.clone()
    nearly[0, 0, 0, 0] ^= 1
    assert psnr(nearly, targets)[0] == pytest.approx(PSNR_CAP_DB)


def test_identical_images_have_ssim_one_and_flat_ones_do_not_fail() -> None:
    images, _ = noisy_pairs(16, 3)
    flat = torch.full_like(images, 7)
    assert ssim_uniform7(images, images).tolist() == pytest.approx([1.0] * 4)
    assert ssim_uniform7(flat, flat).tolist() == pytest.approx([1.0] * 4)
    assert (ssim_uniform7(images, flat) < 0.9).all()


def test_chunks_do_not_matter() -> None:
    images, targets = noisy_pairs(8, 1, n=3)
    many, many_targets = images.repeat(100, 1, 1, 1), targets.repeat(100, 1, 1, 1)
    for metric in (psnr, ssim_uniform7):
        torch.testing.assert_close(metric(many, many_targets), metric(images, targets).repeat(100))


def test_images_below_the_window_are_refused() -> None:
    with pytest.raises(NothingMeasured, match="6x8"):
        ssim_uniform7(*(torch.zeros(1, 1, 6, 8, dtype=torch.uint8),) * 2)
