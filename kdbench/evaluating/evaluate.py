"""One evaluation from beginning to end: choose, read or draw, measure, write down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from kdbench.errors import NothingMeasured, WeightsError
from kdbench.evaluating.choice import Wanted, named_metrics, wanted_metrics
from kdbench.evaluating.evaluation import Evaluation, EvaluationScore
from kdbench.evaluating.found import Found
from kdbench.evaluating.generator_scores import of_generator
from kdbench.evaluating.image_scores import ImageScores
from kdbench.evaluating.material import Material, gather, look_up
from kdbench.evaluating.question import Question
from kdbench.evaluating.set_scores import SetScores
from kdbench.evaluating.written import written
from kdbench.metrics.base import Estimate, Metric
from kdbench.metrics.cache import Cache
from kdbench.metrics.features.base import Extractor
from kdbench.metrics.naming import judge_of, measured_name, shared_metric
from kdbench.reading import BadImages
from kdbench.stages import Progress


def _silent(stage: str, done: int, total: int) -> None:
    """No progress is shown."""


def evaluate(
    student: str | Path,
    *,
    reference: str | Path | None = None,
    targets: str | Path | None = None,
    teacher: str | Path | None = None,
    task: str | None = None,
    arm: str | None = None,
    teacher_arm: str | None = None,
    metrics: Sequence[str] = (),
    protocols: Sequence[str] = (),
    crop: int | None = None,
    extractor: str | None = None,
    seed: int | None = None,
    cache: Path | None = None,
) -> Evaluation:
    """Measure images, or what makes them, against what they should be.

    Loading an exported program is running it.

    Args:
        student: a folder, an image, an `.npz` or `.npy` batch, a checkpoint of a registered
            network (with `arm`), an exported program (with `task`), or a registered `pair/arm`.
        reference: what the set should be like: a folder, a batch, statistics, or a task's name.
        targets: what each image should be, by file name.
        teacher: as `student`; its image of the same input or of the same name is compared with.
        task: whose inputs are drawn from and whose held-out images are the reference.
        arm: `pair/arm` of a checkpoint that is the student.
        teacher_arm: the same of the teacher.
        metrics: names, `fd[extractor]`; by default what fits what is given.
        protocols: `matlab-y`, `ntire` or `rgb` for pairs; other libraries' for sets.
        crop: pixels that a protocol for pairs cuts from each side.
        extractor: stands for the task's.
        seed: which replicate of the task's inputs images are drawn from; 0 by default.
        cache: a folder that keeps features between calls.

    Raises:
        KdbenchError: something cannot be read or does not fit; what cannot be measured is a score
            without a value and with the reason.

    Example:
        >>> found = evaluate("digits-gan-teacher/teacher", metrics=["class-accuracy"])
        >>> found.task, found.scores[0].n, found.scores[0].value > 0.8
        ('digits@1', 1000, True)
    """
    question = Question(
        student=str(student),
        reference=None if reference is None else str(reference),
        targets=None if targets is None else str(targets),
        teacher=None if teacher is None else str(teacher),
        task=task,
        arm=arm,
        teacher_arm=teacher_arm,
        metrics=tuple(metrics),
        protocols=tuple(protocols),
        crop=crop,
        extractor=extractor,
        seed=seed,
    )
    return answer(question, cache=cache)


def answer(
    question: Question, *, progress: Progress = _silent, cache: Path | None = None
) -> Evaluation:
    """What `evaluate` gives, of one question.

    Args:
        question: what is asked.
        progress: told of what is read, drawn and measured.
        cache: a folder that keeps features between calls.
    """
    registered = look_up(question)
    question.check(has_task=registered.task is not None, draws=registered.draws(question))
    named = named_metrics(question, registered)
    material = gather(question, registered, progress=progress)
    wanted = wanted_metrics(named, question, material)
    measurer = _Measurer(
        material,
        SetScores(material, Cache(cache), progress),
        ImageScores(material, question.restoration, question.crop, Cache(cache), progress),
    )
    scores, numbers = [], {}
    for i, one in enumerate(wanted):
        progress("measuring", i, len(wanted))
        score, values = measurer.score(one)
        scores.append(score)
        if values is not None:
            numbers[score.metric] = values.tolist()
    progress("measuring", len(wanted), len(wanted))
    kinds = {shared_metric(one.use.metric).kind for one in wanted}
    return written(question, material, scores, numbers, kinds)


@dataclass(frozen=True, eq=False)
class _Measurer:
    """Measures metric by metric; what cannot be measured gets a reason."""

    material: Material
    sets: SetScores
    images: ImageScores

    def score(self, wanted: Wanted) -> tuple[EvaluationScore, Tensor | None]:
        """One score, and the numbers of each image where there are some."""
        metric = shared_metric(wanted.use.metric)
        judge: Extractor | None = None
        try:
            judge = judge_of(metric, wanted.use, default=self._extractor)
            found = self._found(metric, wanted, judge)
        except (NothingMeasured, BadImages, WeightsError) as error:
            found = self._nothing(metric, str(error))
        except (RuntimeError, ValueError, IndexError) as error:  # images it was not made for
            found = self._nothing(metric, f"It failed on these images: {error}")
        estimate = found.estimate
        score = EvaluationScore(
            metric=measured_name(metric, wanted.use),
            value=estimate.value,
            reason=estimate.reason,
            unit=metric.unit,
            higher_is_better=metric.higher_is_better,
            n=found.n,
            n_reference=found.n_reference,
            interval=estimate.interval,
            reference=found.reference,
            extractor=judge.id if judge else None,
            protocol=found.protocol,
            details=estimate.details,
            marks=list(estimate.marks),
        )
        return score, found.values

    def _nothing(self, metric: Metric, reason: str) -> Found:
        n = len(self.material.student.read)
        return Found(Estimate(None, reason=reason), n, protocol=metric.protocol)

    @property
    def _extractor(self) -> str | None:
        return self.material.world.extractor if self.material.world else None

    def _found(self, metric: Metric, wanted: Wanted, judge: Extractor | None) -> Found:
        if metric.kind == "generator":
            return of_generator(metric, self.material)
        if metric.kind == "set":
            return self.sets.found(metric, wanted, judge)
        return self.images.found(metric, judge)
