"""The task `digits@1`: scikit-learn's 1,797 real handwritten digits, 8×8, class-conditional.

Data: Alpaydin and Kaynak 1998, Optical Recognition of Handwritten Digits (UCI; CC BY 4.0), as
bundled with scikit-learn. Writers are not told apart there, so a writer can be in two splits.
"""

from __future__ import annotations

import hashlib
from functools import cache

import numpy as np
import torch
from sklearn.datasets import load_digits

from kdbench.metrics.base import Use
from kdbench.tasks.base import Split, Task

SIZES = {"train": 1000, "held-out": 500, "validation": 297}


class Digits(Task):
    """Make 8×8 digits of a given class."""

    name = "digits"
    kind = "class-conditional generation"
    shape = (1, 8, 8)
    classes = 10
    sigma_data = 0.75  # standard deviation of the training split in −1…1, measured: 0.753
    main = "kid@1"
    margin = 0.05
    n = 1000
    uses = (
        Use("kid@1", n=1000),
        Use("fd@1", n=1000),
        Use("precision@1", n=500, blocks=2),
        Use("recall@1", n=500, blocks=2),
        Use("density@1", n=500, blocks=2),
        Use("coverage@1", n=500, blocks=2),
        Use("class-accuracy@1", n=1000),
        Use("class-divergence@1", n=1000),
        Use("psnr@1", n=1000),
        Use("ssim-uniform7@1", n=1000),
    )
    extractor = "digits-cnn@1"
    auxiliary = "digits-aux@1"

    def split(self, name: str) -> Split:
        """`train` (1,000), `held-out` (500) or `validation` (297), in the order of their hashes."""
        return _splits()[name]


@cache
def _splits() -> dict[str, Split]:
    """Images ordered by SHA-256 of their bytes, so that no choice of ours decides who is where."""
    data = load_digits()
    grey = np.asarray(data.images, dtype=np.uint8)  # 0…16
    order = sorted(range(len(grey)), key=lambda i: hashlib.sha256(grey[i].tobytes()).digest())
    images = torch.from_numpy(np.round(grey[order] / 16 * 255).astype(np.uint8))[:, None]
    labels = torch.from_numpy(np.asarray(data.target)[order].astype(np.int64))
    splits, start = {}, 0
    for name, size in SIZES.items():
        splits[name] = Split(images[start : start + size], labels[start : start + size])
        start += size
    return splits
