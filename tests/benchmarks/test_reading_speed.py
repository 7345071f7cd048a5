"""Reading folders of images, against what other evaluation packages read them with."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from kdbench.reading import read_images

N = 5_000
SIDE = 64
CORES = len(os.sched_getaffinity(0))


@pytest.fixture(scope="module", params=["png", "jpg"])
def folder(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images with the detail of photographs: noise whose amplitude falls with the frequency."""
    found: Path = tmp_path_factory.mktemp(request.param)
    draw = np.random.default_rng(0)
    frequency = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.fftfreq(SIDE)[None]) * SIDE
    for i in range(N):
        white = np.fft.fft2(draw.normal(size=(3, SIDE, SIDE)))
        grey_levels = 128 + 45 * np.fft.ifft2(white / np.maximum(frequency, 1)).real
        pixels = grey_levels.clip(0, 255).astype(np.uint8).transpose(1, 2, 0)
        Image.fromarray(pixels).save(found / f"{i}.{request.param}")
    return found


def test_reading_a_folder(folder: Path, race: Any) -> None:
    peer = pytest.importorskip("torch_fidelity.datasets")
    clean = pytest.importorskip("cleanfid.utils")
    io = pytest.importorskip("skimage.io")
    found = read_images(folder)
    paths = [str(folder / name) for name in found.names]

    def torch_fidelity(workers: int) -> torch.Tensor:
        loader = DataLoader(peer.ImagesPathDataset(paths), 64, num_workers=workers)
        return torch.cat(list(loader))

    def clean_fid() -> torch.Tensor:
        """Its data set as its features are computed from, without the resize to 299 × 299."""
        images = clean.ResizeDataset(paths, "clean")
        images.fn_resize = lambda image: image
        return torch.cat(list(DataLoader(images, 64, num_workers=CORES)))

    assert torch.equal(torch_fidelity(0), found.stacked())
    assert torch.equal(clean_fid().round().to(torch.uint8), found.stacked())
    race(
        lambda: read_images(folder),
        peers={
            f"torch-fidelity, {CORES} workers": lambda: torch_fidelity(CORES),
            "torch-fidelity, no workers": lambda: torch_fidelity(0),
            f"clean-fid without its resize, {CORES} workers": clean_fid,
            "scikit-image": lambda: np.stack([io.imread(path) for path in paths]),
        },
        what=f"reading {N:,} {paths[0][-3:].upper()} files of {SIDE} × {SIDE}, {CORES} cores",
        goal=1.5,
        note="all read with Pillow; ours compares the checksums of PNGs besides",
    )
