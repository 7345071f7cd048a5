"""Metrics of what makes the student's images: they draw for themselves, from chosen latents."""

from __future__ import annotations

from dataclasses import replace

from kdbench.errors import BadSpec, NothingMeasured
from kdbench.evaluating.failed import refuse_failed
from kdbench.evaluating.found import Found
from kdbench.evaluating.material import Material
from kdbench.evaluating.references import HELD_OUT
from kdbench.metrics.base import Estimate, Metric
from kdbench.metrics.intervals import clipped

GENERATOR = (
    "a generator whose latents are known: give a program with --task, a checkpoint with --as, or a "
    "registered pair/arm, and no images"
)


def of_generator(metric: Metric, material: Material) -> Found:
    """One metric's value of the student, on pairs of the task's latents under the same labels.

    Raises:
        NothingMeasured: the student is images, or some of its images failed, or whatever keeps
            the metric from measuring.
        BadSpec: the metric's function does not give what its kind promises.
    """
    source, task = material.student.source, material.task
    if source is None or task is None:
        raise NothingMeasured(f"It is measured of {GENERATOR}.")
    refuse_failed(material.student.n_failed)
    start, end = source.inputs()
    estimate = metric.function(source.generator, start, end, source.chunk)
    if not isinstance(estimate, Estimate):
        raise BadSpec(f"{metric.id} is a generator metric and must return an Estimate.")
    if estimate.interval is not None:
        estimate = replace(estimate, interval=clipped(estimate.interval, metric.bounds))
    protocol = f"{task.id}, {HELD_OUT}, {len(start)} pairs of latents, {metric.protocol}"
    return Found(estimate, n=len(start), protocol=protocol)
