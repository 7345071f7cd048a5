"""What a metric is, what it is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, Literal, cast
from weakref import WeakKeyDictionary

from torch import Tensor

from kdbench.record import Interval

Kind = Literal["set", "per-image", "paired", "generator"]

SetName = Literal["reference", "train", "teacher", "teacher-again"]
"""What a set metric compares with: the split's real images, the training images, the teacher's
images of the same inputs, or the teacher's images of the same labels from other latents."""

PAIRED_SETS: frozenset[SetName] = frozenset({"teacher"})
"""Sets whose i-th image belongs to the i-th generated image."""

TASK_EXTRACTOR = "task"
"""Stands for the evaluation extractor of whichever task is measured."""


Tensors = dict[str, Tensor]
Keep = Callable[[str, Callable[[], Tensors]], Tensors]
"""`keep(name, make)`: what `make` gives, from a cache if it is there."""


@dataclass(frozen=True, eq=False)
class ImageSet:
    """A set of images with everything that one pass of one extractor says of it.

    Compared by identity, so that whatever two metrics share is computed once.
    """

    images: Tensor
    """(N, C, H, W), uint8; points of the plane are (N, 2, 1, 1), float32."""
    labels: Tensor
    """(N,), int64: the condition under which each image was asked for."""
    features: Tensor | None = None
    """(N, D), float32."""
    logits: Tensor | None = None
    """(N, classes), float32: the extractor's own classification."""

    keep: Keep | None = None
    """Where statistics of a set that many generators are compared with are kept between runs."""

    remembered: WeakKeyDictionary[ImageSet, dict[Hashable, Any]] = field(
        default_factory=WeakKeyDictionary, init=False, repr=False
    )
    """What `kdbench.metrics.remembered` keeps, by the other set of a comparison or this one."""

    def __len__(self) -> int:
        return len(self.images)

    def kept(self, name: str, make: Callable[[], Tensors]) -> Tensors:
        """Statistics of this set, made now or, where the set has a `keep`, taken from there.

        Args:
            name: `name@version` of the statistics; the version rises when their values can change.
            make: computes them.
        """
        return self.keep(name, make) if self.keep else make()

    def block(self, start: int, stop: int) -> ImageSet:
        """Images `start` to `stop` − 1 as a set of their own; the set itself if that is all."""
        if start == 0 and stop == len(self):
            return self
        return self.take(slice(start, stop))

    def take(self, rows: slice | Tensor) -> ImageSet:
        """Some of the images as a set of their own."""
        return ImageSet(
            self.images[rows],
            self.labels[rows],
            None if self.features is None else self.features[rows],
            None if self.logits is None else self.logits[rows],
        )


@dataclass(frozen=True)
class Estimate:
    """A value with its interval, or the reason why there is none."""

    value: float | None
    interval: Interval | None = None
    reason: str | None = None
    details: dict[str, float | None] = field(default_factory=dict)
    marks: tuple[str, ...] = ()
    """What a reader must know before believing the value, e.g. too few samples."""


@dataclass(frozen=True)
class Use:
    """A metric as a task uses it: on how many images, in how many blocks, in which features."""

    metric: str
    n: int
    """Images a block."""
    blocks: int = 1
    """Disjoint blocks of generated images; more than one gives a t interval over them."""
    extractor: str | None = None
    """Replaces the task's extractor, for metrics that take any; written `fd[extractor]`."""


@dataclass(frozen=True)
class Metric:
    """A registered metric: a function with what a reader must know of it.

    A `set` metric is called with the generated set and those that `sets` names, in that order,
    and returns an `Estimate`; a `per-image` one with images (N, C, H, W) and returns N numbers; a
    `paired` one with images and targets of the same shape and returns N numbers; where these two
    need features, (N, D), they are given those in place of images. The harness makes mean,
    interval and n of both. A `generator` metric is called with a generator, two `Inputs` of the
    same labels, and how many images to draw at a time, and returns an `Estimate`.
    """

    function: Callable[..., Estimate | Tensor]
    name: str
    version: int
    kind: Kind
    higher_is_better: bool | None
    unit: str | None
    bounds: tuple[float | None, float | None]
    sets: tuple[SetName, ...]
    needs_features: bool
    extractor: str | None
    equal_n: bool
    few: int
    needs_labels: bool
    protocol: str
    source: str

    def __post_init__(self) -> None:
        # A metric is shown by `help` and its examples are run by doctest as its function's.
        vars(self).update(
            __wrapped__=self.function,
            __doc__=self.function.__doc__,
            __module__=self.function.__module__,
        )

    @property
    def id(self) -> str:
        """`name@version`."""
        return f"{self.name}@{self.version}"

    def __call__(self, *sets: ImageSet | Tensor) -> Estimate | Tensor:
        """The value or the values of the function itself."""
        return self.function(*sets)


def metric(
    *,
    kind: Kind,
    higher_is_better: bool | None,
    name: str | None = None,
    version: int = 1,
    unit: str | None = None,
    bounds: tuple[float | None, float | None] = (None, None),
    sets: tuple[SetName, ...] = ("reference",),
    needs_features: bool = False,
    extractor: str | None = None,
    equal_n: bool = False,
    few: int = 0,
    needs_labels: bool = False,
    protocol: str = "",
    source: str = "",
) -> Callable[[Callable[..., Estimate | Tensor]], Metric]:
    """Make a metric of a function.

    Args:
        kind: what it is called with, see `Metric`.
        higher_is_better: None where neither direction is better by itself.
        name: the function's own name with `-` for `_` if not given.
        version: raised whenever a value can change.
        unit: of the value.
        bounds: the least and the greatest value that can occur.
        sets: what a set metric is called with after the generated images; ignored for others.
        needs_features: whether an extractor must have seen the images.
        extractor: the one extractor that this metric means, e.g. FID's. Without it, features are
            those of the task's extractor. A metric that asks its extractor itself, image chunk by
            image chunk, names it here and does not need features.
        equal_n: whether all sets must have the same size (nearest-neighbour metrics).
        few: with fewer images in any set, the value is marked.
        needs_labels: whether it would be another metric without the labels that were asked for.
        protocol: settings that a value depends on; compared literally.
        source: paper and equation, or library.

    Example:
        >>> @metric(kind="per-image", higher_is_better=None, source="mean grey level")
        ... def brightness(images):
        ...     return images.double().mean(dim=(1, 2, 3))
        >>> brightness.id
        'brightness@1'
    """

    def make(function: Callable[..., Estimate | Tensor]) -> Metric:
        own = cast(str, getattr(function, "__name__", "metric")).replace("_", "-")
        return Metric(
            function=function,
            name=name or own,
            version=version,
            kind=kind,
            higher_is_better=higher_is_better,
            unit=unit,
            bounds=bounds,
            sets=sets if kind == "set" else (),
            needs_features=needs_features,
            extractor=extractor or (TASK_EXTRACTOR if needs_features else None),
            equal_n=equal_n,
            few=few,
            needs_labels=needs_labels,
            protocol=protocol,
            source=source,
        )

    return make
