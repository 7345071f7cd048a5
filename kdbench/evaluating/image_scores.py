"""Metrics of single images and of pairs: one number each, then their mean."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

from torch import Tensor

from kdbench.errors import NothingMeasured
from kdbench.evaluating.failed import OF_TEACHER, failures, refuse_failed
from kdbench.evaluating.few_at_a_time import Side, alike, numbers, strangers_by_size
from kdbench.evaluating.found import Found
from kdbench.evaluating.material import PARTNERS, Material
from kdbench.evaluating.pair_remarks import alone_mark, cap_mark, equal_mark, equal_pairs
from kdbench.evaluating.partners import Partners
from kdbench.evaluating.references import HELD_OUT
from kdbench.evaluating.sides import Sides, Whose
from kdbench.metrics.base import Estimate, Metric
from kdbench.metrics.cache import Cache
from kdbench.metrics.features.base import Extractor
from kdbench.metrics.per_image import mean_interval, over_images
from kdbench.metrics.restoration import RestorationProtocol
from kdbench.stages import Progress

AGAINST = {
    "target": "against the target of the same name",
    "teacher": "against the teacher's image of the same input",
}

UNCUT = "nothing was cut; papers cut the factor of super-resolution"


@dataclass(frozen=True, eq=False)
class ImageScores:
    """Measures the images of one evaluation one by one."""

    material: Material
    restoration: RestorationProtocol | None
    crop: int | None
    """Pixels to cut from each side; None where nobody said."""
    cache: Cache
    progress: Progress

    def found(self, metric: Metric, judge: Extractor | None) -> Found:
        """One metric's mean with its interval, and the number of each image.

        Raises:
            NothingMeasured: there are no partners, images failed, or whatever keeps the metric
                from measuring.
        """
        refuse_failed(self.material.student.n_failed)
        others = self.material.compared if metric.kind == "paired" else None
        if metric.kind == "paired" and others is None:
            raise NothingMeasured(f"It compares with {PARTNERS}.")
        if others is None:
            values = self._numbers(metric, judge, "student")
            estimate = over_images(metric, values)
        else:
            values, estimate = self._compared(metric, judge)
        return Found(
            estimate,
            n=len(values),
            n_reference=len(values) if others else None,
            reference=others.sha256 if others else None,
            protocol=self._protocol(metric, len(values)),
            values=values,
        )

    @cached_property
    def _sides(self) -> Sides:
        return Sides(self.material, self.cache, self.progress)

    def _compared(self, metric: Metric, judge: Extractor | None) -> tuple[Tensor, Estimate]:
        """The number of each pair, and their mean beside shuffled pairs and the teacher's."""
        if self.material.targets is None:
            refuse_failed(self._failed_teachers, OF_TEACHER)
        values = self._numbers(metric, judge, "paired", "partner")
        shuffled = self._shuffled(metric, judge)
        estimate = over_images(metric, values, shuffled=shuffled)
        marks = [*estimate.marks, *equal_mark(self._equal, len(values)), *cap_mark(metric, values)]
        marks += alone_mark(len(values) - len(shuffled), len(values))
        if self._failed_teachers:
            marks.append(f"no teacher beside it: {failures(self._failed_teachers, OF_TEACHER)}")
        elif "teacher" in self._sides.images:
            teachers = self._numbers(metric, judge, "teacher", "partner")
            estimate = beside_teacher(estimate, values, teachers)
            marks += [f"teacher: {mark}" for mark in cap_mark(metric, teachers)]
        if self.restoration is not None and self.crop is None:
            marks.insert(0, UNCUT)
        return values, replace(estimate, marks=tuple(marks))

    @property
    def _failed_teachers(self) -> int:
        return self.material.teacher.n_failed if self.material.teacher else 0

    @cached_property
    def _equal(self) -> int:
        """Pairs that have the same pixels, whatever is measured of them."""
        return equal_pairs(self._sides.images["paired"], self._sides.images["partner"])

    def _numbers(self, metric: Metric, judge: Extractor | None, *whose: Whose) -> Tensor:
        sides = [self._side(one, metric, judge) for one in whose]
        return numbers(metric, sides, self._view(metric))

    def _shuffled(self, metric: Metric, judge: Extractor | None) -> Tensor:
        """The numbers of pairs that do not belong together; fewer where images have no other."""
        own, other = (self._side(whose, metric, judge) for whose in ("paired", "partner"))
        places, strangers = strangers_by_size(self._sides.images["paired"])
        mixed = [own[i] for i in places], [other[i] for i in strangers]
        return numbers(metric, alike(*mixed), self._view(metric))

    def _side(self, whose: Whose, metric: Metric, judge: Extractor | None) -> Side:
        if judge is None or not metric.needs_features:
            return self._sides.images[whose]
        if metric.kind == "paired" and self.restoration is not None:
            raise NothingMeasured(f"{metric.id} is of whole images, not of a protocol's planes.")
        return self._sides.features(whose, judge)

    def _view(self, metric: Metric) -> Callable[[Tensor], Tensor]:
        """What is measured of images."""
        protocol, crop = self.restoration, self.crop or 0
        if protocol is None or metric.kind != "paired":
            return lambda images: images
        return lambda images: protocol.planes(images, crop)

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
            parts += self._widened(compared)
        if planes is not None:
            parts.append(
                f"{planes.name} ({planes.settings}), {self.crop or 0} pixels cut on each side"
            )
            own = own.removeprefix("uint8, ")  # of images, and these are planes
        return ", ".join([*parts, *([own] if own else [])])

    def _widened(self, compared: Partners) -> list[str]:
        """Pairs that are another comparison beside this teacher than without it."""
        n = len(self.material.in_colour - compared.pairs.widened)
        return [f"{n:,} of them grey in three channels as the teacher's are"] if n else []


def beside_teacher(estimate: Estimate, values: Tensor, teachers: Tensor) -> Estimate:
    """A student's mean with its teacher's against the same targets, and the difference.

    `difference` is student minus teacher; `difference_low` and `difference_high` are the ends of
    `mean_interval` over the differences of single images, so that what makes an image hard for
    both drops out.

    Args:
        estimate: of the student.
        values: (N,), the student's numbers.
        teachers: (N,), the teacher's of the same images.
    """
    if estimate.value is None or not teachers.isfinite().all():
        return estimate
    differences = (values - teachers).numpy()
    more: dict[str, float | None] = {
        "teacher": float(teachers.mean()),
        "difference": float(differences.mean()),
    }
    if len(differences) > 1:
        found = mean_interval(differences)
        more |= {"difference_low": found.low, "difference_high": found.high}
    return replace(estimate, details={**estimate.details, **more})
