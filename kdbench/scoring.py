"""The third room of a run: every metric of the task from one pass over the images."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

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
    known: dict[str, Score] | None = None,
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
    known = known or {}
    main = registry.metrics.resolve(task.main)
    uses = [*task.uses, *(Use(registry.metrics.resolve(name), n=task.n) for name in extra)]
    wanted: list[tuple[SplitName, Use]] = [("held-out", use) for use in uses]
    wanted += [("validation", use) for use in uses if use.metric == main]
    sets: dict[SplitName, ImageSet] = {}
    scores = []
    for split, use in wanted:
        metric = shared_metric(use.metric)
        paired = metric.kind == "paired"
        reference = _reference_id(task, metric, split, targets)
        protocol = _protocol(task, use, metric, split)
        extractor = shared_extractor(task.extractor).id if metric.needs_features else None
        key = score_key(
            metric,
            use,
            sample=samples.key,
            reference=reference,
            extractor=extractor,
            protocol=protocol,
        )
        if key in known:
            scores.append(known[key])
            continue
        estimate = _void(samples.n_failed[split], metric)
        if estimate is None and paired and targets is None:
            estimate = Estimate(None, reason=no_targets)
        if estimate is None:
            if split not in sets:
                sets[split] = _image_set(task, samples, split)
            try:
                estimate = measure(
                    metric,
                    use=use,
                    generated=sets[split],
                    reference=reference_set(task.id, split) if metric.kind == "set" else None,
                    targets=targets.images if paired and targets else None,
                )
            except NothingMeasured as error:
                estimate = Estimate(None, reason=str(error))
        n_reference = len(task.split(split)) if metric.kind == "set" else None
        scores.append(
            Score(
                metric=metric.id,
                split=split,
                value=estimate.value,
                reason=estimate.reason,
                unit=metric.unit,
                higher_is_better=metric.higher_is_better,
                n=use.n * use.blocks,
                n_reference=use.n if metric.equal_n else n_reference,
                n_failed=samples.n_failed[split],
                interval=estimate.interval,
                reference=reference,
                extractor=extractor,
                protocol=protocol,
                key=key,
                details=estimate.details,
            )
        )
    return scores


def _reference_id(
    task: Task, metric: Metric, split: SplitName, targets: Targets | None
) -> str | None:
    if metric.kind == "set":
        return task.split(split).sha256
    return sha256_of(targets.images) if metric.kind == "paired" and targets else None


def _protocol(task: Task, use: Use, metric: Metric, split: SplitName) -> str:
    parts = [
        task.id,
        split,
        f"{use.blocks}×{use.n} images" if use.blocks > 1 else f"{use.n} images",
    ]
    parts.append("uint8" if task.quantised else "float32")
    if metric.kind == "paired":
        parts.append("against the teacher's image of the same input")
    if metric.protocol:
        parts.append(metric.protocol)
    return ", ".join(parts)


def _void(n_failed: int, metric: Metric) -> Estimate | None:
    """Failed images void set metrics; they are never dropped or drawn again."""
    if n_failed and metric.kind == "set":
        return Estimate(None, reason=f"{n_failed} images are not finite or are constant")
    return None


def _image_set(task: Task, samples: Samples, split: SplitName) -> ImageSet:
    images, labels = samples.images[split], samples.labels[split]
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
    if task.extractor is None:
        return ImageSet(part.images, part.labels)
    return extract(shared_extractor(task.extractor), part.images, part.labels)
