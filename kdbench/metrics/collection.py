"""Many metrics of one image set, from one pass of each extractor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import get_args

import torch
from torch import Tensor

from kdbench.errors import BadSpec, NothingMeasured, WeightsError
from kdbench.metrics.base import Estimate, SetName, Use
from kdbench.metrics.cache import Cache
from kdbench.metrics.features.base import Extractor
from kdbench.metrics.image_sets import Images, ImageSets
from kdbench.metrics.measure import measure
from kdbench.metrics.naming import judge_of, measured_name, parse_use, shared_metric
from kdbench.spec import content_key

Given = Tensor | tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Measured(Estimate):
    """A value with everything that must be equal before another one is compared with it."""

    metric: str = ""
    n: int = 0
    """Generated images."""
    n_reference: int | None = None
    """Images of the first set that is compared with."""
    reference: str | None = None
    """SHA-256 of what is compared with: images and labels; of several sets, of their hashes."""
    extractor: str | None = None
    """`name@version:sha256`."""
    protocol: str = ""

    def difference(self, other: Measured) -> float:
        """This value less another one of the same metric, n, reference, extractor and protocol.

        Raises:
            BadSpec: something of that differs, or a value is missing.
        """
        for name in ("metric", "n", "n_reference", "reference", "extractor", "protocol"):
            own, its = getattr(self, name), getattr(other, name)
            if own != its:
                raise BadSpec(
                    f"Values with different {name} are not compared: {own!r} and {its!r}."
                )
        if self.value is None or other.value is None:
            raise BadSpec(f"There is no value: {self.reason or other.reason}")
        return self.value - other.value


def measure_images(
    metrics: Sequence[str],
    images: Tensor,
    *,
    labels: Tensor | None = None,
    others: Mapping[SetName, Given] = MappingProxyType({}),
    targets: Tensor | None = None,
    extractor: str | None = None,
    cache: str | Path | None = None,
) -> dict[str, Measured]:
    """Values of several metrics on all of `images`, each extractor run once on each set.

    What cannot be measured (no weights, no such set, no labels, too few images or unequal numbers
    of them) is an estimate without a value and with the reason.

    Args:
        metrics: names as `kdbench list metrics` shows them; `fd[extractor]` chooses features.
        images: (N, C, H, W), uint8.
        labels: (N,), int64; without them, metrics that need them have no value.
        others: what is compared with: `reference`, `train`, `teacher`, `teacher-again`; images,
            or images and labels.
        targets: (N, C, H, W), uint8: image by image, for paired metrics.
        extractor: stands for the task's extractor in metrics that leave it open.
        cache: a folder that keeps features and reference statistics between calls.

    Returns:
        Estimates by the name that the value has in records.

    Raises:
        UnknownName: no such metric or extractor.
        BadSpec: a metric needs an extractor and none was named, there is no such set, or images
            and labels are not tensors of these types and sizes.

    Example:
        >>> images = torch.randint(0, 256, (40, 1, 8, 8), dtype=torch.uint8)
        >>> found = measure_images(
        ...     ["fd"], images, others={"reference": images}, extractor="digits-cnn"
        ... )
        >>> round(found["fd@1"].value, 9)
        0.0
    """
    for name in others:
        if name not in get_args(SetName):
            known = ", ".join(get_args(SetName))
            raise BadSpec(f"There is no set {name!r} to compare with: give {known}.")
    given: dict[str, Given] = {"images": images if labels is None else (images, labels)}
    given |= {str(name): part for name, part in others.items()}
    unlabelled = {name for name, part in given.items() if isinstance(part, Tensor)}
    made = {name: _images(part, name, lasting=name != "images") for name, part in given.items()}
    sets = ImageSets(
        made["images"],
        {name: partial(made.__getitem__, name) for name in others},
        Cache(None if cache is None else Path(cache)),
        None if targets is None else _images(targets, "targets", lasting=True),
    )
    return {
        measured_name(shared_metric(use.metric), use): _measured(sets, use, extractor, unlabelled)
        for use in (parse_use(name, n=len(images)) for name in metrics)
    }


def _measured(sets: ImageSets, use: Use, default: str | None, unlabelled: set[str]) -> Measured:
    metric, judge = shared_metric(use.metric), None
    try:
        judge = judge_of(metric, use, default=default)
        missing = [name for name in metric.sets if name not in sets.others]
        if missing:
            raise NothingMeasured(f"{metric.id} compares with {' and '.join(missing)}.")
        bare = unlabelled & {"images", *metric.sets}
        if metric.needs_labels and bare:
            raise NothingMeasured(f"{metric.id} needs labels: {', '.join(sorted(bare))} have none.")
        seen = judge if metric.needs_features else None
        generated, others = sets.of(metric.sets, seen)
        targets = sets.targets_of(seen) if metric.kind == "paired" else None
        found = measure(metric, use=use, generated=generated, others=others, targets=targets)
    except (NothingMeasured, WeightsError) as error:
        found = Estimate(None, reason=str(error))
    return _with_conditions(found, sets, use, judge)


def _with_conditions(
    found: Estimate, sets: ImageSets, use: Use, judge: Extractor | None
) -> Measured:
    metric = shared_metric(use.metric)
    compared = [sets.other(name) for name in metric.sets if name in sets.others]
    if metric.kind == "paired" and sets.targets is not None:
        compared = [sets.targets]
    hashes = [images.sha256 for images in compared]
    return Measured(
        **vars(found),
        metric=measured_name(metric, use),
        n=use.n,
        n_reference=len(compared[0].images) if compared else None,
        reference=content_key(hashes) if len(hashes) > 1 else next(iter(hashes), None),
        extractor=judge.id if judge else None,
        protocol=f"{use.n} images, {metric.protocol}",
    )


def _images(given: Given, name: str, *, lasting: bool = False) -> Images:
    """Images and labels, checked; without labels, all are of one class."""
    images, labels = given if isinstance(given, tuple) else (given, None)
    if not isinstance(images, Tensor) or images.ndim != 4 or images.dtype != torch.uint8:
        is_tensor = isinstance(images, Tensor)
        what = f"{images.dtype} {tuple(images.shape)}" if is_tensor else type(images).__name__
        raise BadSpec(
            f"The {name} must be a tensor of uint8 (N, C, H, W), not {what}: "
            "torch.from_numpy(array).permute(0, 3, 1, 2) makes one of (N, H, W, C), and "
            "round(255 x) of floats in [0, 1]."
        )
    if labels is None:
        labels = torch.zeros(len(images), dtype=torch.int64)
    whole = isinstance(labels, Tensor) and not labels.is_floating_point()
    if not whole or labels.shape != (len(images),):
        raise BadSpec(
            f"The labels of {name} must be integers in a tensor of shape ({len(images)},)."
        )
    return Images(images, labels.long(), lasting=lasting)
