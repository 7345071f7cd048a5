"""Bicubic resizing: its weights written out slowly, its peers, and the literature's figures."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data
from torch import Tensor
from torch.nn.functional import interpolate

from kdbench.errors import NothingMeasured
from kdbench.metrics import paired
from kdbench.metrics import ssim as similarity
from kdbench.metrics.luma import studio_luma
from kdbench.metrics.restoration import MATLAB_Y
from kdbench.tasks.bicubic import enlarge, mod_crop, resize, shrink, weights

psnr: Any = paired.psnr
ssim: Any = similarity.ssim
chelsea: Any = data.chelsea

SCALES = (2, 3, 4)
SET5_DB = {2: 33.66, 3: 30.39, 4: 28.42}
SET5_SSIM = {2: 0.9299, 3: 0.8682, 4: 0.8104}
B100_DB = {2: 29.56, 4: 25.96}
B100_SSIM = {2: 0.8431, 4: 0.6675}
"""What papers print of bicubic enlargement, e.g. Kim et al. 2016, arXiv:1511.04587, table 3."""

FOLDER = os.environ.get("KDBENCH_DATA")


def photograph() -> Tensor:
    """(1, 3, 300, 451), uint8."""
    return torch.from_numpy(np.array(chelsea())).permute(2, 0, 1)[None].contiguous()


def keys(x: float) -> float:
    x = abs(x)
    if x <= 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0


def slow_weights(length: int, scale: Fraction) -> list[list[float]]:
    """imresize's contributions, pixel by pixel, with places counted from 1 as MATLAB does."""
    squeeze = min(1.0, float(scale))
    rows = []
    for new in range(1, math.ceil(scale * length) + 1):
        centre = new / float(scale) + 0.5 * (1 - 1 / float(scale))
        row = [0.0] * length
        for place in range(-5 * length, 6 * length):
            mirrored = (place - 1) % (2 * length)
            row[min(mirrored, 2 * length - 1 - mirrored)] += keys(squeeze * (centre - place))
        rows.append([value / sum(row) for value in row])
    return rows


@pytest.mark.parametrize("scale", [*map(Fraction, SCALES), Fraction(1, 2), Fraction(1, 3)])
@pytest.mark.parametrize("length", [3, 8, 12, 13])
def test_weights_are_imresizes(length: int, scale: Fraction) -> None:
    expected = torch.tensor(slow_weights(length, scale), dtype=torch.float64)
    torch.testing.assert_close(weights(length, scale), expected, rtol=0, atol=1e-12)


def test_known_weights() -> None:
    """Published vectors of Keys' kernel: halfway between pixels (-1, 9, 9, -1)/16 and its like."""
    middle = weights(16, Fraction(1, 2))[4] * 1024
    assert middle[5:13].tolist() == [-12, -36, 116, 444, 444, 116, -36, -12]
    assert (weights(16, Fraction(2))[8] * 128)[2:6].tolist() == [-3, 29, 111, -9]


@pytest.mark.parametrize("scale", SCALES)
def test_flat_images_stay_flat_and_scales_undo_each_other(scale: int) -> None:
    flat = torch.full((2, 3, 24, 36), 200, dtype=torch.uint8)
    small = shrink(flat, scale)
    assert small.shape == (2, 3, 24 // scale, 36 // scale)
    assert enlarge(small, scale).equal(flat)


@pytest.mark.parametrize("scale", SCALES)
def test_torch_with_antialiasing_has_the_same_kernel_inside(scale: int) -> None:
    images = mod_crop(photograph(), scale).double()
    small = shrink(images, scale)
    peer = interpolate(images, scale_factor=1 / scale, mode="bicubic", antialias=True)
    inside = (..., slice(3, -3), slice(3, -3))
    torch.testing.assert_close(small[inside], peer[inside], rtol=0, atol=1e-6)
    assert (small - peer).abs().max() > 0.01  # mirrored here, cut off there
    plain = interpolate(images, scale_factor=1 / scale, mode="bicubic")
    assert (small - plain).abs()[inside].mean() > 1


@pytest.mark.parametrize("scale", SCALES)
def test_pillow_has_the_same_kernel_inside(scale: int) -> None:
    images = mod_crop(photograph(), scale)
    picture = Image.fromarray(images[0].permute(1, 2, 0).numpy())
    size = (picture.width // scale, picture.height // scale)
    peer = torch.from_numpy(np.array(picture.resize(size, Image.Resampling.BICUBIC)))
    difference = (shrink(images, scale)[0].permute(1, 2, 0).int() - peer.int()).abs()
    assert difference[3:-3, 3:-3].max() <= 1
    assert difference[3:-3, 3:-3].double().mean() < 0.25


def test_whole_numbers_are_rounded_after_each_direction() -> None:
    images = mod_crop(photograph(), 3)
    rows = weights(300, Fraction(1, 3)) @ images.double()
    halfway = rows.clamp(0, 255).add(0.5).floor()
    columns = halfway @ weights(450, Fraction(1, 3)).T
    assert shrink(images, 3).equal(columns.clamp(0, 255).add(0.5).floor().byte())
    once = shrink(images.double(), 3).clamp(0, 255).add(0.5).floor().byte()
    share = (once != shrink(images, 3)).double().mean()
    assert 0.05 < share < 0.3
    assert (once.int() - shrink(images, 3).int()).abs().max() == 1


def test_sides_are_rounded_up_or_refused() -> None:
    images = torch.zeros(1, 1, 7, 9, dtype=torch.uint8)
    assert resize(images, Fraction(1, 4)).shape == (1, 1, 2, 3)
    with pytest.raises(NothingMeasured, match="7x9 pixels cannot be divided by 4"):
        shrink(images, 4)
    assert shrink(mod_crop(images, 4), 4).shape == (1, 1, 1, 2)


def read(folder: str, pattern: str) -> Iterator[Tensor]:
    """The pictures of a folder, (1, 3, H, W), uint8; the test is skipped where there are none."""
    if FOLDER is None:
        pytest.skip("KDBENCH_DATA names no folder of data sets")
    paths = sorted((Path(FOLDER) / folder).glob(pattern))
    if not paths:
        pytest.skip(f"there is no {folder}/{pattern} in the folder that KDBENCH_DATA names")
    for path in paths:
        picture = np.array(Image.open(path).convert("RGB"))
        yield torch.from_numpy(picture).permute(2, 0, 1)[None]


def quality(pictures: Iterator[Tensor], scale: int) -> tuple[float, float]:
    """Mean PSNR and SSIM of colour images that were shrunk and enlarged, all in uint8."""
    found = []
    for picture in pictures:
        target = mod_crop(picture, scale)
        image = enlarge(shrink(target, scale), scale)
        pair = [MATLAB_Y.planes(both, MATLAB_Y.border(scale)) for both in (image, target)]
        found.append((float(psnr(*pair)), float(ssim(*pair))))
    decibels, similarities = np.mean(found, axis=0)
    return float(decibels), float(similarities)


def quality_of_luma(pictures: Iterator[Tensor], scale: int) -> tuple[float, float]:
    """The same as the papers did it: of rounded luma, and rounded again only when enlarged."""
    found = []
    for picture in pictures:
        target = studio_luma(mod_crop(picture, scale)).round()[:, None]
        image = enlarge(shrink(target, scale), scale).round().clamp(0, 255)
        pair = [z[..., scale:-scale, scale:-scale] for z in (image, target)]
        found.append((float(psnr(*pair)), float(ssim(*pair))))
    decibels, similarities = np.mean(found, axis=0)
    return float(decibels), float(similarities)


@pytest.mark.parametrize("scale", SCALES)
def test_set5(scale: int) -> None:
    decibels, similarity = quality(read("set5", "*.png"), scale)
    assert decibels == pytest.approx(SET5_DB[scale], abs=0.03)
    assert similarity == pytest.approx(SET5_SSIM[scale], abs=0.002)


@pytest.mark.parametrize("scale", SCALES)
def test_set5_as_the_papers_did_it_agrees_to_the_last_digit(scale: int) -> None:
    decibels, similarity = quality_of_luma(read("set5", "*.png"), scale)
    assert decibels == pytest.approx(SET5_DB[scale], abs=0.006)
    assert similarity == pytest.approx(SET5_SSIM[scale], abs=0.0001)


@pytest.mark.parametrize("scale", [2, 4])
def test_b100(scale: int) -> None:
    decibels, similarity = quality(read("bsds500/val", "*.jpg"), scale)
    assert decibels == pytest.approx(B100_DB[scale], abs=0.03)
    assert similarity == pytest.approx(B100_SSIM[scale], abs=0.002)
