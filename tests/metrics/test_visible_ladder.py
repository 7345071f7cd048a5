"""Photographs made worse in four steps: which metric of visible quality sees which damage."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from photographs import NAMES, photograph
from PIL import Image, ImageFilter
from torch import Tensor
from torchvision.transforms.v2.functional import gaussian_blur

from kdbench.metrics import visible_detail as detail
from kdbench.metrics import visible_light as light
from kdbench.metrics import visible_spectrum as spectrum
from kdbench.metrics import visible_texture as texture
from kdbench.metrics.base import ImageSet
from kdbench.metrics.luma import luma


def picture(image: Tensor) -> Image.Image:
    return Image.fromarray(image[0].permute(1, 2, 0).numpy())


def tensor(picture: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None]


def quantise(values: Tensor) -> Tensor:
    return values.round().clamp(0, 255).byte()


def blurred(image: Tensor, sigma: float) -> Tensor:
    return quantise(gaussian_blur(image.double(), [13, 13], [sigma, sigma]))


def noisy(image: Tensor, level: float) -> Tensor:
    """Grain: the same in all channels."""
    generator = torch.Generator().manual_seed(0)
    return quantise(image + level * torch.randn(image[:, :1].shape, generator=generator))


def compressed(image: Tensor, quality: float) -> Tensor:
    file = io.BytesIO()
    picture(image).save(file, "JPEG", quality=int(quality))
    return tensor(Image.open(file))


def desaturated(image: Tensor, share: float) -> Tensor:
    grey = luma(image)[:, None]
    return quantise(grey + (1 - share) * (image - grey))


def flattened(image: Tensor, share: float) -> Tensor:
    mean = image.double().mean()
    return quantise(mean + (1 - share) * (image - mean))


def smoothed(image: Tensor, share: float) -> Tensor:
    """Edges stay and texture goes: a share of the way to the median of 5 x 5 pixels."""
    median = tensor(picture(image).filter(ImageFilter.MedianFilter(5)))
    return quantise(image + share * (median.double() - image))


LADDERS: dict[str, tuple[Callable[[Tensor, float], Tensor], tuple[float, ...]]] = {
    "blur": (blurred, (0.5, 0.8, 1.2, 2.0)),
    "noise": (noisy, (2, 4, 8, 14)),
    "JPEG": (compressed, (60, 40, 25, 15)),
    "desaturation": (desaturated, (0.2, 0.4, 0.6, 0.8)),
    "contrast loss": (flattened, (0.15, 0.3, 0.45, 0.6)),
    "smoothing": (smoothed, (0.25, 0.5, 0.75, 1.0)),
}

STILL = 0.15
"""Share of its value that a metric may move by where it is said to stay; and its distribution must
not move by more than two draws of as many undamaged pieces are apart."""

# What each metric does on each ladder: rises (+), falls (-) or stays (0).
EXPECTED = """
                     blur  noise  JPEG  desaturation  contrast-loss  smoothing
sharpness            -     +      -     0             -              -
edge-energy          -     +      0     0             -              -
contrast             0     0      0     0             -              0
saturation           0     0      0     -             -              0
colourfulness        0     0      0     -             -              0
texture-entropy      -     +      -     0             -              -
texture-homogeneity  +     -      +     0             +              +
spectrum-slope       -     +      -     0             0              -
"""

METRICS: dict[str, tuple[Any, Any]] = {
    "sharpness": (detail.sharpness, detail.sharpness_distance),
    "edge-energy": (detail.edge_energy, detail.edge_energy_distance),
    "contrast": (light.contrast, light.contrast_distance),
    "saturation": (light.saturation, light.saturation_distance),
    "colourfulness": (light.colourfulness, light.colourfulness_distance),
    "texture-entropy": (texture.texture_entropy, texture.texture_entropy_distance),
    "texture-homogeneity": (texture.texture_homogeneity, texture.texture_homogeneity_distance),
    "spectrum-slope": (spectrum.spectrum_slope, spectrum.spectrum_slope_distance),
}


def cells() -> list[tuple[str, str, str]]:
    """(metric, ladder, expectation)."""
    _, *rows = (line.split() for line in EXPECTED.strip().splitlines())
    return [
        (row[0], ladder, sign)
        for row in rows
        for ladder, sign in zip(LADDERS, row[1:], strict=True)
    ]


@cache
def rungs(ladder: str) -> tuple[ImageSet, ...]:
    """The undamaged images and four steps: 64 pieces of four photographs, 64 x 64 pixels."""
    damage, steps = LADDERS[ladder]
    whole = [photograph(name)[:, :, 20:276, 120:376].contiguous() for name in NAMES]
    found = [whole, *([damage(image, step) for image in whole] for step in steps)]
    pieces = [torch.cat([in_pieces(image) for image in images]) for images in found]
    return tuple(ImageSet(part, torch.zeros(len(part), dtype=torch.int64)) for part in pieces)


def in_pieces(image: Tensor) -> Tensor:
    return image.unfold(2, 64, 64).unfold(3, 64, 64).permute(0, 2, 3, 1, 4, 5).flatten(0, 2)


@pytest.mark.parametrize(("metric", "ladder", "sign"), cells())
def test_moves_with_what_it_sees_and_with_nothing_else(metric: str, ladder: str, sign: str) -> None:
    value, distance = METRICS[metric]
    clean, *worse = rungs(ladder)
    means = torch.stack([value(images.images).mean() for images in (clean, *worse)])
    apart = [distance(images, clean) for images in worse]
    distances = torch.tensor([estimate.value for estimate in apart])
    floor = apart[0].details["floor"]
    if sign == "0":
        assert (distances < floor).all()
        assert ((means[1:] / means[0] - 1).abs() < STILL).all()
    else:
        assert ((means.diff() > 0) == (sign == "+")).all()
        assert (distances.diff() > 0).all()
        assert distances[-1] > 1.5 * floor


def test_every_metric_sees_something_and_every_damage_is_seen() -> None:
    for metric, (value, distance) in METRICS.items():
        assert value.name == metric
        assert distance.name == f"{metric}-distance"
        assert any(sign != "0" for name, _, sign in cells() if name == metric)
    for ladder in LADDERS:
        assert any(sign != "0" for _, name, sign in cells() if name == ladder)
