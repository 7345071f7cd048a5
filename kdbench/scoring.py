"""The third room of a run: every metric of the task from one pass over the images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property, partial
from pathlib import Path
from types import MappingProxyType

from torch import Tensor

from kdbench import registry
from kdbench.errors import NothingMeasured, WeightsError
from kdbench.keys import score_key
from kdbench.metrics.base import (
    PAIRED_SETS,
    TASK_EXTRACTOR,
    Estimate,
    ImageSet,
    Metric,
    SetName,
    Use,
)
from kdbench.metrics.cache import Cache
from kdbench.metrics.copies import copy_mark
from kdbench.metrics.features.base import Extractor, shared_extractor
from kdbench.metrics.image_sets import Images, ImageSets
from kdbench.metrics.measure import drawn, measure
from kdbench.metrics.naming import judge_of, measured_name, parse_use, shared_metric
from kdbench.metrics.nearest_images import closest_pairs
from kdbench.record import Score
from kdbench.record import Split as SplitName
from kdbench.spec import content_key
from kdbench.stages import Samples, shared_task
from kdbench.tasks.base import Task

REAL: frozenset[SetName] = frozenset({"reference", "train"})
"""Sets of which a part can stand for the whole."""

WORDS: dict[SetName, str] = {
    "reference": "the split's real images",
    "train": "the training images",
    "teacher": "the teacher's images of the same inputs",
    "teacher-again": "the teacher's images from other latents",
}


@dataclass(frozen=True, eq=False)
class Teacher:
    """The teacher's held-out images beside a run's own."""

    images: Tensor
    """From the run's own inputs."""
    labels: Tensor
    again: Callable[[], tuple[Tensor, Tensor]]
    """Draws images and labels from other latents, when a metric first asks for them."""

    @cached_property
    def beside(self) -> Images:
        """The images that belong to the run's own, seen once by each extractor."""
        return Images(self.images, self.labels)


def score(
    task: Task,
    samples: Samples,
    *,
    teacher: Teacher | None,
    no_teacher: str,
    extra: tuple[str, ...] = (),
    known: Mapping[str, Score] = MappingProxyType({}),
    features: Path | None = None,
) -> list[Score]:
    """All scores of one run: every metric on the held-out split, the main one on both.

    Args:
        task: what is measured, on how many images.
        samples: the run's images.
        teacher: the teacher's images; None where there is no teacher.
        no_teacher: why there is none, for the record.
        extra: metrics beyond those of the task, by name; each on all of the task's images.
        known: scores by key that need not be measured again.
        features: the folder that features are kept in.
    """
    main = registry.metrics.resolve(task.main)
    uses = _uses(task, extra)
    wanted: list[tuple[SplitName, Use]] = [("held-out", use) for use in uses]
    wanted += [("validation", use) for use in uses if use.metric == main]
    scorer = _Scorer(task, samples, teacher, no_teacher, Cache(features))
    return [scorer.score(use, split, known) for split, use in wanted]


def _uses(task: Task, extra: tuple[str, ...]) -> list[Use]:
    """The task's own uses, then those of metrics that it does not list itself."""
    uses = {(use.metric, use.extractor): use for use in task.uses}
    for name in extra:
        use = extra_use(task, name)
        uses.setdefault((use.metric, use.extractor), use)
    return list(uses.values())


def extra_use(task: Task, name: str) -> Use:
    """A metric on all of a task's images, in as many blocks as sets of equal size ask for."""
    use = parse_use(name, n=task.n)
    metric = shared_metric(use.metric)
    if not metric.equal_n or "reference" not in metric.sets:
        return use
    n = min(task.n, len(task.split("held-out")))
    return Use(use.metric, n=n, blocks=task.n // n, extractor=use.extractor)


@dataclass(frozen=True, eq=False)
class _Scorer:
    """Measures one run's images; each extractor sees each set once."""

    task: Task
    samples: Samples
    teacher: Teacher | None
    no_teacher: str
    cache: Cache
    _sets: dict[SplitName, ImageSets] = field(default_factory=dict)

    def score(self, use: Use, split: SplitName, known: Mapping[str, Score]) -> Score:
        metric = shared_metric(use.metric)
        estimate, extractor = self._extractor(metric, use)
        estimate = estimate or self._unmeasurable(metric, split)
        reference = None if estimate else self._reference_id(metric, split)
        judge = extractor.id if extractor else None
        protocol = self._protocol(use, metric, split)
        key = score_key(
            metric,
            use,
            sample=self.samples.key,
            reference=reference,
            extractor=judge,
            protocol=protocol,
        )
        if key in known and estimate is None:
            return known[key]
        estimate = estimate or self._measured(metric, use, split, extractor)
        return Score(
            metric=measured_name(metric, use),
            split=split,
            value=estimate.value,
            reason=estimate.reason,
            unit=metric.unit,
            higher_is_better=metric.higher_is_better,
            n=use.n * use.blocks,
            n_reference=self._n_reference(metric, use, split),
            n_failed=self.samples.n_failed[split],
            interval=estimate.interval,
            reference=reference,
            extractor=judge,
            protocol=protocol,
            key=key,
            details=estimate.details,
            marks=[*self._copies(metric, split, estimate), *estimate.marks],
        )

    def _copies(self, metric: Metric, split: SplitName, estimate: Estimate) -> tuple[str, ...]:
        if estimate.value is None or "reference" not in metric.sets:
            return ()
        sets = self._images(split)
        return copy_mark(sets.generated, sets.other("reference"))

    def _extractor(self, metric: Metric, use: Use) -> tuple[Estimate | None, Extractor | None]:
        """The metric's judge; or why nothing can be measured without its weights."""
        try:
            return None, judge_of(metric, use, default=self.task.extractor)
        except WeightsError as error:
            if metric.extractor == TASK_EXTRACTOR and use.extractor is None:
                raise
            return Estimate(None, reason=str(error)), None

    def _unmeasurable(self, metric: Metric, split: SplitName) -> Estimate | None:
        """Why there can be no value, whatever the metric would say.

        Failed images void every metric of images; they are never dropped or drawn again, and a
        mean over what stands in their place means nothing.
        """
        n_failed = self.samples.n_failed[split]
        if n_failed:
            return Estimate(None, reason=f"{n_failed} images are not finite or are constant")
        if self.teacher is None and _needs_teacher(metric):
            return Estimate(None, reason=self.no_teacher)
        return None

    def _measured(
        self, metric: Metric, use: Use, split: SplitName, extractor: Extractor | None
    ) -> Estimate:
        sets, seen = self._images(split), extractor if metric.needs_features else None
        try:
            generated, others = sets.of(metric.sets, seen)
            if metric.equal_n:
                others = {name: _fitting(use, name, one) for name, one in others.items()}
            targets = sets.targets_of(seen) if metric.kind == "paired" else None
            return measure(metric, use=use, generated=generated, others=others, targets=targets)
        except NothingMeasured as error:
            return Estimate(None, reason=str(error))

    def _images(self, split: SplitName) -> ImageSets:
        if split not in self._sets:
            generated = Images(self.samples.images[split], self.samples.labels[split])
            others: dict[SetName, Callable[[], Images]] = {
                "reference": partial(real_images, self.task.id, split),
                "train": partial(real_images, self.task.id, "train"),
            }
            if self.teacher is not None:
                teacher = self.teacher
                others["teacher"] = lambda: teacher.beside
                others["teacher-again"] = lambda: Images(*teacher.again())
            targets = self.teacher.beside if self.teacher else None
            self._sets[split] = ImageSets(generated, others, self.cache, targets)
        return self._sets[split]

    def _reference_id(self, metric: Metric, split: SplitName) -> str | None:
        """The hash of what is compared with; of several sets, the hash of their hashes."""
        sets = self._images(split)
        if metric.kind == "paired":
            return sets.targets.content if sets.targets else None
        found = [sets.other(name).sha256 for name in metric.sets]
        return content_key(found) if len(found) > 1 else next(iter(found), None)

    def _n_reference(self, metric: Metric, use: Use, split: SplitName) -> int | None:
        """Images of the first set that is compared with."""
        if not metric.sets:
            return None
        name = metric.sets[0]
        if metric.equal_n or name in PAIRED_SETS:
            return use.n
        if name == "teacher-again":
            return self.task.n
        return len(self.task.split("train" if name == "train" else split))

    def _protocol(self, use: Use, metric: Metric, split: SplitName) -> str:
        blocks = f"{use.blocks}×" if use.blocks > 1 else ""
        parts = [self.task.id, split, f"{blocks}{use.n} images"]
        parts.append("uint8" if self.task.quantised else "float32")
        if metric.kind == "paired":
            parts.append("against the teacher's image of the same input")
        if metric.sets not in ((), ("reference",)):
            parts.append("against " + " and ".join(WORDS[name] for name in metric.sets))
        if metric.equal_n and any(
            len(self.task.split(split if name == "reference" else name)) > use.n
            for name in REAL.intersection(metric.sets)
        ):
            parts.append(f"{use.n} real images drawn by label")
        if metric.protocol:
            parts.append(metric.protocol)
        return ", ".join(parts)


def _fitting(use: Use, name: SetName, images: ImageSet) -> ImageSet:
    """As many real images as a block of generated ones has."""
    return drawn(images, use.n) if name in REAL and len(images) > use.n else images


def _needs_teacher(metric: Metric) -> bool:
    return metric.kind == "paired" or any(name.startswith("teacher") for name in metric.sets)


@cache
def real_images(task_id: str, split: str) -> Images:
    """A split's real images, whose features are computed once for the whole process."""
    part = shared_task(task_id).split(split)
    return Images(part.images, part.labels, lasting=True)


def nearest_training_images(
    task: Task, samples: Samples, *, features: Path | None, count: int = 8
) -> tuple[Tensor, Tensor]:
    """The held-out images that lie closest to a training image, and those training images.

    Args:
        task: whose training split and extractor are meant.
        samples: the run's images, none of them failed.
        features: the folder that features are kept in.
        count: how many.

    Returns:
        Two tensors (count, C, H, W), uint8: image i of the second is the nearest of image i of
        the first.
    """
    kept = Cache(features)
    judge = shared_extractor(str(task.extractor))
    own = Images(samples.images["held-out"], samples.labels["held-out"]).seen_by(judge, kept)
    train = real_images(task.id, "train").seen_by(judge, kept)
    pairs = closest_pairs(own, train, count=count)
    return own.images[[p.generated for p in pairs]], train.images[[p.train for p in pairs]]


def image_set(task: Task, images: Tensor, labels: Tensor) -> ImageSet:
    """Images with what the task's extractor says of them, where it has one."""
    judge = shared_extractor(task.extractor) if task.extractor else None
    return Images(images, labels).seen_by(judge, Cache(None))


def reference_set(task_id: str, split: str) -> ImageSet:
    """A split's real images with what the task's extractor says of them."""
    task = shared_task(task_id)
    judge = shared_extractor(task.extractor) if task.extractor else None
    return real_images(task_id, split).seen_by(judge, Cache(None))
