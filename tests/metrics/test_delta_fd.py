"""ΔFD: its value, its pairing, and its standard error against the spread of draws."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from kdbench.errors import NothingMeasured
from kdbench.metrics import delta_fd as module
from kdbench.metrics.base import Use
from kdbench.metrics.frechet import frechet_distance
from kdbench.metrics.group_jackknife import GROUPS, deal
from kdbench.metrics.measure import measure

delta_fd: Any = module.delta_fd

N, D = 400, 5


def draws(count: int, *, seed: int, n: int = N) -> Tensor:
    """(count, n, D): sets from a skewed distribution, float64."""
    draw = torch.Generator().manual_seed(seed)
    normal = torch.randn(count, n, D, generator=draw, dtype=torch.float64)
    return (normal + 0.3 * normal.square()) * torch.linspace(1, 0.5, D)


def teachers(latents: Tensor) -> Tensor:
    return 0.9 * latents + 0.1


def students(latents: Tensor, *, seed: int) -> Tensor:
    """The teacher's images narrowed in some directions, with noise of the student's own."""
    noise = 0.3 * torch.randn(
        latents.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )
    return teachers(latents) * torch.linspace(1, 0.7, D) + noise + 0.2


def distances(x: Tensor, y: Tensor) -> Tensor:
    """Of many pairs of sets (..., n, D) at once, by Cholesky and eigenvalues."""
    centred = [z - z.mean(-2, keepdim=True) for z in (x, y)]
    first, second = (z.mT @ z / (z.shape[-2] - 1) for z in centred)
    root = torch.linalg.cholesky(second)
    values = torch.linalg.eigvalsh(root.mT @ first @ root).clamp(min=0)
    spread = (first + second).diagonal(dim1=-1, dim2=-2).sum(-1)
    return (x.mean(-2) - y.mean(-2)).square().sum(-1) + spread - 2 * values.sqrt().sum(-1)


def test_name_and_sets() -> None:
    assert delta_fd.id == "delta-fd@1"
    assert delta_fd.sets == ("teacher", "reference")
    assert delta_fd.needs_features
    assert delta_fd.higher_is_better is False


def test_is_the_difference_of_two_distances(image_set: Any) -> None:
    latents, real = draws(1, seed=1)[0], draws(1, seed=2, n=300)[0].float()
    student, teacher = students(latents, seed=3).float(), teachers(latents).float()
    found = delta_fd(image_set(student), image_set(teacher), image_set(real))
    assert found.details["student"] == frechet_distance(student, real)
    assert found.details["teacher"] == frechet_distance(teacher, real)
    assert found.value == found.details["student"] - found.details["teacher"] > 0
    assert found.interval.method == "jackknife"
    backwards = delta_fd(image_set(teacher), image_set(student), image_set(real))
    assert backwards.value == -found.value
    assert backwards.details["standard_error"] == pytest.approx(found.details["standard_error"])


def test_of_the_teacher_itself_is_zero_without_width(image_set: Any) -> None:
    same, real = teachers(draws(1, seed=1)[0]).float(), draws(1, seed=2)[0].float()
    found = delta_fd(image_set(same), image_set(same.clone()), image_set(real))
    assert found.value == 0.0
    assert found.details["standard_error"] == 0.0
    assert found.interval is None
    assert "whichever images are left out" in found.reason


@pytest.mark.parametrize("n", [80, 40])
def test_leaves_equal_latents_and_equal_real_images_out(image_set: Any, n: int) -> None:
    """Also with fewer images than features."""
    x, y, z = (torch.randn(n, 50) for _ in range(3))
    y += 0.5 * x
    found = delta_fd(image_set(x), image_set(y), image_set(z))
    groups, variance = deal(torch.arange(n) % 10), 0.0
    for side in ("latents", "reference"):
        left = []
        for group in range(GROUPS):
            kept = groups != group
            own, other, real = (x[kept], y[kept], z) if side == "latents" else (x, y, z[kept])
            left.append(frechet_distance(own, real) - frechet_distance(other, real))
        variance += (GROUPS - 1) * float(np.var(left))
    assert found.details["standard_error"] == pytest.approx(variance**0.5, rel=1e-6)


def test_standard_error_is_the_spread_over_independent_draws(image_set: Any) -> None:
    """Latents and reference drawn anew: 2,000 draws know their spread to 2 %."""
    latents, real = draws(2000, seed=1), draws(2000, seed=2)
    student, teacher = students(latents, seed=3), teachers(latents)
    spread = float((distances(student, real) - distances(teacher, real)).std())
    apart = float((distances(student, real) - distances(teacher.roll(1, 0), real)).std())
    labels = torch.zeros(N, dtype=torch.int64)
    errors = [
        delta_fd(
            *(image_set(z[i].float(), labels=labels) for z in (student, teacher, real))
        ).details["standard_error"]
        for i in range(50)
    ]
    assert np.mean(errors) == pytest.approx(spread, rel=0.1)
    assert spread < 0.9 * apart  # as if the teacher had latents of its own


def test_needs_paired_labels_and_features(image_set: Any) -> None:
    x, real = torch.rand(40, 5), image_set(torch.rand(50, 5))
    with pytest.raises(NothingMeasured, match="same latents"):
        delta_fd(image_set(x), image_set(x, labels=torch.zeros(40, dtype=torch.int64)), real)
    with pytest.raises(NothingMeasured, match="40 generated and 30"):
        delta_fd(image_set(x), image_set(x[:30]), real)
    with pytest.raises(NothingMeasured, match="teacher images have no features"):
        delta_fd(image_set(x), image_set(n=40), real)
    with pytest.raises(NothingMeasured, match="same extractor"):
        delta_fd(image_set(x), image_set(x), image_set(torch.rand(50, 6)))


def test_few_images_have_a_value_and_no_interval(image_set: Any) -> None:
    x, y = torch.rand(19, 5), torch.rand(19, 5)
    found = delta_fd(image_set(x), image_set(y), image_set(torch.rand(50, 5)))
    assert found.value != 0
    assert found.interval is None
    assert "20 images" in found.reason


def test_marks_fewer_images_than_features(image_set: Any) -> None:
    x, y, z = (image_set(torch.randn(n, 50)) for n in (40, 40, 90))
    assert "few samples: 40 for 50 features; sampling bias" in delta_fd(x, y, z).marks[0]


def test_measured_in_blocks_of_paired_images(image_set: Any) -> None:
    latents = draws(1, seed=1)[0]
    found = measure(
        delta_fd,
        use=Use("delta-fd@1", n=100, blocks=4),
        generated=image_set(students(latents, seed=3).float()),
        others={
            "teacher": image_set(teachers(latents).float()),
            "reference": image_set(draws(1, seed=2)[0].float()),
        },
    )
    assert found.interval is not None
    assert found.interval.method == "blocks-t"
    assert found.value == pytest.approx(
        (found.details["student"] or 0) - (found.details["teacher"] or 0)
    )
