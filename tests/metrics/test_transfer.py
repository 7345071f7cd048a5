"""Teacher-relative recall and coverage, and what shared latents do to them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from kdbench.errors import NothingMeasured
from kdbench.metrics import transfer as module
from kdbench.metrics.base import Use
from kdbench.metrics.measure import measure
from kdbench.metrics.neighbours import neighbours

recall_teacher: Any = module.recall_teacher
coverage_teacher: Any = module.coverage_teacher
recall_retention: Any = module.recall_retention
coverage_retention: Any = module.coverage_retention
RETENTION = [recall_retention, coverage_retention]

N, D = 400, 8


def latents(seed: int) -> Tensor:
    return torch.randn(N, D, generator=torch.Generator().manual_seed(seed))


def teach(z: Tensor) -> Tensor:
    """A teacher: ten modes, chosen by the latent."""
    centres = 6 * torch.randn(10, D, generator=torch.Generator().manual_seed(0))
    mode = (torch.special.ndtr(z[:, 0]) * 10).long().clamp(max=9)
    return centres[mode] + torch.cat([z[:, 1:], z[:, :1]], 1)


def test_the_teacher_takes_the_place_of_real_images(image_set: Any) -> None:
    student, teacher = image_set(0.8 * teach(latents(1))), image_set(teach(latents(1)))
    direct = neighbours(student.features, teacher.features)[5]
    assert recall_teacher(student, teacher).value == direct.recall
    assert coverage_teacher(student, teacher).value == direct.coverage


@pytest.mark.parametrize("metric", RETENTION, ids=lambda m: m.name)
def test_retention_is_the_students_value_over_the_teachers(image_set: Any, metric: Any) -> None:
    sets = [image_set(f) for f in (0.9 * teach(latents(1)), teach(latents(1)), teach(latents(2)))]
    student, teacher, again = (images.features for images in sets)
    found = metric(*sets)
    name = metric.name.partition("-")[0]
    values = [getattr(neighbours(own, again)[5], name) for own in (student, teacher)]
    assert [found.details["student"], found.details["ceiling"]] == values
    assert found.value == values[0] / values[1]
    assert found.interval is None
    assert "from two blocks on" in found.reason


@pytest.mark.parametrize("metric", RETENTION, ids=lambda m: m.name)
def test_a_copy_of_the_teacher_keeps_exactly_everything(image_set: Any, metric: Any) -> None:
    """Against its own images it would beat a second sample of the teacher."""
    teacher, again = image_set(teach(latents(1))), image_set(teach(latents(2)))
    copy = image_set(teacher.features.clone())
    assert metric(copy, teacher, again).value == 1.0
    own = {"recall": recall_teacher, "coverage": coverage_teacher}[metric.name.partition("-")[0]]
    assert own(copy, teacher).value > own(again, teacher).value + 0.02


def test_a_student_of_other_latents_is_worth_as_much_as_one_of_the_same(image_set: Any) -> None:
    found: dict[str, list[float]] = {"same": [], "other": []}
    for i in range(0, 40, 4):
        teacher, again = image_set(teach(latents(i))), image_set(teach(latents(i + 1)))
        noise = 0.1 * latents(i + 3)
        for name, own in (("same", teach(latents(i))), ("other", teach(latents(i + 2)))):
            found[name].append(recall_retention(image_set(own + noise), teacher, again).value)
    assert np.mean(found["same"]) == pytest.approx(np.mean(found["other"]), abs=0.03)


def test_lost_variety_shows(image_set: Any) -> None:
    z = latents(1)
    teacher, again = image_set(teach(z)), image_set(teach(latents(2)))
    half = image_set(teach(torch.cat([z[:, :1].abs(), z[:, 1:]], 1)))
    assert recall_retention(half, teacher, again).value < 0.65
    assert coverage_retention(half, teacher, again).value < 0.65
    narrow = image_set(teach(z) - 0.4 * torch.cat([z[:, 1:], z[:, :1]], 1))
    assert recall_retention(narrow, teacher, again).value < 0.8
    assert coverage_retention(narrow, teacher, again).value > 0.97


def test_a_teacher_that_reaches_nothing_of_itself_is_no_measure(image_set: Any) -> None:
    one = image_set(torch.ones(20, 3))
    with pytest.raises(NothingMeasured, match="no ratio"):
        recall_retention(one, one, image_set(torch.randn(20, 3)))


def test_blocks_cut_the_teacher_with_the_student(image_set: Any) -> None:
    student = image_set(teach(latents(1)) + 0.1 * latents(3))
    teacher, again = image_set(teach(latents(1))), image_set(teach(latents(2)))
    found = measure(
        recall_retention,
        use=Use("recall-retention@1", n=100, blocks=4),
        generated=student,
        others={"teacher": teacher, "teacher-again": again},
    )
    ratios = []
    for i in range(0, 400, 100):
        own, its, real = (part.features[i : i + 100] for part in (student, teacher, again))
        ratios.append(neighbours(own, real)[5].recall / neighbours(its, real)[5].recall)
    assert found.value == pytest.approx(np.mean(ratios), rel=1e-12)
    assert found.interval is not None
    assert found.interval.method == "blocks-t"


def test_unequal_sets_are_refused(image_set: Any) -> None:
    x, y = image_set(torch.randn(30, 3)), image_set(torch.randn(31, 3))
    with pytest.raises(NothingMeasured, match="30 generated and 31"):
        recall_teacher(x, y)
    with pytest.raises(NothingMeasured, match="30 generated and 31"):
        coverage_retention(x, x, y)


def test_names() -> None:
    teacher = [recall_teacher, coverage_teacher]
    assert [metric.id for metric in teacher] == ["recall-teacher@1", "coverage-teacher@1"]
    assert [metric.id for metric in RETENTION] == ["recall-retention@1", "coverage-retention@1"]
    assert {metric.sets for metric in teacher} == {("teacher",)}
    assert {metric.sets for metric in RETENTION} == {("teacher", "teacher-again")}
    assert all(metric.equal_n and metric.needs_features for metric in [*teacher, *RETENTION])
    assert RETENTION[0].bounds == (0.0, None)
