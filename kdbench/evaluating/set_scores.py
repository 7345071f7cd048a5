"""Metrics of sets: the student's images against the reference, the training images, the teacher."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from kdbench.errors import NothingMeasured
from kdbench.evaluating.choice import Wanted
from kdbench.evaluating.failed import OF_TEACHER, constant_mark, refuse_failed
from kdbench.evaluating.found import Found
from kdbench.evaluating.labels import check_labels
from kdbench.evaluating.material import Material
from kdbench.evaluating.mixed_sizes import over_sizes
from kdbench.evaluating.references import HELD_OUT
from kdbench.evaluating.statistics_distance import FRECHET, distance_to
from kdbench.evaluating.watched import watched
from kdbench.metrics.base import PAIRED_SETS, ImageSet, Metric, SetName, Use
from kdbench.metrics.cache import Cache
from kdbench.metrics.copies import copy_mark
from kdbench.metrics.features.base import Extractor
from kdbench.metrics.image_sets import Images
from kdbench.metrics.intervals import clipped
from kdbench.metrics.measure import measure
from kdbench.metrics.remembered import remembered
from kdbench.reading import Statistics
from kdbench.scoring import WORDS
from kdbench.seeds import seed
from kdbench.spec import content_key
from kdbench.stages import Progress

OUTSIDE: dict[SetName, str] = {
    **WORDS,
    "reference": "the reference images",
    "train": "the training images of the task",
}


@dataclass(frozen=True, eq=False)
class SetScores:
    """Measures sets of one evaluation; each extractor sees each set once."""

    material: Material
    cache: Cache
    progress: Progress

    def found(self, metric: Metric, wanted: Wanted, judge: Extractor | None) -> Found:
        """One metric's value.

        Raises:
            NothingMeasured: there is none.
            BadImages: sizes of images differ.
        """
        student, reference = self.material.student, self.material.reference
        refuse_failed(student.n_failed)
        given = reference.given if reference else None
        if isinstance(given, Statistics) and "reference" in metric.sets:
            found = self._to_statistics(metric, given, judge)
        else:
            mixed = over_sizes(metric, self.material)
            found = mixed or self._between(metric, wanted, judge)
        marks = (*self._constant(metric), *found.estimate.marks)
        return replace(found, estimate=replace(found.estimate, marks=marks))

    def _constant(self, metric: Metric) -> tuple[str, ...]:
        """Marks of images that were read, where a generator's would be failures."""
        teacher = self.material.teacher if "teacher" in metric.sets else None
        beside = constant_mark(teacher.constant, OF_TEACHER) if teacher else ()
        return (*constant_mark(self.material.student.constant), *beside)

    def _between(self, metric: Metric, wanted: Wanted, judge: Extractor | None) -> Found:
        generated = self.material.generated
        others = {name: self.material.set_of(name) for name in metric.sets}
        sizes = {name: len(images.images) for name, images in others.items()}
        check_labels(metric, self.material.student.read, self.material.reference)
        use, mark = fitted(metric, wanted, len(generated.images), sizes)
        sets = {name: self._seen(images, name, metric, judge) for name, images in others.items()}
        seen = self._seen(generated, "student", metric, judge)
        cut = not self.material.in_task and is_cut(metric, use, len(seen), sizes)
        if cut:
            n = len(seen)
            seen = _shuffled(seen, n)
            for name in sets:
                if is_sized(metric, name):
                    sets[name] = _shuffled(sets[name], n if sizes[name] == n else use.n)
        estimate = measure(metric, use=use, generated=seen, others=sets)
        copies = copy_mark(generated, others["reference"]) if "reference" in others else ()
        marked = replace(estimate, marks=(*mark, *copies, *estimate.marks))
        hashes = [images.sha256 for images in others.values()]
        return Found(
            marked,
            n=use.n * use.blocks,
            n_reference=self._n_reference(metric, use, sizes),
            reference=content_key(hashes) if len(hashes) > 1 else next(iter(hashes), None),
            protocol=self._protocol(metric, use, cut=cut),
        )

    def _seen(
        self, images: Images, whose: str, metric: Metric, judge: Extractor | None
    ) -> ImageSet:
        if judge is None or not metric.needs_features:
            return images.seen_by(None, self.cache)
        told = watched(judge, whose, len(images.images), progress=self.progress)
        return images.seen_by(told, self.cache)

    def _to_statistics(self, metric: Metric, given: Statistics, judge: Extractor | None) -> Found:
        if metric.id not in FRECHET or judge is None:
            raise NothingMeasured("The reference is statistics, which only Fréchet distances take.")
        seen = self._seen(self.material.generated, "student", metric, judge)
        estimate = distance_to(given, seen, judge=judge, few=FRECHET[metric.id])
        if estimate.interval is not None:
            estimate = replace(estimate, interval=clipped(estimate.interval, metric.bounds))
        assert self.material.reference is not None
        said = f"against statistics as {given.origin} writes them, jackknife of the images alone"
        protocol = ", ".join([f"{len(seen)} images", "uint8", said, metric.protocol])
        return Found(estimate, len(seen), given.n, self.material.reference.sha256, protocol)

    def _n_reference(self, metric: Metric, use: Use, sizes: dict[SetName, int]) -> int | None:
        """Images of the first set that is compared with."""
        if not metric.sets:
            return None
        return use.n if is_sized(metric, metric.sets[0]) else sizes[metric.sets[0]]

    def _protocol(self, metric: Metric, use: Use, *, cut: bool) -> str:
        task, blocks = self.material.task, f"{use.blocks}×" if use.blocks > 1 else ""
        inside = self.material.in_task and task is not None
        parts = [task.id, HELD_OUT] if inside and task else []
        parts.append(f"{blocks}{use.n} images")
        parts.append("uint8" if task is None or task.quantised else "float32")
        if cut:
            parts.append("drawn in a fixed order from all there are")
        words = WORDS if inside else OUTSIDE
        if metric.sets not in ((), ("reference",)):
            parts.append("against " + " and ".join(words[name] for name in metric.sets))
        return ", ".join([*parts, *([metric.protocol] if metric.protocol else [])])


def is_sized(metric: Metric, name: SetName) -> bool:
    """Whether as many images of a set enter as of the student's."""
    return metric.equal_n or name in PAIRED_SETS


def is_cut(metric: Metric, use: Use, n: int, sizes: dict[SetName, int]) -> bool:
    """Whether not all images enter, or not at once."""
    left_out = any(size > use.n for name, size in sizes.items() if is_sized(metric, name))
    return use.blocks > 1 or use.n < n or left_out


def fitted(
    metric: Metric, wanted: Wanted, n: int, sizes: dict[SetName, int]
) -> tuple[Use, tuple[str, ...]]:
    """On how many images a metric is measured, in how many blocks; and what to know of it.

    The task's own numbers, if there are as many images; otherwise all of them, where sets must be
    of one size in as many blocks as the smallest has room for.

    Args:
        metric: which.
        wanted: and how.
        n: images of the student.
        sizes: of the sets that it is compared with.
    """
    use = wanted.use
    least = min([n, *sizes.values()]) if metric.equal_n else n
    if wanted.listed and use.n * use.blocks <= n and use.n <= least:
        return use, ()
    fit = replace(use, n=least, blocks=max(1, n // max(least, 1)))
    mark = f"measured on {fit.blocks}×{fit.n:,} images, by the task on {use.blocks}×{use.n:,}"
    return fit, (mark,) if wanted.listed else ()


@remembered
def _shuffled(images: ImageSet, n: int) -> ImageSet:
    """The first n images in an order that depends on the size of the set alone.

    Files are often sorted by class, so that the first of them stand for few classes only.
    """
    draw = torch.Generator().manual_seed(seed("evaluated", len(images)))
    order = torch.randperm(len(images), generator=draw)[:n]
    return ImageSet(
        images.images[order],
        images.labels[order],
        None if images.features is None else images.features[order],
        None if images.logits is None else images.logits[order],
    )
