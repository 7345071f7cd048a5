"""A few pictures in the form in which ImageNet 64×64 is published."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from kdbench.tasks import imagenet64, imagenet64_files, imagenet64_unpacked

LABELS = (1, 2, 1000)
"""As published, from 1."""


def batch(seed: int, n: int, *, mean: bool = True) -> dict[str, np.ndarray]:
    """The arrays of one batch; training batches have the mean picture as well."""
    random = np.random.default_rng(seed)
    arrays = {
        "data": random.integers(256, size=(n, 12288)).astype(np.uint8),
        "labels": np.array([LABELS[i % len(LABELS)] for i in range(n)]),
    }
    return arrays | ({"mean": arrays["data"].mean(axis=0)} if mean else {})


def batches_of(n: int) -> dict[str, dict[str, np.ndarray]]:
    """All eleven batches, the training ones with `n` pictures each."""
    train = {f"train_data_batch_{i}": batch(i, n) for i in range(1, 11)}
    return train | {"val_data": batch(0, 6, mean=False)}


def npz(arrays: dict[str, np.ndarray]) -> bytes:
    """As NumPy compresses it."""
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)
    return out.getvalue()


def write_archives(folder: Path, batches: dict[str, dict[str, np.ndarray]]) -> dict[str, str]:
    """The three archives, with a folder within each, and their checksums."""
    sums = {}
    for part, names in imagenet64_files.PARTS.items():
        path = folder / f"{part}.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.mkdir(part)
            for name in names:
                archive.writestr(f"{part}/{name}.npz", npz(batches[name]))
        sums[part] = hashlib.sha256(path.read_bytes()).hexdigest()
    return sums


def write_folders(folder: Path, batches: dict[str, dict[str, np.ndarray]]) -> None:
    """What the archives unpack to."""
    for part, names in imagenet64_files.PARTS.items():
        (folder / part).mkdir(parents=True)
        for name in names:
            (folder / part / f"{name}.npz").write_bytes(npz(batches[name]))


def stand_in(monkeypatch: pytest.MonkeyPatch, cache: Path, *, n: int) -> None:
    """Let `batches_of(n)` stand for the published set, unpacked to `cache`."""
    monkeypatch.setattr(imagenet64_unpacked, "IMAGES", {"train": 10 * n, "val": 6})
    monkeypatch.setattr(imagenet64_unpacked, "VALIDATION_PER_CLASS", 1)
    monkeypatch.setenv("KDBENCH_CACHE", str(cache))
    imagenet64._splits.cache_clear()
