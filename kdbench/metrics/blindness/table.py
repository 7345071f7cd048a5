"""How far each failure moves each metric, in standard deviations of a faultless generator."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from kdbench.errors import NothingMeasured
from kdbench.metrics.base import ImageSet, Metric, SetName, Use
from kdbench.metrics.blindness.mixture import FAILURES, Failure, asked, seen, training, truth
from kdbench.metrics.measure import measure
from kdbench.seeds import seed

N = 2000
"""Points a set."""
NULL_DRAWS = 20
"""Draws of a faultless generator: their standard deviation is known to about 16 %."""
DRAWS = 5
"""Draws of each failure, averaged."""
BLIND = 3.0
"""Below this many standard deviations a failure is not seen."""


@dataclass(frozen=True)
class Response:
    """What one metric says of every failure."""

    metric: str
    higher_is_better: bool | None
    null_mean: float
    null_sd: float
    shifts: Mapping[str, float]
    """Mean shift by failure, in null standard deviations; infinite where the null has none."""

    def is_blind(self, failure: str) -> bool:
        """Whether the failure moves the metric by less than `BLIND` standard deviations."""
        return abs(self.shifts[failure]) < BLIND

    def is_misled(self, failure: str) -> bool:
        """Whether the failure looks like an improvement."""
        if self.higher_is_better is None or self.is_blind(failure):
            return False
        return (self.shifts[failure] > 0) == self.higher_is_better


def respond(
    metrics: Sequence[Metric],
    *,
    failures: Mapping[str, Failure] = FAILURES,
    n: int = N,
    null_draws: int = NULL_DRAWS,
    draws: int = DRAWS,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Response]:
    """The responses of several metrics to the same draws.

    Reference and training set are fixed. The teacher is faultless; its images, and those of its
    second set, are drawn anew for the modes that each draw is asked for, and share nothing else
    with the generator's.

    Args:
        metrics: set metrics, called on features whatever extractor they mean.
        failures: by name.
        n: points a set.
        null_draws, draws: of the faultless generator, and of each failure.
        progress: told of draws done and of all.
    """
    total = null_draws + draws * len(failures)
    values: dict[str, list[list[float]]] = {}
    for done, (name, sets) in enumerate(_drawn(failures, n, null_draws, draws)):
        progress(done, total)
        values.setdefault(name, []).append([_value(m, *sets) for m in metrics])
    null = np.array(values.pop(""))
    return [
        _response(metric, null[:, i], {name: np.array(v)[:, i] for name, v in values.items()})
        for i, metric in enumerate(metrics)
    ]


def _drawn(
    failures: Mapping[str, Failure], n: int, null_draws: int, draws: int
) -> Iterator[tuple[str, tuple[ImageSet, Mapping[SetName, ImageSet]]]]:
    """Every draw, and what it is compared with, under the failure's name; faultless ones first."""
    noise = _noise("reference", 0)
    fixed: dict[SetName, ImageSet] = {
        "train": seen(training(n)),
        "reference": seen(truth(asked(n, noise), noise)),
    }
    plan: list[tuple[str, Failure, int]] = [("", truth, i) for i in range(null_draws)]
    plan += [(name, failure, i) for name, failure in failures.items() for i in range(draws)]
    for name, failure, i in plan:
        noise = _noise(name, i)
        wanted = asked(n, noise)
        generated = seen(failure(wanted, noise))
        teachers: dict[SetName, ImageSet] = {
            "teacher": seen(truth(wanted, noise)),
            "teacher-again": seen(truth(wanted, noise)),
        }
        yield name, (generated, fixed | teachers)


def _noise(name: str, draw: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed("blindness", name, draw))


def _value(metric: Metric, generated: ImageSet, others: Mapping[SetName, ImageSet]) -> float:
    estimate = measure(
        metric, use=Use(metric.id, n=len(generated)), generated=generated, others=others
    )
    if estimate.value is None:
        raise NothingMeasured(f"{metric.id} has no value on the mixture: {estimate.reason}")
    return estimate.value


def _response(metric: Metric, null: np.ndarray, failed: Mapping[str, np.ndarray]) -> Response:
    mean, sd = float(null.mean()), float(null.std(ddof=1))

    def shift(values: np.ndarray) -> float:
        difference = float(values.mean()) - mean
        if sd == 0:
            return 0.0 if difference == 0 else float(np.copysign(np.inf, difference))
        return difference / sd

    shifts = {name: shift(values) for name, values in failed.items()}
    return Response(metric.id, metric.higher_is_better, mean, sd, shifts)
