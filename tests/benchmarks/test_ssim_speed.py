"""SSIM in Wang's setting, against scikit-image, torchmetrics and piq."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from skimage import metrics

from kdbench.metrics import ssim as module

ssim: Any = module.ssim
skimage: Any = metrics


@pytest.mark.parametrize(("n", "size"), [(1_000, 64), (100, 256)])
def test_ssim(race: Any, n: int, size: int) -> None:
    functional = pytest.importorskip("torchmetrics.functional.image")
    piq = pytest.importorskip("piq")
    targets = torch.randint(256, (n, 3, size, size), generator=torch.Generator().manual_seed(0))
    targets = torch.nn.functional.avg_pool2d(targets.float(), 5, 1, 2).byte()
    images = (targets + 12 * torch.randn(targets.shape)).clamp(0, 255).byte()
    pairs = [(a.numpy(), b.numpy()) for a, b in zip(targets, images, strict=True)]
    wang = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}

    def peer(target: Any, image: Any) -> float:
        kept: dict[str, Any] = {"channel_axis": 0, "data_range": 255}
        return float(skimage.structural_similarity(target, image, **kept, **wang))

    def in_parts(function: Any, **options: Any) -> None:
        for a, b in zip(images.split(50), targets.split(50), strict=True):
            function(a.float(), b.float(), data_range=255, **options)

    race(
        lambda: ssim(images, targets),
        peers={
            "scikit-image, float64": lambda: [peer(*pair) for pair in pairs],
            "torchmetrics, float32": lambda: in_parts(
                functional.structural_similarity_index_measure, reduction="none"
            ),
            "piq, float32": lambda: in_parts(piq.ssim, reduction="none", downsample=False),
        },
        what=f"SSIM, {n:,} pairs of 3 × {size} × {size}",
        goal=3.0,
        against="scikit-image, float64",
        note="ours is in float64 and equals scikit-image's on windows inside the image to 1e-9; "
        "torchmetrics keeps the border",
    )
