"""The image sets of one measurement: each is seen once by each extractor."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from torch import Tensor

from kdbench.digest import sha256_of
from kdbench.metrics.base import ImageSet, SetName, Tensors
from kdbench.metrics.cache import Cache
from kdbench.metrics.features.base import Extractor
from kdbench.metrics.measure import extract


@dataclass(frozen=True, eq=False)
class Images:
    """Images with the labels they were asked for, and the views that extractors have of them."""

    images: Tensor
    """(N, C, H, W), uint8; points of the plane float32."""
    labels: Tensor
    """(N,), int64."""
    lasting: bool = False
    """Whether many generators are compared with these images, so that statistics are kept."""
    _views: dict[str, ImageSet] = field(default_factory=dict)

    @cached_property
    def sha256(self) -> str:
        """SHA-256 over images and labels."""
        return sha256_of(self.images, self.labels)

    @cached_property
    def content(self) -> str:
        """SHA-256 over the images alone, by which features are kept."""
        return sha256_of(self.images)

    @cached_property
    def digests(self) -> tuple[bytes, ...]:
        """SHA-256 of each image, in their order."""
        return tuple(
            hashlib.sha256(image.contiguous().numpy().tobytes()).digest() for image in self.images
        )

    def seen_by(self, extractor: Extractor | None, cache: Cache) -> ImageSet:
        """These images with an extractor's features, computed once."""
        name = extractor.id if extractor else ""
        if name not in self._views:
            self._views[name] = self._view(extractor, cache)
        return self._views[name]

    def _view(self, extractor: Extractor | None, cache: Cache) -> ImageSet:
        judge = extractor.id if extractor else ""

        def keep(name: str, make: Callable[[], Tensors]) -> Tensors:
            return cache.tensors(name, self.sha256, judge, make=make)

        seen = self._features(extractor, cache) if extractor else {}
        return ImageSet(
            self.images,
            self.labels,
            seen.get("features"),
            seen.get("logits"),
            keep if self.lasting and cache.folder else None,
        )

    def _features(self, extractor: Extractor, cache: Cache) -> Tensors:
        def make() -> Tensors:
            seen = extract(extractor, self.images, self.labels, chunk=extractor.at_once)
            found = {"features": seen.features, "logits": seen.logits}
            return {name: tensor for name, tensor in found.items() if tensor is not None}

        if cache.folder is None:  # then nobody needs the hash of all images
            return make()
        return cache.tensors("features", self.content, extractor.id, make=make)


@dataclass(frozen=True, eq=False)
class ImageSets:
    """What was generated, and everything that it can be compared with."""

    generated: Images
    others: Mapping[SetName, Callable[[], Images]]
    """Made when a metric first asks for them."""
    cache: Cache = field(default_factory=lambda: Cache(None))
    targets: Images | None = None
    """What belongs to each generated image."""
    _made: dict[SetName, Images] = field(default_factory=dict)

    def other(self, name: SetName) -> Images:
        """What `name` stands for.

        Raises:
            KeyError: there is no such set here.
        """
        if name not in self._made:
            self._made[name] = self.others[name]()
        return self._made[name]

    def of(
        self, names: tuple[SetName, ...], extractor: Extractor | None
    ) -> tuple[ImageSet, dict[SetName, ImageSet]]:
        """The generated images and some others as one extractor sees them; None: no features."""
        return self.generated.seen_by(extractor, self.cache), {
            name: self.other(name).seen_by(extractor, self.cache) for name in names
        }

    def targets_of(self, extractor: Extractor | None) -> ImageSet | None:
        """The targets as one extractor sees them."""
        return self.targets.seen_by(extractor, self.cache) if self.targets else None
