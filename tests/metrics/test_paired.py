"""PSNR and L1 against scikit-image and torchmetrics."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from photographs import noisy_pairs
from skimage import metrics

from kdbench.metrics import paired
from kdbench.metrics.base import ImageSet, Use
from kdbench.metrics.measure import measure
from kdbench.metrics.paired import PSNR_CAP_DB

psnr: Any = paired.psnr
l1: Any = paired.l1
skimage: Any = metrics


@pytest.mark.parametrize("size", [32, 200])
def test_psnr_equals_scikit_image_per_image(size: int) -> None:
    images, targets = noisy_pairs(size, 3)
    expected = [
        skimage.peak_signal_noise_ratio(t.numpy(), i.numpy(), data_range=255)
        for i, t in zip(images, targets, strict=True)
    ]
    assert psnr(images, targets).tolist() == pytest.approx(expected, abs=1e-9)


def test_psnr_is_torchmetrics_per_image_and_not_its_default() -> None:
    peer = pytest.importorskip("torchmetrics.functional.image").peak_signal_noise_ratio
    images, targets = noisy_pairs(32, 3)
    found = psnr(images, targets)
    pair = images.double(), targets.double()
    each = peer(*pair, data_range=255.0, reduction="none", dim=(1, 2, 3))
    torch.testing.assert_close(found, each, rtol=0, atol=1e-5)
    pooled = float(peer(*pair, data_range=255.0))
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


def test_l1_is_the_mean_absolute_difference_in_grey_levels() -> None:
    images, targets = noisy_pairs(32, 3)
    slow = [
        np.abs(i.numpy().astype(int) - t.numpy().astype(int)).mean()
        for i, t in zip(images, targets, strict=True)
    ]
    assert l1(images, targets).tolist() == pytest.approx(slow, rel=1e-12)
    black = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
    assert l1(black, black).tolist() == [0, 0]
    assert l1(black, black - 1).tolist() == [255, 255]
    assert l1(black - 1, black).tolist() == [255, 255]


def test_psnr_weighs_large_errors_more_than_l1_does() -> None:
    black = torch.zeros(2, 1, 8, 8, dtype=torch.uint8)
    images = black.clone()
    images[0] = 4
    images[1, :, 0, :4] = 64
    even, spot = l1(images, black).tolist()
    assert even == spot == 4
    assert psnr(images, black)[0] > psnr(images, black)[1] + 10


@pytest.mark.parametrize("metric", [psnr, l1])
def test_chunks_do_not_matter_and_nothing_is_changed(metric: Any) -> None:
    images, targets = noisy_pairs(64, 3, n=3)
    many, many_targets = images.repeat(20, 1, 1, 1), targets.repeat(20, 1, 1, 1)
    torch.testing.assert_close(metric(many, many_targets), metric(images, targets).repeat(20))
    floats = images.double(), targets.double()
    before = floats[0].clone(), floats[1].clone()
    torch.testing.assert_close(metric(*floats), metric(images, targets))
    assert floats[0].equal(before[0])
    assert floats[1].equal(before[1])


def test_measured_over_images() -> None:
    images, targets = noisy_pairs(32, 1, n=12)
    own, other = (ImageSet(x, torch.zeros(12, dtype=torch.int64)) for x in (images, targets))
    estimate = measure(paired.l1, use=Use("l1@1", n=12), generated=own, targets=other)
    values = l1(images, targets)
    assert estimate.value == pytest.approx(float(values.mean()))
    assert estimate.interval is not None
    assert estimate.interval.low < float(values.mean()) < estimate.interval.high
    assert estimate.details["median"] == pytest.approx(float(np.median(values.numpy())))
