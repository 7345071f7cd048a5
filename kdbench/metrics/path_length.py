"""Perceptual path length: how much images change for a small step between two latents.

PPL (Karras et al. 2019, arXiv:1812.04948, section 4.1, in Z) is a finite difference. Rounded to
uint8, most steps change no pixel and the rest change some by a whole grey level, so that the value
is mostly rounding: torch-fidelity rounds, torchmetrics does not, and the two are not one number.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from kdbench.errors import NothingMeasured
from kdbench.generators.base import Generator, Inputs, quantise, sample
from kdbench.metrics.base import Estimate, Metric, metric
from kdbench.metrics.features.base import Extractor, shared_extractor
from kdbench.metrics.intervals import LEVEL, RESAMPLES
from kdbench.metrics.lpips import embedded_distance
from kdbench.record import Interval
from kdbench.seeds import seed as named_seed

EPSILON = 1e-4
"""The step, as a share of the way from one latent to the other."""

DISCARDED = (1.0, 99.0)
"""Percentiles outside which lengths are left out."""

FEW = 10_000
"""Lengths have a heavy tail: torchmetrics draws as many by default, the paper 100,000."""

PARALLEL = 1e-7
"""Sines below it leave no arc to follow, and the chord is taken."""

CHUNK = 250
"""Images a call of the generator."""

JUDGE = "lpips-vgg@1"

SAID = """Perceptual path length: mean change of {images} for a small step between two latents.

Low where the images change evenly along the way, high where they jump. Blind to quality: images
that do not depend on the latent have a length of 0.{more}
Images are taken in the size they have, where torch-fidelity and torchmetrics resize to 64 pixels
by default.

Args:
    generator: maps inputs to images in [0, 1], in float32.
    start, end: N latents each, and the labels of both.
    chunk: images a call.

Raises:
    NothingMeasured: images are too small, or lengths are not finite.
    WeightsError: weights of the network are missing or damaged.

Example, of the lengths alone:
    >>> from kdbench.metrics.path_length import path_length
    >>> path_length(torch.tensor([1.0, 2.0, 6.0])).value
    3.0
"""

Distances = Callable[[Tensor, Tensor], Tensor]
"""Two batches (n, C, H, W), uint8 or float32 on its scale of [0, 255], to n distances."""


def path_lengths(
    generator: Generator,
    start: Inputs,
    end: Inputs,
    distances: Distances,
    *,
    quantised: bool,
    seed: int,
    epsilon: float = EPSILON,
    chunk: int = CHUNK,
) -> Tensor:
    """d(G(slerp(z₀, z₁, t)), G(slerp(z₀, z₁, t + ε))) / ε² of N pairs of latents, t ~ U(0, 1).

    Both ends of a step are drawn in batches of one size and under the label of `start`. Where the
    images are not quantised they are not clipped either. Steps are about 1e-4 of a latent's size,
    so the generator must compute in float32: in half precision it sees no step at all.

    Args:
        generator: maps inputs to images in [0, 1].
        start, end: z₀ and z₁; N of each.
        distances: see `Distances`; squared-error-like, as LPIPS is.
        quantised: whether images are rounded to uint8 before they are compared.
        seed: of t.
        epsilon: ε.
        chunk: images a call.

    Returns:
        (N,), float64.

    Raises:
        NothingMeasured: `start` and `end` differ in number or are empty, or the generator's
            network is in half precision.
    """
    n = len(start)
    if n == 0 or n != len(end):
        raise NothingMeasured(f"A path has two ends: there are {n} first and {len(end)} last ones.")
    _refuse_half(generator)
    t = torch.rand(n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    found = []
    for places in torch.split(torch.arange(n), chunk):
        first, last = start.take(places), end.take(places)
        near, far = (
            _images(generator, _between(first, last, t[places] + step), quantised, chunk)
            for step in (0.0, epsilon)
        )
        found.append(distances(near, far).double().cpu() / epsilon**2)
    return torch.cat(found)


def slerp(start: Tensor, end: Tensor, t: Tensor) -> Tensor:
    """Points on the arc from `start` to `end`, as long as the ends are; on the chord if parallel.

    Args:
        start, end: (N, C, H, W).
        t: (N,), float64, 0 at the start and 1 at the end.

    Returns:
        (N, C, H, W), float32, rounded from float64.

    >>> x, y = torch.eye(2).reshape(2, 1, 1, 1, 2)
    >>> slerp(x, y, torch.tensor([1 / 3], dtype=torch.float64)).flatten()
    tensor([0.8660, 0.5000])
    """
    a, b = start.double().flatten(1), end.double().flatten(1)
    cosine = torch.nn.functional.cosine_similarity(a, b, dim=1, eps=PARALLEL).clamp(-1, 1)
    angle, t = cosine.acos()[:, None], t[:, None]
    sine = angle.sin()
    arc = (((1 - t) * angle).sin() * a + (t * angle).sin() * b) / sine.clamp_min(PARALLEL)
    # Beside a latent of zeros the cosine is 0, and there is no arc either.
    straight = (sine < PARALLEL) | (a.norm(dim=1) * b.norm(dim=1) == 0)[:, None]
    return torch.where(straight, a + t * (b - a), arc).float().reshape(start.shape)


def path_length(lengths: Tensor) -> Estimate:
    """The mean of the lengths between their 1st and 99th percentile, bootstrapped with discarding.

    Percentiles are torch-fidelity's: the next length below the 1st and the next above the 99th,
    both kept. torchmetrics takes the next below for both, which can leave out one length more.

    Args:
        lengths: (N,), float64.

    Raises:
        NothingMeasured: some are not finite, or there are fewer than two.

    >>> found = path_length(torch.arange(1001, dtype=torch.float64))
    >>> found.value, found.details["kept"], found.interval.method
    (500.0, 981.0, 'bootstrap')
    """
    values = lengths.double().numpy()
    if len(values) < 2:
        raise NothingMeasured("A path length needs two pairs of latents or more.")
    lost = int((~np.isfinite(values)).sum())
    if lost:
        raise NothingMeasured(f"{lost:,} of {len(values):,} path lengths are not finite.")
    inside = kept(values)
    details: dict[str, float | None] = {
        "kept": float(len(inside)),
        "median": float(np.median(values)),
        "standard_deviation": float(inside.std()),
    }
    mean = float(inside.mean())
    marks = () if len(values) >= FEW else (f"few samples: {len(values):,} of at least {FEW:,}",)
    if values.min() == values.max():
        return Estimate(mean, None, "No interval: all path lengths are equal.", details, marks)
    return Estimate(mean, _interval(values), None, details, marks)


def kept(lengths: NDArray[np.float64]) -> NDArray[np.float64]:
    """The lengths between the 1st percentile, taken lower, and the 99th, taken higher.

    Args:
        lengths: (N,), finite.
    """
    low = np.percentile(lengths, DISCARDED[0], method="lower")
    high = np.percentile(lengths, DISCARDED[1], method="higher")
    return lengths[(low <= lengths) & (lengths <= high)]


def _interval(lengths: NDArray[np.float64]) -> Interval:
    """Percentile interval of the mean over resamples, each of which discards its own extremes."""
    draw, n = np.random.default_rng(named_seed("bootstrap")), len(lengths)
    means = [kept(lengths[draw.integers(n, size=n)]).mean() for _ in range(RESAMPLES)]
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(
        level=LEVEL, low=float(low), high=float(high), source="sampling", method="bootstrap"
    )


def lpips_between(extractor: Extractor) -> Distances:
    """LPIPS in an extractor that gives its embedding, of float images as well as of uint8."""
    return lambda near, far: embedded_distance(extractor, near, far)


def _refuse_half(generator: Generator) -> None:
    network = getattr(generator, "network", None)
    kinds = {p.dtype for p in network.parameters()} if isinstance(network, nn.Module) else set()
    if kinds & {torch.float16, torch.bfloat16}:
        raise NothingMeasured("A path length needs a network in float32: this one is in half.")


def _between(start: Inputs, end: Inputs, t: Tensor) -> Inputs:
    return Inputs(slerp(start.latents, end.latents, t), start.labels, start.index)


def _images(generator: Generator, inputs: Inputs, quantised: bool, chunk: int) -> Tensor:
    images = sample(generator, inputs, chunk=chunk)
    return quantise(images) if quantised else images * 255


def path_length_metric(name: str, *, quantised: bool) -> Metric:
    """PPL of images as they are made, or of what uint8 leaves of them.

    Args:
        name: of the metric.
        quantised: whether images are rounded to uint8.
    """

    def length(generator: Generator, start: Inputs, end: Inputs, chunk: int) -> Estimate:
        lengths = path_lengths(
            generator,
            start,
            end,
            lpips_between(shared_extractor(JUDGE)),
            quantised=quantised,
            seed=named_seed("path-length"),
            chunk=chunk,
        )
        return path_length(lengths)

    more = " Most of it is rounding: compare it with no other." if quantised else ""
    images = "images rounded to uint8" if quantised else "unrounded images"
    length.__doc__ = SAID.format(images=images, more=more)
    dtype = "images rounded to uint8" if quantised else "images in float32, not clipped"
    return metric(
        kind="generator",
        name=name,
        higher_is_better=False,
        bounds=(0.0, None),
        extractor=JUDGE,
        few=FEW,
        protocol=f"{dtype}, ε = {EPSILON:g}, slerp in Z, t ~ U(0, 1), LPIPS v0.1, VGG-16, images "
        "as they are, without what is outside percentiles 1 (lower) and 99 (higher)",
        source="Karras et al. 2019, arXiv:1812.04948, section 4.1",
    )(length)


ppl_float = path_length_metric("ppl-float", quantised=False)
ppl_uint8 = path_length_metric("ppl-uint8", quantised=True)
