"""Numbers of images of any sizes, a few images at a time: memory does not grow with their number.

As planes of a protocol, in float64, images take up to eight times what they take as they are read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from kdbench.metrics.base import ImageSet, Metric
from kdbench.metrics.per_image import image_values, strangers

AT_ONCE = 2**22
"""Values of a side at a time: 32 MiB as planes in float64."""

Side = Tensor | Sequence[Tensor]
"""Images of one set, (N, C, H, W) or (C, H, W) each; or their features, (D,) each."""


def numbers(metric: Metric, sides: Sequence[Side], view: Callable[[Tensor], Tensor]) -> Tensor:
    """(N,), float64: a `per-image` or `paired` metric of each image.

    Args:
        metric: which.
        sides: the images and, for a `paired` metric, as many partners of the same shapes.
        view: what is measured of images (n, C, H, W); features are measured as they are.

    Raises:
        NothingMeasured: whatever keeps the metric, or the view, from measuring.
    """
    found = torch.empty(len(sides[0]), dtype=torch.float64)
    for places in _parts(sides[0]):
        parts = [view(stacked(side, places)) for side in sides]
        sets = [_as_set(part, features=metric.needs_features) for part in parts]
        found[places] = image_values(metric, *sets).double().cpu()
    return found


def places_by(side: Side, dimensions: slice = slice(None)) -> list[Tensor]:
    """(n,), int64, each: which images have one shape, in the order of first appearance.

    Args:
        side: images, one or more.
        dimensions: of an image, which must agree.

    >>> places_by([torch.zeros(2), torch.zeros(3), torch.zeros(2)])
    [tensor([0, 2]), tensor([1])]
    """
    if isinstance(side, Tensor):
        return [torch.arange(len(side))]
    by_shape: dict[torch.Size, list[int]] = {}
    for i, image in enumerate(side):
        by_shape.setdefault(image.shape[dimensions], []).append(i)
    return [torch.tensor(places) for places in by_shape.values()]


def stacked(side: Side, places: Tensor) -> Tensor:
    """Images of one shape, (n, C, H, W)."""
    if isinstance(side, Tensor):
        return side if len(places) == len(side) else side[places]
    return torch.stack([side[i] for i in places.tolist()])


def strangers_by_size(images: Side) -> tuple[list[int], list[int]]:
    """Other images of the same height and width, whatever their channels.

    Args:
        images: (C, H, W) each.

    Returns:
        Which images are not alone of their size, and for each of them another one; each is
        another's once.
    """
    groups = [places for places in places_by(images, slice(1, None)) if len(places) > 1]
    others = [places[strangers(len(places))] for places in groups]
    own, other = ([i for places in side for i in places.tolist()] for side in (groups, others))
    return own, other


def alike(own: Side, other: Side) -> tuple[list[Tensor], list[Tensor]]:
    """Pairs of (C, H, W) of as many channels: of grey and colour, grey is repeated."""
    shapes = [max(a.shape, b.shape) for a, b in zip(own, other, strict=True)]
    left, right = (
        [image.expand(shape) for image, shape in zip(side, shapes, strict=True)]
        for side in (own, other)
    )
    return left, right


def _parts(side: Side) -> Iterator[Tensor]:
    """Places of one shape, as many as `AT_ONCE` allows, at least one."""
    for places in places_by(side) if len(side) else []:
        size = side[int(places[0])].numel()
        yield from torch.split(places, max(1, AT_ONCE // max(1, size)))


def _as_set(part: Tensor, *, features: bool) -> ImageSet:
    labels = torch.zeros(len(part), dtype=torch.int64)
    return ImageSet(part, labels, part if features else None)
