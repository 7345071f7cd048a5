"""Many metrics of one image set, from one pass of each extractor."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType

import torch
from torch import Tensor

from kdbench.errors import NothingMeasured, WeightsError
from kdbench.metrics.base import Estimate, SetName
from kdbench.metrics.cache import Cache
from kdbench.metrics.image_sets import Images, ImageSets
from kdbench.metrics.measure import measure
from kdbench.metrics.naming import judge_of, measured_name, parse_use, shared_metric

Others = Mapping[SetName, Tensor | tuple[Tensor, Tensor]]


def measure_images(
    metrics: Sequence[str],
    images: Tensor,
    *,
    labels: Tensor | None = None,
    others: Others = MappingProxyType({}),
    targets: Tensor | None = None,
    extractor: str | None = None,
    cache: Path | None = None,
) -> dict[str, Estimate]:
    """Values of several metrics on all of `images`, each extractor run once on each set.

    What cannot be measured (no weights, no such set, too few images) is an estimate without a
    value and with the reason.

    Args:
        metrics: names as `kdbench list metrics` shows them; `fd[extractor]` chooses features.
        images: (N, C, H, W), uint8.
        labels: (N,), int64; without them, all images count as one class.
        others: what is compared with: `reference`, `train`, `teacher`, `teacher-again`; images,
            or images and labels.
        targets: (N, C, H, W), uint8: image by image, for paired metrics.
        extractor: stands for the task's extractor in metrics that leave it open.
        cache: a folder that keeps features and reference statistics between calls.

    Returns:
        Estimates by the name that the value has in records.

    Raises:
        UnknownName: no such metric or extractor.
        BadSpec: a metric needs an extractor and none was named.

    Example:
        >>> images = torch.randint(0, 256, (40, 1, 8, 8), dtype=torch.uint8)
        >>> found = measure_images(
        ...     ["fd"], images, others={"reference": images}, extractor="digits-cnn"
        ... )
        >>> round(found["fd@1"].value, 9)
        0.0
    """
    sets: dict[SetName, Callable[[], Images]] = {
        name: partial(_images, other, lasting=True) for name, other in others.items()
    }
    image_sets = ImageSets(
        _images(images if labels is None else (images, labels)),
        sets,
        Cache(cache),
        None if targets is None else _images(targets, lasting=True),
    )
    found = {}
    for name in metrics:
        use = parse_use(name, n=len(images))
        metric = shared_metric(use.metric)
        try:
            judge = judge_of(metric, use, default=extractor)
            missing = [other for other in metric.sets if other not in others]
            if missing:
                raise NothingMeasured(f"{metric.id} compares with {' and '.join(missing)}.")
            seen = judge if metric.needs_features else None
            generated, compared = image_sets.of(metric.sets, seen)
            paired = image_sets.targets_of(seen) if metric.kind == "paired" else None
            estimate = measure(
                metric, use=use, generated=generated, others=compared, targets=paired
            )
        except (NothingMeasured, WeightsError) as error:
            estimate = Estimate(None, reason=str(error))
        found[measured_name(metric, use)] = estimate
    return found


def _images(given: Tensor | tuple[Tensor, Tensor], *, lasting: bool = False) -> Images:
    if isinstance(given, Tensor):
        given = given, torch.zeros(len(given), dtype=torch.int64)
    return Images(*given, lasting=lasting)
