"""Metrics of single images and of pairs: one number each, then their mean."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from kdbench.errors import NothingMeasured
from kdbench.evaluating.found import Found
from kdbench.evaluating.material import PARTNERS, Material
from kdbench.evaluating.partners import OneSize, paired, singles
from kdbench.evaluating.references import HELD_OUT
from kdbench.evaluating.watched import watched
from kdbench.metrics.base import Estimate, ImageSet, Metric
from kdbench.metrics.cache import Cache
from kdbench.metrics.features.base import Extractor
from kdbench.metrics.image_sets import Images
from kdbench.metrics.per_image import image_values, over_images, shuffled_values
from kdbench.metrics.restoration import RestorationProtocol
from kdbench.stages import Progress

AGAINST = {
    "target": "against the target of the same name",
    "teacher": "against the teacher's image of the same input",
}

UNCUT = "nothing was cut; papers cut the factor of super-resolution"


@dataclass(frozen=True, eq=False)
class ImageScores:
    """Measures the images of one evaluation one by one; those of one size together."""

    material: Material
    restoration: RestorationProtocol | None
    crop: int | None
    """Pixels to cut from each side; None where nobody said."""
    cache: Cache
    progress: Progress

    def found(self, metric: Metric, judge: Extractor | None) -> Found:
        """One metric's mean with its interval, and the number of each image.

        Raises:
            NothingMeasured: there are no partners, or whatever keeps the metric from measuring.
        """
        compared = self.material.compared
        if metric.kind == "paired" and compared is None:
            raise NothingMeasured(f"It compares with {PARTNERS}.")
        groups = self._pairs if metric.kind == "paired" else self._singles
        values, shuffled = self._values(metric, groups, judge)
        others = compared if metric.kind == "paired" else None
        estimate = mean_of(metric, values, shuffled)
        if others and self._of_teacher and estimate.value is not None:
            teachers, _ = self._values(metric, self._of_teacher, judge)
            estimate = beside_teacher(estimate, float(teachers.mean()))
        if others and self.restoration is not None and self.crop is None:
            estimate = replace(estimate, marks=(UNCUT, *estimate.marks))
        return Found(
            estimate,
            n=len(values),
            n_reference=len(values) if others else None,
            reference=others.sha256 if others else None,
            protocol=self._protocol(metric, len(values)),
            values=values,
        )

    @cached_property
    def _singles(self) -> list[OneSize]:
        return singles(self.material.student.read)

    @cached_property
    def _pairs(self) -> list[OneSize]:
        compared = self.material.compared
        return compared.by_size(self.restoration, self.crop or 0) if compared else []

    @cached_property
    def _of_teacher(self) -> list[OneSize]:
        """The teacher's images with the targets, where both are given."""
        targets, beside = self.material.targets, self.material.beside
        if targets is None or beside is None:
            return []
        own, due = beside.pairs.targets, targets.pairs.targets
        return paired(own, due, "target").by_size(self.restoration, self.crop or 0)

    def _values(
        self, metric: Metric, groups: list[OneSize], judge: Extractor | None
    ) -> tuple[Tensor, Tensor]:
        """(N,) numbers, and as many of pairs that do not belong together where all have some."""
        values = torch.empty(len(self.material.student.read), dtype=torch.float64)
        others = []
        for group in groups:
            own = self._seen(group.own, metric, judge)
            other = self._seen(group.other, metric, judge) if group.other else None
            values[group.places] = image_values(metric, own, other).double().cpu()
            if other is not None:
                others.append(shuffled_values(metric, own, other).double().cpu())
        return values, torch.cat(others) if others else torch.empty(0)

    def _seen(self, images: Images, metric: Metric, judge: Extractor | None) -> ImageSet:
        if judge is None or not metric.needs_features:
            return images.seen_by(None, self.cache)
        if images.images.dtype != torch.uint8:
            raise NothingMeasured(f"{metric.id} is of whole images, not of a protocol's planes.")
        told = watched(judge, "pairs", len(images.images), progress=self.progress)
        return images.seen_by(told, self.cache)

    def _protocol(self, metric: Metric, n: int) -> str:
        task, compared, own = self.material.task, self.material.compared, metric.protocol
        parts = [f"{n} images"]
        if self.material.student.drawn and task is not None:
            parts = [task.id, HELD_OUT, *parts]
        planes = self.restoration if metric.kind == "paired" else None
        if planes is None:
            parts.append("uint8" if task is None or task.quantised else "float32")
        if metric.kind == "paired" and compared is not None:
            parts.append(AGAINST[compared.role])
        if planes is not None:
            parts.append(
                f"{planes.name} ({planes.settings}), {self.crop or 0} pixels cut on each side"
            )
            own = own.removeprefix("uint8, ")  # of images, and these are planes
        return ", ".join([*parts, *([own] if own else [])])


def beside_teacher(estimate: Estimate, teacher: float) -> Estimate:
    """A student's mean with its teacher's against the same targets, and the difference."""
    if estimate.value is None or not math.isfinite(teacher):
        return estimate
    more = {"teacher": teacher, "difference": estimate.value - teacher}
    return replace(estimate, details={**estimate.details, **more})


def mean_of(metric: Metric, values: Tensor, shuffled: Tensor) -> Estimate:
    """The mean over images; of one image its value, which has no interval."""
    estimate = over_images(metric, values, shuffled=shuffled if len(shuffled) else None)
    if len(values) > 1 or estimate.value is None:
        return estimate
    return replace(estimate, interval=None, reason="No interval: it is one image.")
