"""Visible quality against scikit-image where it has the value, and against slow definitions."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from photographs import NAMES, photograph
from scipy import stats
from skimage import color, feature, filters
from skimage.filters import rank
from torch import Tensor

from kdbench.errors import NothingMeasured
from kdbench.metrics import visible_detail as detail
from kdbench.metrics import visible_light as light
from kdbench.metrics import visible_spectrum as spectrum
from kdbench.metrics import visible_texture as texture
from kdbench.metrics.base import ImageSet, Use
from kdbench.metrics.luma import luma
from kdbench.metrics.measure import measure

to: Any = color
edges: Any = filters
entropy: Any = rank.entropy
co_occurrence: Any = feature
sharpness: Any = detail.sharpness
edge_energy: Any = detail.edge_energy
contrast: Any = light.contrast
saturation: Any = light.saturation
colourfulness: Any = light.colourfulness
texture_entropy: Any = texture.texture_entropy
texture_homogeneity: Any = texture.texture_homogeneity
spectrum_slope: Any = spectrum.spectrum_slope
ALL = (
    sharpness,
    edge_energy,
    contrast,
    saturation,
    colourfulness,
    texture_entropy,
    texture_homogeneity,
    spectrum_slope,
)
IDS = [metric.name for metric in ALL]
photographs = pytest.mark.parametrize("name", NAMES)


def pixels(name: str) -> NDArray[np.uint8]:
    """(H, W, 3)."""
    found: NDArray[np.uint8] = photograph(name)[0].permute(1, 2, 0).numpy()
    return found


def grey(name: str) -> NDArray[np.float64]:
    """(H, W)."""
    found: NDArray[np.float64] = luma(photograph(name))[0].numpy()
    return found


@photographs
def test_sharpness_is_the_variance_of_scikit_images_laplacian(name: str) -> None:
    expected = edges.laplace(grey(name), ksize=3)[1:-1, 1:-1].var()
    assert float(sharpness(photograph(name))) == pytest.approx(expected, rel=1e-9)


@photographs
def test_edge_energy_is_of_scikit_images_sobel_filters(name: str) -> None:
    # scikit-image's differences are over two pixels.
    squares = edges.sobel_h(grey(name)) ** 2 + edges.sobel_v(grey(name)) ** 2
    expected = squares[1:-1, 1:-1].mean() / 4
    assert float(edge_energy(photograph(name))) == pytest.approx(expected, rel=1e-9)
    assert "sum 1/2 a side" in edge_energy.protocol
    assert "a quarter of scikit-image's sobel_h² + sobel_v²" in edge_energy.source


@photographs
def test_saturation_is_scikit_images(name: str) -> None:
    expected = to.rgb2hsv(pixels(name))[..., 1].mean()
    assert float(saturation(photograph(name))) == pytest.approx(expected, abs=1e-12)


@photographs
def test_contrast_is_the_standard_deviation_of_grey_levels(name: str) -> None:
    assert float(contrast(photograph(name))) == pytest.approx(grey(name).std(), rel=1e-12)


@photographs
def test_colourfulness_is_the_authors_formula(name: str) -> None:
    red, green, blue = pixels(name).astype(float).transpose(2, 0, 1)
    a, b = red - green, 0.5 * (red + green) - blue
    spread, mean = np.hypot(a.std(), b.std()), np.hypot(a.mean(), b.mean())
    found = float(colourfulness(photograph(name)))
    assert found == pytest.approx(spread + 0.3 * mean, rel=1e-12)


@photographs
def test_texture_entropy_is_scikit_images_at_every_ninth_pixel(name: str) -> None:
    levels = grey(name).round().astype(np.uint8)
    whole = entropy(levels, np.ones((9, 9), np.uint8))
    rows, columns = (side // 9 * 9 for side in levels.shape)
    expected = whole[4:rows:9, 4:columns:9].mean()
    assert float(texture_entropy(photograph(name))) == pytest.approx(expected, abs=1e-6)


@photographs
def test_texture_homogeneity_is_scikit_images(name: str) -> None:
    levels = grey(name).round().astype(np.uint8)
    angles = [0, np.pi / 4, np.pi / 2, 3 * np.pi / 4]
    matrix = co_occurrence.graycomatrix(levels, [1], angles, symmetric=True, normed=True)
    expected = co_occurrence.graycoprops(matrix, "homogeneity").mean()
    assert float(texture_homogeneity(photograph(name))) == pytest.approx(expected, abs=1e-9)


def test_the_matrixs_contrast_orders_images_as_edge_energy_does() -> None:
    """Why there is no metric of that name."""
    pieces = torch.cat([tiles(photograph(name)) for name in NAMES])
    levels = luma(pieces).round().byte().numpy()
    angles = [0, np.pi / 4, np.pi / 2, 3 * np.pi / 4]
    theirs = [
        co_occurrence.graycoprops(co_occurrence.graycomatrix(one, [1], angles, normed=True)).mean()
        for one in levels
    ]
    assert stats.spearmanr(theirs, edge_energy(pieces)).statistic > 0.95


@photographs
def test_spectrum_slope_is_a_fit_to_rings_of_the_whole_spectrum(name: str) -> None:
    a = grey(name)
    window = np.outer(*(np.hanning(side) for side in a.shape))
    a = (a - (a * window).sum() / window.sum()) * window
    power = np.abs(np.fft.fft2(a)) ** 2 / (window**2).sum()
    frequency = np.hypot(*np.meshgrid(*(np.fft.fftfreq(side) for side in a.shape), indexing="ij"))
    ends = 0.5 * 2.0 ** (-np.arange(30) / 2)
    ends = ends[ends >= 3 / min(a.shape)] * (1 + 1e-9)  # a frequency on the end is below it
    rings = [(frequency <= high) & (frequency > low) for high, low in pairwise(ends)]
    x = [np.log(frequency[ring].mean()) for ring in rings]
    y = [np.log(power[ring].mean() + 1 / 12) for ring in rings]
    assert len(x) >= 11
    expected = np.polyfit(x, y, 1)[0]
    assert float(spectrum_slope(photograph(name))) == pytest.approx(expected, abs=1e-9)
    assert -3.2 < expected < -2


@pytest.mark.parametrize("exponent", [0.0, -1.0, -2.0, -3.0])
@pytest.mark.parametrize("size", [32, 96])
def test_spectrum_slope_finds_the_exponent_of_made_noise(exponent: float, size: int) -> None:
    rows, columns = torch.fft.fftfreq(4 * size)[:, None], torch.fft.rfftfreq(4 * size)
    frequency = (rows.square() + columns.square()).sqrt().clamp(min=1 / (4 * size))
    white = torch.fft.rfft2(
        torch.randn(40, 4 * size, 4 * size, generator=torch.Generator().manual_seed(1))
    )
    field = torch.fft.irfft2(white * frequency ** (exponent / 2))[:, :size, :size]
    field = field / field.std() * 40 + 128
    images = field.round().clamp(0, 255).byte()[:, None]
    assert float(spectrum_slope(images).mean()) == pytest.approx(exponent, abs=0.12)


@pytest.mark.parametrize("metric", ALL, ids=IDS)
def test_constant_images(metric: Any) -> None:
    flat = torch.full((3, 3, 36, 40), 90, dtype=torch.uint8)
    expected = 1.0 if metric is texture_homogeneity else 0.0
    assert metric(flat).tolist() == pytest.approx([expected] * 3, abs=1e-9)


@pytest.mark.parametrize("metric", ALL, ids=IDS)
def test_chunks_do_not_matter_and_bounds_hold(metric: Any) -> None:
    images = torch.randint(256, (5, 3, 40, 48), generator=torch.Generator().manual_seed(0)).byte()
    many = images.repeat(40, 1, 1, 1)
    torch.testing.assert_close(metric(many), metric(images).repeat(40))
    low, high = metric.bounds
    extremes = torch.cat([images, images // 255 * 255, (images // 128) * 255])
    assert low is None or (metric(extremes) >= low).all()
    assert high is None or (metric(extremes) <= high).all()
    assert metric(images).dtype == torch.float64


@pytest.mark.parametrize("metric", ALL, ids=IDS)
def test_grey_images(metric: Any) -> None:
    """Grey has no colour to measure; all else is that of three equal channels."""
    images = photograph("coffee")[:, 1:2]
    if metric in (saturation, colourfulness):
        with pytest.raises(NothingMeasured, match="1 channel"):
            metric(images)
        assert float(metric(images.expand(1, 3, -1, -1))) == 0
    else:
        torch.testing.assert_close(metric(images), metric(images.expand(1, 3, -1, -1)))


@pytest.mark.parametrize(
    ("metric", "smallest"),
    [(sharpness, 3), (edge_energy, 3), (texture_entropy, 9), (spectrum_slope, 24)],
    ids=["sharpness", "edge-energy", "texture-entropy", "spectrum-slope"],
)
def test_images_that_are_too_small_are_refused(metric: Any, smallest: int) -> None:
    images = torch.randint(256, (2, 1, smallest, 40)).byte()
    assert metric(images).isfinite().all()
    with pytest.raises(NothingMeasured, match=f"{smallest - 1} x 40"):
        metric(images[:, :, 1:])


@pytest.mark.parametrize("metric", ALL, ids=IDS)
def test_strange_channels_are_refused(metric: Any) -> None:
    with pytest.raises(NothingMeasured, match=r"channels: these images have 4|have 4 channels"):
        metric(torch.zeros(2, 4, 40, 40, dtype=torch.uint8))


def tiles(images: Tensor) -> Tensor:
    """(N, 3, 64, 64) from one photograph."""
    return images.unfold(2, 64, 64).unfold(3, 64, 64).permute(0, 2, 3, 1, 4, 5).flatten(0, 2)


def test_measured_over_images() -> None:
    images = tiles(photograph("astronaut"))
    generated = ImageSet(images, torch.zeros(len(images), dtype=torch.int64))
    for metric in (detail.sharpness, light.colourfulness, spectrum.spectrum_slope):
        estimate = measure(metric, use=Use(metric.id, n=len(images)), generated=generated)
        assert estimate.interval is not None
        assert estimate.interval.low < (estimate.value or 0) < estimate.interval.high
        assert estimate.interval.method == "bootstrap"


def test_names_and_kinds() -> None:
    assert IDS == [
        "sharpness",
        "edge-energy",
        "contrast",
        "saturation",
        "colourfulness",
        "texture-entropy",
        "texture-homogeneity",
        "spectrum-slope",
    ]
    assert {metric.kind for metric in ALL} == {"per-image"}
    assert {metric.higher_is_better for metric in ALL} == {None}
    assert all(metric.protocol and metric.source for metric in ALL)
