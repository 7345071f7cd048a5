"""Protocols of restoration: luma against scikit-image and Pillow, and how far protocols differ."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from photographs import noisy_pairs, photograph
from PIL import Image
from skimage import color

from kdbench.errors import NothingMeasured
from kdbench.metrics import paired
from kdbench.metrics import ssim as similarity
from kdbench.metrics.luma import luma, studio_luma
from kdbench.metrics.restoration import MATLAB_Y, NTIRE, RESTORATION, RGB

psnr: Any = paired.psnr
ssim: Any = similarity.ssim
skimage: Any = color


def test_studio_luma_is_matlabs() -> None:
    image = photograph("astronaut")
    expected = skimage.rgb2ycbcr(image[0].permute(1, 2, 0).numpy())[..., 0]
    np.testing.assert_allclose(studio_luma(image)[0].numpy(), expected, rtol=0, atol=1e-9)
    primaries = (255 * torch.eye(3)).byte()[..., None, None]
    expected = [16 + 65.481, 16 + 128.553, 16 + 24.966]
    assert studio_luma(primaries).flatten().tolist() == pytest.approx(expected)


def test_full_luma_is_pillows_before_rounding() -> None:
    image = photograph("coffee")
    peer = np.asarray(Image.fromarray(image[0].permute(1, 2, 0).numpy()).convert("L"))
    assert np.abs(luma(image)[0].numpy() - peer).max() <= 0.51


def test_swings_differ_by_a_constant_of_psnr() -> None:
    """An error of 219/255 the size: 1.32 dB, in favour of the studio swing."""
    images, targets = noisy_pairs(64, 3)
    studio = psnr(*(studio_luma(z)[:, None] for z in (images, targets)))
    full = psnr(*(luma(z)[:, None] for z in (images, targets)))
    gain = 20 * math.log10(255 / 219)
    assert gain == pytest.approx(1.32, abs=0.005)
    assert (studio - full)[1:].tolist() == pytest.approx([gain] * 3, abs=1e-9)


def test_piqs_grey_is_the_full_swing() -> None:
    piq = pytest.importorskip("piq")
    images, targets = noisy_pairs(64, 3)
    pair = images.double() / 255, targets.double() / 255
    theirs = piq.psnr(*pair, data_range=1.0, reduction="none", convert_to_greyscale=True)
    ours = psnr(*(MATLAB_Y.planes(z) for z in (images, targets)))
    assert (ours - theirs)[1:].tolist() == pytest.approx([1.32] * 3, abs=0.02)


def test_matlab_rounds_luma_of_whole_numbers_and_it_costs_little() -> None:
    images, targets = noisy_pairs(64, 3)
    pair = [studio_luma(z)[:, None] for z in (images, targets)]
    exact, rounded = psnr(*pair), psnr(*(z.round() for z in pair))
    assert (exact - rounded)[2:].abs().max() < 0.05
    assert (exact - rounded)[2:].abs().max() > 1e-4


def test_planes_of_each_protocol() -> None:
    image = photograph("rocket")
    assert MATLAB_Y.planes(image, 4).shape == (1, 1, 419, 632)
    assert MATLAB_Y.planes(image, 4)[0, 0].equal(studio_luma(image)[0, 4:-4, 4:-4])
    for protocol in (RGB, NTIRE):
        assert protocol.planes(image, 10).equal(image[:, :, 10:-10, 10:-10])
        assert protocol.planes(image).equal(image)
    assert [RESTORATION[name].border(4) for name in ("matlab-y", "rgb", "ntire")] == [4, 4, 10]


def test_grey_images_are_compared_as_they_are() -> None:
    images, targets = noisy_pairs(32, 1)
    assert MATLAB_Y.planes(images).equal(images.double())
    assert psnr(MATLAB_Y.planes(images), MATLAB_Y.planes(targets)).equal(psnr(images, targets))


def test_rgb_has_one_error_over_all_channels_and_the_mean_similarity() -> None:
    images, targets = noisy_pairs(40, 3)
    pair = [RGB.planes(z, 4) for z in (images, targets)]
    error = (pair[0].double() - pair[1].double()).square().mean((1, 2, 3))
    torch.testing.assert_close(psnr(*pair), 10 * torch.log10(255**2 / error))
    each = [ssim(*(z[:, i : i + 1] for z in pair)) for i in range(3)]
    torch.testing.assert_close(ssim(*pair), torch.stack(each).mean(0))


def test_noise_in_every_channel_is_weaker_in_luma() -> None:
    images, targets = noisy_pairs(64, 3)
    y, rgb = (psnr(*(p.planes(z) for z in (images, targets))) for p in (MATLAB_Y, RGB))
    assert (y - rgb).min() > 3


def test_nothing_left_and_strange_channels_are_refused() -> None:
    with pytest.raises(NothingMeasured, match="nothing is left of 8x9"):
        RGB.planes(torch.zeros(1, 3, 8, 9, dtype=torch.uint8), 4)
    assert RGB.planes(torch.zeros(1, 3, 9, 9, dtype=torch.uint8), 4).shape == (1, 3, 1, 1)
    with pytest.raises(NothingMeasured, match="have 4"):
        MATLAB_Y.planes(torch.zeros(1, 4, 8, 9, dtype=torch.uint8))
