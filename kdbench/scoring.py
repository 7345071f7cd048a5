"""The third room of a run: every metric of the task from one pass over the images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType

from torch import Tensor

from kdbench import registry
from kdbench.errors import BadSpec, NothingMeasured
from kdbench.keys import score_key
from kdbench.metrics.base import Estimate, ImageSet, Metric, Use
from kdbench.metrics.features.base import Extractor
from kdbench.metrics.measure import extract, measure
from kdbench.record import Score
from kdbench.record import Split as SplitName
from kdbench.stages import Samples, shared_task
from kdbench.tasks.base import Task, sha256_of


@dataclass(frozen=True, eq=False)
class Targets:
    """The teacher's images from the same inputs, for paired metrics."""

    key: str
    """Sample key of the teacher's arm."""
    label: str
    """`pair/arm`."""
    images: Tensor


def score(
    task: Task,
    samples: Samples,
    *,
    targets: Targets | None,
    no_targets: str,
    extra: tuple[str, ...] = (),
    known: Mapping[str, Score] = MappingProxyType({}),
) -> list[Score]:
    """All scores of one run: every metric on the held-out split, the main one on both.

    Args:
        task: what is measured, on how many images.
        samples: the run's images.
        targets: the teacher's images from the same inputs; None where there is none.
        no_targets: why there are no targets, for the record.
        extra: metrics beyond those of the task, by name; each on all of the task's images.
        known: scores by key that need not be measured again.
    """
    main = registry.metrics.resolve(task.main)
    uses = [*task.uses, *(Use(registry.metrics.resolve(name), n=task.n) for name in extra)]
    wanted: list[tuple[SplitName, Use]] = [("held-out", use) for use in uses]
    wanted += [("validation", use) for use in uses if use.metric == main]
    scorer = _Scorer(task, samples, targets, no_targets)
    return [scorer.score(use, split, known) for split, use in wanted]


@dataclass(frozen=True, eq=False)
class _Scorer:
    """Measures one run's images; the extractor sees each split once."""

    task: Task
    samples: Samples
    targets: Targets | None
    no_targets: str
    _sets: dict[SplitName, ImageSet] = field(default_factory=dict)

    def score(self, use: Use, split: SplitName, known: Mapping[str, Score]) -> Score:
        metric = shared_metric(use.metric)
        reference = self._reference_id(metric, split)
        protocol = self._protocol(use, metric, split)
        extractor = shared_extractor(self.task.extractor).id if metric.needs_features else None
        key = score_key(
            metric,
            use,
            sample=self.samples.key,
            reference=reference,
            extractor=extractor,
            protocol=protocol,
        )
        if key in known:
            return known[key]
        estimate = self._estimate(metric, use, split)
        return Score(
            metric=metric.id,
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
            extractor=extractor,
            protocol=protocol,
            key=key,
            details=estimate.details,
        )

    def _estimate(self, metric: Metric, use: Use, split: SplitName) -> Estimate:
        """The value, or why there is none.

        Failed images void set metrics; they are never dropped or drawn again.
        """
        n_failed, of_sets = self.samples.n_failed[split], metric.kind == "set"
        if n_failed and of_sets:
            return Estimate(None, reason=f"{n_failed} images are not finite or are constant")
        if metric.kind == "paired" and self.targets is None:
            return Estimate(None, reason=self.no_targets)
        targets = self.targets.images if metric.kind == "paired" and self.targets else None
        try:
            return measure(
                metric,
                use=use,
                generated=self._set(split),
                reference=reference_set(self.task.id, split) if of_sets else None,
                targets=targets,
            )
        except NothingMeasured as error:
            return Estimate(None, reason=str(error))

    def _set(self, split: SplitName) -> ImageSet:
        if split not in self._sets:
            self._sets[split] = image_set(
                self.task, self.samples.images[split], self.samples.labels[split]
            )
        return self._sets[split]

    def _reference_id(self, metric: Metric, split: SplitName) -> str | None:
        if metric.kind == "set":
            return self.task.split(split).sha256
        if metric.kind == "paired" and self.targets is not None:
            return sha256_of(self.targets.images)
        return None

    def _n_reference(self, metric: Metric, use: Use, split: SplitName) -> int | None:
        if metric.kind != "set":
            return None
        return use.n if metric.equal_n else len(self.task.split(split))

    def _protocol(self, use: Use, metric: Metric, split: SplitName) -> str:
        blocks = f"{use.blocks}×" if use.blocks > 1 else ""
        parts = [self.task.id, split, f"{blocks}{use.n} images"]
        parts.append("uint8" if self.task.quantised else "float32")
        if metric.kind == "paired":
            parts.append("against the teacher's image of the same input")
        if metric.protocol:
            parts.append(metric.protocol)
        return ", ".join(parts)


def image_set(task: Task, images: Tensor, labels: Tensor) -> ImageSet:
    """Images with what the task's extractor says of them, where it has one."""
    if task.extractor is None:
        return ImageSet(images, labels)
    return extract(shared_extractor(task.extractor), images, labels)


@cache
def shared_metric(name: str) -> Metric:
    """A registered metric, checked to be one."""
    metric = registry.metrics.load(name)
    if not isinstance(metric, Metric):
        raise BadSpec(f"The metric {name!r} is not made with @kdbench.metric.")
    return metric


@cache
def shared_extractor(name: str | None) -> Extractor:
    """The task's evaluation extractor, loaded once for the whole process."""
    if name is None:
        raise BadSpec("A metric needs features and the task has no extractor.")
    extractor = registry.extractors.load(name)()
    if not isinstance(extractor, Extractor):
        raise BadSpec(f"The extractor {name!r} does not make a kdbench extractor.")
    return extractor


@cache
def reference_set(task_id: str, split: SplitName) -> ImageSet:
    """A split's real images with their features, computed once for the whole process."""
    task = shared_task(task_id)
    part = task.split(split)
    return image_set(task, part.images, part.labels)
