"""Resizes against the libraries whose protocols they are, and against their formulas."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from kdbench.errors import BadSpec, NothingMeasured
from kdbench.metrics.features.resize import (
    IMAGENET_DEVIATION,
    IMAGENET_MEAN,
    Preparation,
    Resize,
    as_rgb,
    pil_bicubic_float,
    pil_bicubic_uint8,
    tf1_bilinear,
    torch_bicubic_antialias,
    torch_bilinear_antialias,
)

ALL = [
    tf1_bilinear,
    torch_bilinear_antialias,
    torch_bicubic_antialias,
    pil_bicubic_float,
    pil_bicubic_uint8,
]


def noise(n: int, side: int) -> Tensor:
    torch.manual_seed(0)
    return torch.randint(256, (n, 3, side, side), dtype=torch.uint8)


def keys_weights(inside: int, outside: int) -> Tensor:
    """(outside, inside) weights of the cubic kernel with a = -0.5, widened where it shrinks.

    The definition of `jax.image.resize(method="bicubic", antialias=True)`, in float64.
    """
    ratio = inside / outside
    centre = (torch.arange(outside, dtype=torch.float64) + 0.5) * ratio - 0.5
    t = (centre[:, None] - torch.arange(inside)[None]).abs() / max(ratio, 1.0)
    near = (1.5 * t - 2.5) * t * t + 1
    far = ((-0.5 * t + 2.5) * t - 4) * t + 2
    weights = torch.where(t <= 1, near, torch.where(t < 2, far, 0.0))
    return weights / weights.sum(1, keepdim=True)


@pytest.mark.parametrize(("inside", "outside"), [(8, 21), (40, 14), (14, 14)])
def test_bicubic_with_antialias_is_the_one_of_jax(inside: int, outside: int) -> None:
    images = noise(2, inside)
    weights = keys_weights(inside, outside)
    expected = weights @ images.double() @ weights.T
    found = torch_bicubic_antialias(images, outside)
    # Indices at the kernel's rim may fall on either side; there its weight is 0.
    assert torch.allclose(found.double(), expected, atol=2e-3)
    assert inside >= outside or found.max() > 255  # not clipped


@pytest.mark.parametrize(("inside", "outside"), [(8, 20), (40, 16)])
def test_tf1_bilinear_reads_at_whole_multiples(inside: int, outside: int) -> None:
    images = noise(1, inside)
    place = torch.arange(outside, dtype=torch.float64) * (inside / outside)
    low = place.long()
    high, part = (low + 1).clamp(max=inside - 1), place - low
    rows = torch.lerp(images.double()[:, :, low], images.double()[:, :, high], part[:, None])
    expected = torch.lerp(rows[..., low], rows[..., high], part)
    assert torch.allclose(tf1_bilinear(images, outside).double(), expected, atol=1e-3)


@pytest.mark.parametrize("side", [20, 60])
def test_pil_bicubic_float_is_clean_fids(side: int) -> None:
    resizer = pytest.importorskip("cleanfid.resize").make_resizer("PIL", False, "bicubic", (33, 33))
    images = noise(3, side)
    expected = np.stack([resizer(image) for image in images.permute(0, 2, 3, 1).numpy()])
    assert torch.equal(
        pil_bicubic_float(images, 33), torch.from_numpy(expected).permute(0, 3, 1, 2)
    )


@pytest.mark.parametrize("side", [20, 60])
def test_pil_bicubic_uint8_is_the_resize_of_torchvision_on_pictures(side: int) -> None:
    transforms = pytest.importorskip("torchvision.transforms")
    resize = transforms.Resize((33, 33), transforms.InterpolationMode.BICUBIC)
    images = noise(3, side)
    for image, found in zip(images, pil_bicubic_uint8(images, 33), strict=True):
        picture = resize(Image.fromarray(image.permute(1, 2, 0).numpy()))
        assert np.array_equal(np.asarray(picture), found.permute(1, 2, 0).numpy())


def test_torch_bilinear_antialias_is_the_one_of_pil() -> None:
    """Two libraries, one rule: the triangle is as wide as the pixels are that it gathers."""
    image = noise(1, 40)
    channel = Image.fromarray(image[0, 0].numpy().astype(np.float32))
    expected = np.asarray(channel.resize((16, 16), Image.Resampling.BILINEAR))
    assert np.allclose(torch_bilinear_antialias(image, 16)[0, 0].numpy(), expected, atol=1e-3)


@pytest.mark.parametrize("resize", ALL)
def test_a_resize_leaves_its_own_size_alone(resize: Resize) -> None:
    images = noise(2, 16)
    assert torch.equal(resize(images, 16), images.float())


@pytest.mark.parametrize("resize", ALL)
def test_images_are_resized_each_alone(resize: Resize) -> None:
    images = noise(3, 20)
    alone = torch.cat([resize(image[None], 31) for image in images])
    assert torch.equal(resize(images, 31), alone)
    assert alone.shape == (3, 3, 31, 31)
    assert alone.dtype == torch.float32


def test_the_rules_differ() -> None:
    images = noise(1, 8)
    resized = [resize(images, 21) for resize in ALL]
    for i, one in enumerate(resized):
        assert all((one - other).abs().mean() > 0.05 for other in resized[i + 1 :])


def test_grey_images_are_their_three_equal_channels() -> None:
    grey = noise(2, 8)[:, :1]
    assert torch.equal(as_rgb(grey), grey.repeat(1, 3, 1, 1))


@pytest.mark.parametrize(
    "images",
    [
        torch.zeros(2, 3, 8, 8),
        torch.zeros(2, 4, 8, 8, dtype=torch.uint8),
        torch.zeros(3, 8, 8, dtype=torch.uint8),
    ],
)
def test_other_images_are_refused(images: Tensor) -> None:
    with pytest.raises(NothingMeasured, match="grey or RGB images, uint8"):
        as_rgb(images)


def test_preparation_normalises_as_torchvision_does() -> None:
    normalise = pytest.importorskip("torchvision.transforms.functional").normalize
    images = noise(2, 12)
    prepare = Preparation(torch_bilinear_antialias, 9, IMAGENET_MEAN, IMAGENET_DEVIATION)
    pixels = F.interpolate(images.float(), (9, 9), mode="bilinear", antialias=True) / 255
    expected = normalise(pixels, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    assert torch.allclose(prepare(images), expected, atol=1e-5)


def test_tf1_needs_torch_fidelity_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        __import__("sys").modules, "torch_fidelity.interpolate_compat_tensorflow", None
    )
    with pytest.raises(BadSpec, match="torch-fidelity"):
        tf1_bilinear(noise(1, 8), 9)
