"""Generators that look at what they are measured against."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from kdbench.costs.run import Outcome
from kdbench.metrics.naming import shared_metric
from kdbench.record import Score
from kdbench.scoring import score
from kdbench.stages import Samples, shared_task
from kdbench.tasks.base import Split

FIGURES = ("latency", "ratio", "throughput", "memory", "counts", "cold-start")
DIGITS = shared_task("digits@1")


@pytest.mark.parametrize("figure", FIGURES)
def test_no_figure_opens_a_split(figure: str, measure_here: Callable[..., Outcome]) -> None:
    assert measure_here("Honest", figure, task="SealedSquares").costs
    with pytest.raises(RuntimeError, match="the held-out split was opened"):
        measure_here("Reader", figure, task="SealedSquares")


def test_a_process_that_times_holds_no_reference(figure: Callable[..., Outcome]) -> None:
    assert figure("Snooper", opens=False).status == "ok"
    caught = figure("Snooper", opens=True)
    assert (caught.status, caught.reason) == ("failed", "RuntimeError: found the reference")


def copied(split: Split, extra: tuple[str, ...] = ()) -> dict[str, Score]:
    """Held-out scores of a generator that gives the images of a split, class by class."""
    labels = torch.arange(DIGITS.n) % DIGITS.classes
    images = torch.empty(DIGITS.n, *DIGITS.shape, dtype=torch.uint8)
    for label in range(DIGITS.classes):
        wanted, held = labels == label, split.images[split.labels == label]
        images[wanted] = held[torch.arange(int(wanted.sum())) % len(held)]
    samples = Samples(
        key="0" * 64,
        images={"held-out": images, "validation": images},
        labels={"held-out": labels, "validation": labels},
        n_failed={"held-out": 0, "validation": 0},
        nfe=0,
        network=None,
    )
    scores = score(DIGITS, samples, teacher=None, no_teacher="there is none", extra=extra)
    return {s.metric: s for s in scores if s.split == "held-out" and s.value is not None}


def is_against_reference(name: str) -> bool:
    return "reference" in shared_metric(name.partition("[")[0]).sets


def test_copies_of_the_reference_mark_every_score_against_it() -> None:
    """Distances are as good as can be: only the images themselves tell."""
    scores = copied(DIGITS.split("held-out"))
    assert scores["kid-stratified@1"].value < 0  # type: ignore[operator]
    against = [s for name, s in scores.items() if is_against_reference(name)]
    assert len(against) > 5
    for found in against:
        assert any(mark.startswith("copies of the reference") for mark in found.marks), found


def test_images_that_are_no_copies_of_the_reference_have_no_such_mark() -> None:
    for found in copied(DIGITS.split("validation")).values():
        assert not any("copies" in mark for mark in found.marks)


def test_copies_of_training_images_are_told_by_their_distances() -> None:
    names = ("authenticity", "nearest-ratio", "copying-test")
    train, unseen = (copied(DIGITS.split(name), names) for name in ("train", "validation"))
    assert train["authenticity@1"].value == train["nearest-ratio@1"].value == 0
    assert train["copying-test@1"].value < -3  # type: ignore[operator]
    assert unseen["authenticity@1"].value > 0.4  # type: ignore[operator]
    assert unseen["nearest-ratio@1"].value > 0.8  # type: ignore[operator]
    assert abs(unseen["copying-test@1"].value) < 3  # type: ignore[operator]
