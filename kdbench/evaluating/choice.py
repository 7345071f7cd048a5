"""Which metrics are measured: those that are named, or those that fit what is given."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from kdbench import registry
from kdbench.errors import BadSpec
from kdbench.evaluating.generator_scores import GENERATOR
from kdbench.evaluating.material import LACKING, PARTNERS, Material, Registered
from kdbench.evaluating.question import BadQuestion, Question
from kdbench.generators.exported import PROGRAMS
from kdbench.metrics.base import TASK_EXTRACTOR, Metric, SetName, Use
from kdbench.metrics.features.base import shared_extractor
from kdbench.metrics.naming import parse_use, shared_metric
from kdbench.metrics.requested import requested_metrics
from kdbench.reading import Statistics
from kdbench.tasks.base import Task

INCEPTION = "inception-v3-compat"
"""Stands for an extractor where neither a task nor the user names one."""

PLANES = ("psnr", "ssim")
"""By a protocol of restoration."""
PIXELS = (*PLANES, "lpips-alex")
VISIBLE = (
    *("sharpness", "edge-energy", "contrast", "saturation", "colourfulness"),
    *("spectrum-slope", "texture-entropy", "texture-homogeneity"),
)
AGAINST_REAL = ("kid", "precision", "recall", "density", "coverage")
AGAINST_TEACHER = ("fd-teacher", "kid-teacher", "vendi-ratio", "feature-distance-ratio")
VARIETY = ("vendi", "feature-distance")


@dataclass(frozen=True)
class Wanted:
    """A metric that is to be measured."""

    use: Use
    listed: bool = False
    """Whether it is the task that says on how many images."""


def named_metrics(question: Question, registered: Registered) -> tuple[str, ...]:
    """The metrics that are asked for by name, checked before anything is read.

    Raises:
        UnknownName: there is no such metric, extractor or protocol.
        WeightsError: an extractor's weights are missing or damaged.
        BadQuestion: what a metric compares with is not given.
        BadSpec: a metric needs features, and there is no extractor.
    """
    found = requested_metrics(question.metrics, question.set_protocols)
    for name in found:
        use = parse_use(name, n=0)
        metric = shared_metric(use.metric)
        if metric.kind == "generator" and not _has_generator(question, registered):
            raise BadQuestion(f"{name} is measured of {GENERATOR}.")
        lacking = _lacking(metric, question, registered)
        if lacking:
            raise BadQuestion(f"{name} compares with {lacking}.")
        _in_features(use, question, registered.world)
    if question.extractor is not None:
        shared_extractor(registry.extractors.resolve(question.extractor))
    return found


def _has_generator(question: Question, registered: Registered) -> bool:
    """Whether the student is drawn from, and not read."""
    return registered.arm is not None or Path(question.student).suffix.lower() in PROGRAMS


def _lacking(metric: Metric, question: Question, registered: Registered) -> str | None:
    """What a metric needs and no option brings."""
    if metric.kind == "paired" and not (question.targets or question.teacher):
        return PARTNERS
    given: dict[SetName, object] = {
        "reference": question.reference or registered.task,
        "train": registered.world,
        "teacher": question.teacher,
        "teacher-again": question.teacher,
    }
    return next((LACKING[name] for name in metric.sets if not given[name]), None)


def wanted_metrics(
    named: tuple[str, ...], question: Question, material: Material
) -> tuple[Wanted, ...]:
    """What to measure, each once.

    Args:
        named: see `named_metrics`.
        question: what is asked.
        material: what there is.

    Raises:
        BadSpec: a metric needs features, and there is no extractor.
    """
    listed = material.task.uses if material.task else ()
    uses = [parse_use(name, n=0) for name in _names(named, question, material)]
    if not _is_narrow(question):
        uses = [*listed, *uses]
    known = {(use.metric, use.extractor): use for use in listed}
    found: dict[tuple[str, str | None], Wanted] = {}
    for use in uses:
        own = known.get((use.metric, use.extractor))
        placed = _in_features(own or use, question, material.world)
        found.setdefault((placed.metric, placed.extractor), Wanted(placed, own is not None))
    return tuple(found.values())


def _is_narrow(question: Question) -> bool:
    """Whether it is said what to measure."""
    return bool(question.metrics or question.protocols)


def _names(named: tuple[str, ...], question: Question, material: Material) -> list[str]:
    if question.restoration is not None and not question.metrics:
        return [*PLANES, *named]
    return list(named) if _is_narrow(question) else _fitting(question, material)


def _fitting(question: Question, material: Material) -> list[str]:
    """What says most of a student beside what is given; a task has its own list."""
    world = material.world
    features = question.extractor or (world.extractor if world else None)
    judge = (features or INCEPTION).partition("@")[0]
    names = list(PIXELS) if material.targets or (material.teacher and not material.task) else []
    if material.reference and not material.task:
        frechet = "fid" if judge == INCEPTION else f"fd[{judge}]"
        if isinstance(material.reference.given, Statistics):
            return [*names, frechet]
        names += [frechet, *_in(judge, AGAINST_REAL), *(f"{name}-distance" for name in VISIBLE)]
    if material.teacher and not material.task:
        names += _in(judge, AGAINST_TEACHER)
    if not (names or material.task):
        names = [*VISIBLE, *_in(judge, VARIETY)]
    return names


def _in(judge: str, names: tuple[str, ...]) -> list[str]:
    return [f"{name}[{judge}]" for name in names]


def _in_features(use: Use, question: Question, world: Task | None) -> Use:
    """A use in the extractor that was named for all metrics that leave it open."""
    if shared_metric(use.metric).extractor != TASK_EXTRACTOR or use.extractor is not None:
        return use
    if question.extractor is not None:
        return replace(use, extractor=registry.extractors.resolve(question.extractor))
    if world is None or world.extractor is None:
        name = use.metric.partition("@")[0]
        raise BadSpec(
            f"{use.metric} needs features: name an extractor, as in {name}[{INCEPTION}], or give "
            "--extractor (kdbench list extractors)."
        )
    return use
