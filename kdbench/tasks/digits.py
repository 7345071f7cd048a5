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

PER_CLASS = {"train": 100, "held-out": 50}
"""Images of each class; what is left, 24 to 33 of a class and 297 in all, is for validation."""


class Digits(Task):
    """Make 8×8 digits of a given class."""

    name = "digits"
    kind = "class-conditional generation"
    shape = (1, 8, 8)
    classes = 10
    sigma_data = 0.75  # standard deviation of the training split in −1…1, measured: 0.753
    main = "kid-stratified@1"
    margin = 0.02
    n = 1000
    uses = (
        Use("kid-stratified@1", n=1000),
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
        Use("kid-worst-class@1", n=1000),
        Use("recall-retention@1", n=500, blocks=2),
        Use("coverage-retention@1", n=500, blocks=2),
        Use("kid-stratified-teacher@1", n=1000),
        Use("delta-fd@1", n=1000),
        Use("clusters-covered@1", n=500, blocks=2),
        Use("vendi-ratio@1", n=1000),
        Use("feature-distance-within-ratio@1", n=1000),
        Use("duplicates@1", n=500, blocks=2),
        Use("authenticity@1", n=1000),
        Use("nearest-ratio@1", n=1000),
        Use("copying-test@1", n=1000),
    )
    extractor = "digits-cnn@1"
    auxiliary = "digits-aux@1"

    def split(self, name: str) -> Split:
        """`train` (100 a class), `held-out` (50 a class) or `validation` (the other 297)."""
        return _splits()[name]


@cache
def _splits() -> dict[str, Split]:
    """Each class in the order of its images' SHA-256: no choice of ours decides who is where."""
    data = load_digits()
    grey = np.asarray(data.images, dtype=np.uint8)  # 0…16
    labels = np.asarray(data.target, dtype=np.int64)
    order = sorted(range(len(grey)), key=lambda i: hashlib.sha256(grey[i].tobytes()).digest())
    places: dict[str, list[int]] = {"train": [], "held-out": [], "validation": []}
    for label in range(Digits.classes):
        own, start = [i for i in order if labels[i] == label], 0
        for name, size in PER_CLASS.items():
            places[name] += own[start : start + size]
            start += size
        places["validation"] += own[start:]
    pixels = np.round(grey / 16 * 255).astype(np.uint8)
    splits = {}
    for name, chosen in places.items():
        kept = sorted(chosen, key=order.index)
        splits[name] = Split(
            torch.from_numpy(pixels[kept])[:, None], torch.from_numpy(labels[kept])
        )
    return splits
