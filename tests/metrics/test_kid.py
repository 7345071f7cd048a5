"""The kernel distances as metrics: what they are called with, keep and refuse."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from kdbench.errors import NothingMeasured
from kdbench.metrics import kid as module
from kdbench.metrics.base import Tensors, Use
from kdbench.metrics.kernel import kernel_distance
from kdbench.metrics.measure import measure
from kdbench.metrics.stratified_kernel import stratified_distance

kid: Any = module.kid
kid_teacher: Any = module.kid_teacher
kid_stratified: Any = module.kid_stratified
kid_stratified_teacher: Any = module.kid_stratified_teacher
ALL = [kid, kid_teacher, kid_stratified, kid_stratified_teacher]


def draw(n: int, d: int = 6, *, seed: int, shift: float = 0.0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed)) + shift


def test_values_are_those_of_the_formulas(image_set: Any) -> None:
    x, y = image_set(draw(60, seed=1, shift=0.3)), image_set(draw(60, seed=2))
    for metric, paired in ((kid, False), (kid_teacher, True)):
        exact = kernel_distance(x.features, y.features, paired=paired)
        found = metric(x, y)
        assert found.value == exact.value
        assert found.details["standard_error"] == exact.standard_error
    for metric, paired in ((kid_stratified, False), (kid_stratified_teacher, True)):
        value, error = stratified_distance(
            x.features, x.labels, y.features, y.labels, paired=paired
        )
        found = metric(x, y)
        assert (found.value, found.details["standard_error"]) == (value, error)
        assert found.interval.low < value < found.interval.high
        assert found.interval.method == "u-statistic"


def test_sets_may_differ_in_size(image_set: Any) -> None:
    x, y = image_set(draw(40, seed=1)), image_set(draw(90, seed=2))
    assert kid(x, y).value == kernel_distance(x.features, y.features).value
    assert kid_stratified(x, y).value is not None


@pytest.mark.parametrize("metric", [kid_teacher, kid_stratified_teacher], ids=lambda m: m.name)
def test_a_student_that_copies_its_teacher_is_at_zero(image_set: Any, metric: Any) -> None:
    teacher = image_set(draw(100, seed=1))
    assert metric(image_set(teacher.features), teacher).value == pytest.approx(0, abs=1e-6)
    near = image_set(teacher.features + 0.1 * draw(100, seed=2))
    far = image_set(draw(100, seed=3))
    errors = [metric(s, teacher).details["standard_error"] for s in (near, far)]
    assert errors[0] < errors[1] / 3


@pytest.mark.parametrize("metric", [kid_teacher, kid_stratified_teacher], ids=lambda m: m.name)
def test_the_teachers_images_must_be_of_the_same_latents(image_set: Any, metric: Any) -> None:
    x, y = draw(40, seed=1), draw(40, seed=2)
    other = torch.arange(40) % 10
    with pytest.raises(NothingMeasured, match="same latents"):
        metric(image_set(x), image_set(y, labels=other.flip(0)))
    with pytest.raises(NothingMeasured, match="40 generated and 30"):
        metric(image_set(x), image_set(y[:30]))


@pytest.mark.parametrize("metric", ALL, ids=lambda m: m.name)
def test_features_that_are_missing_or_not_finite_are_refused(image_set: Any, metric: Any) -> None:
    good = image_set(draw(40, seed=1))
    with pytest.raises(NothingMeasured, match="no features"):
        metric(image_set(n=40), good)
    spoilt = draw(40, seed=1)
    spoilt[3, 2] = torch.nan
    with pytest.raises(NothingMeasured, match="not finite"):
        metric(good, image_set(spoilt))


@pytest.mark.parametrize("metric", ALL, ids=lambda m: m.name)
def test_one_point_against_itself_has_no_interval_and_says_why(image_set: Any, metric: Any) -> None:
    one = torch.ones(20, 4)
    found = metric(image_set(one), image_set(one.clone()))
    assert found.value == pytest.approx(0, abs=1e-12)
    assert found.interval is None
    assert "whichever images are drawn" in found.reason


def keeper() -> tuple[dict[str, Tensors], Callable[..., Tensors]]:
    kept: dict[str, Tensors] = {}

    def keep(name: str, make: Callable[[], Tensors]) -> Tensors:
        if name not in kept:
            kept[name] = make()
        return kept[name]

    return kept, keep


def test_a_lasting_reference_keeps_its_half_of_the_work(image_set: Any) -> None:
    kept, keep = keeper()
    x, y = image_set(draw(60, seed=1)), image_set(draw(50, seed=2))
    fresh = [kid(x, y).value, kid_stratified(x, y).value]
    lasting = replace(y, keep=keep)
    assert [kid(x, lasting).value, kid_stratified(x, lasting).value] == fresh
    assert sorted(kept) == ["kernel-among-strata@1", "kernel-among@1"]
    kept["kernel-among@1"] = {"means": kept["kernel-among@1"]["means"] + 1}
    assert kid(x, replace(y, keep=keep)).value == pytest.approx(fresh[0] + 1)


def test_a_set_is_compared_with_itself_once(
    image_set: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []

    def counted(x: Tensor) -> Tensor:
        sizes.append(len(x))
        return torch.zeros(len(x), dtype=torch.float64)

    monkeypatch.setattr(module, "mean_among", counted)
    x, real, teacher = (image_set(draw(n, seed=n)) for n in (30, 40, 30))
    kid(x, real)
    kid_teacher(x, teacher)
    assert sizes == [30, 40, 30]


def test_measured_in_blocks_with_the_teacher_cut_alike(image_set: Any) -> None:
    x, teacher = image_set(draw(60, seed=1, shift=0.2)), image_set(draw(60, seed=2))
    found = measure(
        kid_teacher,
        use=Use("kid-teacher@1", n=20, blocks=3),
        generated=x,
        others={"teacher": teacher},
    )
    parts = [slice(i, i + 20) for i in (0, 20, 40)]
    values = [kernel_distance(x.features[p], teacher.features[p], paired=True).value for p in parts]
    assert found.value == pytest.approx(sum(values) / 3, rel=1e-9)
    assert found.interval is not None
    assert found.interval.method == "blocks-t"


def test_sees_lost_modes_and_is_blind_to_spread_and_outliers(image_set: Any) -> None:
    """What the docstrings say, on a mixture of eight far modes."""
    centres = 3 * draw(8, seed=0)
    real = image_set(centres[torch.randint(8, (400,))] + 0.3 * draw(400, seed=1))
    mode = torch.randint(8, (400,))
    fair = centres[mode] + 0.3 * draw(400, seed=2)
    outliers = torch.cat([fair[:396], 3 * draw(4, seed=3)])

    def z(x: Tensor) -> float:
        found = kid(image_set(x), real)
        return float(found.value / found.details["standard_error"])

    assert z(fair[mode < 4]) > z(fair) + 5
    assert z(centres[mode] + 0.2 * draw(400, seed=2)) == pytest.approx(z(fair), abs=0.5)
    assert z(outliers) == pytest.approx(z(fair), abs=0.5)


def test_names() -> None:
    ids = [metric.id for metric in ALL]
    assert ids == [
        "kid@1",
        "kid-teacher@1",
        "kid-stratified@1",
        "kid-stratified-teacher@1",
    ]
    assert [metric.sets for metric in ALL] == [("reference",), ("teacher",)] * 2
    assert all(metric.needs_features and metric.higher_is_better is False for metric in ALL)
