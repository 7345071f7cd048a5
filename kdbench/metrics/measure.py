"""Measuring: one metric on one generator's images, and extracting what metrics share."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor

from kdbench.errors import BadSpec, NothingMeasured
from kdbench.metrics.base import PAIRED_SETS, Estimate, ImageSet, Metric, SetName, Use
from kdbench.metrics.intervals import ROUNDING, blocks_interval, clipped, standard_error_of_mean
from kdbench.metrics.per_image import image_values, over_images, shuffled_values
from kdbench.metrics.remembered import remembered
from kdbench.seeds import seed

FEW = "few samples"
"""How a mark begins that says so; a metric may say it itself, with what it does to its value."""

FeatureFunction = Callable[[Tensor], tuple[Tensor, Tensor | None]]
"""uint8 (N, C, H, W) to features (N, D) and logits (N, classes), float32, or None for logits."""


def measure(
    metric: Metric,
    *,
    use: Use,
    generated: ImageSet,
    others: Mapping[SetName, ImageSet] = MappingProxyType({}),
    targets: ImageSet | None = None,
) -> Estimate:
    """The value of `metric` with its interval, on the first `use.n x use.blocks` images.

    A `set` metric is taken on each block of `use.n` generated images against the other sets that
    it names. One block keeps the metric's own interval; over two or more, the value is the mean,
    details are means, and the interval is Student t over the blocks, conditional on the other
    sets. Sets that are paired with the generated images are cut into the same blocks; where sets
    must be of equal size, the others have `use.n` images, or as many as were generated and are cut
    into blocks too. Nothing else is ever cut.

    A `per-image` or `paired` metric gives the mean over all these images with a bootstrap
    interval over them; details have `median`, `p5`, `p95` (percentiles), `resamples` and, of a
    `paired` one, `shuffled`: the mean over pairs that do not belong together.

    Intervals are clipped to the metric's bounds.

    Args:
        generated: what a generator made, with features where the metric needs them.
        others: what a `set` metric compares with, by name.
        targets: what a `paired` metric compares with, image by image; with features where the
            metric needs them.

    Raises:
        NothingMeasured: the metric is of generators, fewer images than asked for, no features, no
            other set or targets where they are needed, or targets of another shape.
        BadSpec: the metric's function does not give what its kind promises.
    """
    if metric.kind == "generator":
        raise NothingMeasured(f"{metric.id} is measured of a generator, and these are images.")
    n = use.n * use.blocks
    if min(use.n, use.blocks, n - 1) < 1:
        raise NothingMeasured(f"{metric.id} is used on {n} images: at least 2 are needed.")
    if len(generated) < n:
        raise NothingMeasured(
            f"{metric.id} is used on {n} images ({use.blocks} x {use.n}), and only "
            f"{len(generated)} were generated."
        )
    if metric.kind == "set":
        return _measure_set(metric, use, generated, others)
    images = generated.block(0, n)
    if metric.kind == "per-image":
        return over_images(metric, image_values(metric, images))
    if targets is None:
        raise NothingMeasured(f"{metric.id} compares with targets, and there are none.")
    pairs = targets.block(0, n)
    values = image_values(metric, images, pairs)
    return over_images(metric, values, shuffled=shuffled_values(metric, images, pairs))


def extract(
    extractor: FeatureFunction, images: Tensor, labels: Tensor, *, chunk: int = 250
) -> ImageSet:
    """Features and logits of images, in chunks of one size.

    The last chunk is padded by repeating its last image, so that the arithmetic, and on CPU every
    bit, is the same whatever the number of images.

    Args:
        extractor: see `FeatureFunction`; an `Extractor` is one.
        images: (N, C, H, W), uint8.
        labels: (N,), int64.
        chunk: images at a time.

    Returns:
        The images with features and logits, float32, on the CPU.

    Raises:
        NothingMeasured: there are no images.
    """
    if len(images) == 0:
        raise NothingMeasured("There are no images to extract features from.")
    features, logits = [], []
    with torch.inference_mode():
        for part in torch.split(images, chunk):
            index = torch.arange(chunk).clamp(max=len(part) - 1)
            own, classes = extractor(part[index])
            features.append(own[: len(part)].float().cpu())
            if classes is not None:
                logits.append(classes[: len(part)].float().cpu())
    return ImageSet(images, labels, torch.cat(features), torch.cat(logits) if logits else None)


@remembered
def drawn(images: ImageSet, n: int) -> ImageSet:
    """`n` of a set's images, the same ones always, with every label's share as it is.

    >>> images = ImageSet(torch.zeros(90, 1, 1, 1), torch.arange(90) // 30)
    >>> drawn(images, 30).labels.bincount().tolist()
    [10, 10, 10]
    """
    shuffle = torch.Generator().manual_seed(seed("drawn", len(images), n))
    order = torch.randperm(len(images), generator=shuffle)
    order = order[images.labels[order].argsort(stable=True)]
    return images.take(order[torch.arange(n) * len(images) // n])


def _block(images: ImageSet, start: int, stop: int) -> ImageSet:
    """One and the same block for every metric, so that what metrics share is computed once."""
    return images if stop - start == len(images) else _part_of(images, start, stop)


@remembered
def _part_of(images: ImageSet, start: int, stop: int) -> ImageSet:
    return images.block(start, stop)


def _measure_set(
    metric: Metric, use: Use, generated: ImageSet, others: Mapping[SetName, ImageSet]
) -> Estimate:
    if metric.needs_features and generated.features is None:
        raise NothingMeasured(f"{metric.id} needs features: run the extractor first.")
    estimates = []
    for i in range(use.blocks):
        sets = [_part(metric, use, len(generated), others, name, i) for name in metric.sets]
        block = _block(generated, i * use.n, (i + 1) * use.n)
        estimates.append(_marked(metric, _set_value(metric, block, sets), [block, *sets]))
    for estimate in estimates:
        if estimate.value is None:
            return Estimate(None, None, estimate.reason or f"{metric.id} gave no value.")
    return _over_blocks(metric, estimates) if use.blocks > 1 else _single(metric, estimates[0])


def _part(
    metric: Metric,
    use: Use,
    n_generated: int,
    others: Mapping[SetName, ImageSet],
    name: SetName,
    i: int,
) -> ImageSet:
    """What block `i` of the generated images is compared with.

    Sets are never cut to fit: the first images of a set may all be of one class.
    """
    found = others.get(name)
    if found is None:
        raise NothingMeasured(f"{metric.id} compares with a set that was not given: {name}.")
    whole, paired = len(found) == n_generated, name in PAIRED_SETS
    if paired and not whole:
        raise NothingMeasured(
            f"{metric.id} needs the {name}'s images of the same inputs: there are {len(found)} for "
            f"{n_generated} generated ones."
        )
    if not (paired or metric.equal_n) or (len(found) == use.n and not paired):
        return found
    if not whole:
        raise NothingMeasured(
            f"{metric.id} compares sets of equal size, and {name} has {len(found)} images for "
            f"{use.n} generated ones. Measure as many, or blocks of {len(found)}."
        )
    return _block(found, i * use.n, (i + 1) * use.n)


def _set_value(metric: Metric, generated: ImageSet, sets: list[ImageSet]) -> Estimate:
    estimate = metric.function(generated, *sets)
    if not isinstance(estimate, Estimate):
        raise BadSpec(f"{metric.id} is a set metric and must return an Estimate.")
    if estimate.value is not None and not math.isfinite(estimate.value):
        return Estimate(None, None, f"{metric.id} is {estimate.value} on these images.")
    return estimate


def _marked(metric: Metric, estimate: Estimate, sets: list[ImageSet]) -> Estimate:
    n = min(len(images) for images in sets)
    if n >= metric.few or any(mark.startswith(FEW) for mark in estimate.marks):
        return estimate
    mark = f"{FEW}: {n:,} of at least {metric.few:,}"
    return replace(estimate, marks=(*estimate.marks, mark))


def _single(metric: Metric, estimate: Estimate) -> Estimate:
    """One block: the metric's own interval, or why there is none."""
    if estimate.interval is None:
        reason = estimate.reason or f"No interval: {metric.id} has one from two blocks on."
        return replace(estimate, reason=reason)
    return replace(estimate, interval=clipped(estimate.interval, metric.bounds))


def _over_blocks(metric: Metric, estimates: list[Estimate]) -> Estimate:
    values = [estimate.value for estimate in estimates if estimate.value is not None]
    details: dict[str, float | None] = {
        name: _pooled(name, [estimate.details.get(name) for estimate in estimates])
        for name in estimates[0].details
    }
    error = details["standard_error"] = standard_error_of_mean(values)
    marks = tuple(dict.fromkeys(mark for estimate in estimates for mark in estimate.marks))
    mean = float(np.mean(values))
    if error <= ROUNDING * abs(mean):
        alike = "No interval: every block has the same value."
        return Estimate(mean, None, alike, details, marks)
    return Estimate(mean, clipped(blocks_interval(values), metric.bounds), None, details, marks)


def _pooled(name: str, values: list[float | None]) -> float | None:
    """The mean of a detail over blocks; a label has none, and is kept where all blocks agree."""
    known = [value for value in values if value is not None]
    if len(known) < len(values) or (name == "worst" and len(set(known)) > 1):
        return None
    return float(np.mean(known))
