"""C_T against a slow loop and SciPy's Mann-Whitney test, and its error over draws."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from kdbench.errors import NothingMeasured
from kdbench.metrics import copying_test as module
from kdbench.metrics.base import Use
from kdbench.metrics.clusters import cell_centres
from kdbench.metrics.copying_test import mann_whitney_z
from kdbench.metrics.group_jackknife import GROUPS, deal
from kdbench.metrics.measure import measure

copying_test: Any = module.copying_test

CENTRES = 4 * torch.randn(5, 6, generator=torch.Generator().manual_seed(0))


def draw(n: int, *, seed: int, width: float = 1.0) -> Tensor:
    """A mixture of five kinds."""
    generator = torch.Generator().manual_seed(seed)
    kind = torch.randint(len(CENTRES), (n,), generator=generator)
    return CENTRES[kind] + width * torch.randn(n, 6, generator=generator)


TRAIN = draw(800, seed=1)


def copies(n: int, *, seed: int) -> Tensor:
    """A fifth of the images are altered copies of training images, the others are new."""
    generator = torch.Generator().manual_seed(seed)
    own = torch.randperm(len(TRAIN), generator=generator)[: n // 5]
    altered = TRAIN[own] + 0.02 * torch.randn(n // 5, 6, generator=generator)
    return torch.cat([altered, draw(n - n // 5, seed=seed)])


@pytest.mark.parametrize(("n", "m"), [(1, 1), (7, 30), (40, 25)])
@pytest.mark.parametrize("levels", [3, 10**6])
def test_z_is_scipys(n: int, m: int, levels: int) -> None:
    """Its asymptotic p value without continuity correction, turned back into z."""
    rng = np.random.default_rng(n)
    first, second = rng.integers(levels, size=n) / 7, rng.integers(levels, size=m) / 7
    less = stats.mannwhitneyu(
        first, second, alternative="less", method="asymptotic", use_continuity=False
    )
    if not math.isnan(less.pvalue):  # all numbers equal
        z = mann_whitney_z(first, second)
        assert z == pytest.approx(float(stats.norm.ppf(less.pvalue)), abs=1e-9)
        assert mann_whitney_z(second, first) == pytest.approx(-z, abs=1e-12)


def test_z_of_numbers_that_say_nothing_is_zero() -> None:
    assert mann_whitney_z(np.ones(5), np.ones(7)) == 0.0
    assert mann_whitney_z(np.array([]), np.ones(3)) == 0.0
    assert mann_whitney_z(np.array([1.0, 2.0]), np.array([1.0, 2.0])) == 0.0


def slowly(made: Tensor, real: Tensor, centres: Tensor) -> tuple[float, list[float], list[int]]:
    """Meehan et al. 2020: U counted pair by pair in each cell, weighted by held-out images."""
    train, made, real = TRAIN.double(), made.double(), real.double()

    def cell(x: Tensor) -> int:
        return int((centres.double() - x).norm(dim=1).argmin())

    homes = [cell(t) for t in train]

    def placed(rows: Tensor) -> list[tuple[int, float]]:
        found = []
        for x in rows:
            own = cell(x)
            at_home = train[[i for i, home in enumerate(homes) if home == own]]
            found.append((own, float((at_home - x).norm(dim=1).min())))
        return found

    theirs, held_out = placed(made), placed(real)
    scores, weights = [], []
    for c in range(len(centres)):
        a, b = ([d for own, d in side if own == c] for side in (theirs, held_out))
        if min(len(a), len(b)) <= 20:
            continue
        u = sum((p > q) + 0.5 * (p == q) for p in a for q in b)
        n, m = len(a), len(b)
        scores.append((u - n * m / 2) / math.sqrt(n * m * (n + m + 1) / 12))
        weights.append(m)
    return float(np.average(scores, weights=weights)), scores, weights


def test_equals_a_slow_loop(image_set: Any) -> None:
    made, real, train = copies(300, seed=2), draw(260, seed=3), image_set(TRAIN)
    estimate = copying_test(image_set(made), train, image_set(real))
    value, scores, weights = slowly(made, real, cell_centres(train, 5))
    share = np.array(weights) / sum(weights)
    assert estimate.value == pytest.approx(value, rel=1e-9)
    assert estimate.details["cells"] == len(scores)
    assert estimate.details["held_out_share"] == pytest.approx(sum(weights) / 260)
    assert estimate.details["copied_cells"] == sum(z < -3 for z in scores)
    assert estimate.details["null_error"] == pytest.approx(math.sqrt((share**2).sum()))


def test_standard_error_is_recomputing_without_each_group(image_set: Any) -> None:
    """With cells so large that none is near the number that counts."""
    train, made, real = image_set(TRAIN), draw(240, seed=2), draw(240, seed=3)
    whole = copying_test(image_set(made), train, image_set(real))
    centres = cell_centres(train, 4)
    groups, variance = deal(torch.arange(240) % 10), 0.0
    for kept_made, kept_real in ((True, False), (False, True)):
        left = []
        for group in range(GROUPS):
            gone = groups == group
            x = made[~gone] if kept_made else made
            y = real[~gone] if kept_real else real
            left.append(slowly_scored(x, y, centres))
        variance += (GROUPS - 1) * float(np.var(left))
    assert whole.details["standard_error"] == pytest.approx(math.sqrt(variance), rel=1e-9)


def slowly_scored(made: Tensor, real: Tensor, centres: Tensor) -> float:
    """`slowly` in one piece, for cells that all count."""
    cells = [torch.cdist(x.double(), centres.double()).argmin(1) for x in (made, TRAIN, real)]
    total, weights = 0.0, 0
    for c in range(len(centres)):
        x, t, y = (rows[own == c] for rows, own in zip((made, TRAIN, real), cells, strict=True))
        a, b = (torch.cdist(rows.double(), t.double()).min(1).values.numpy() for rows in (x, y))
        assert min(len(a), len(b)) > 24
        z = (a[:, None] > b).sum() - len(a) * len(b) / 2
        total += z / math.sqrt(len(a) * len(b) * (len(a) + len(b) + 1) / 12) * len(b)
        weights += len(b)
    return total / weights


def estimates(image_set: Any, make: Any, *, times: int) -> list[Any]:
    train = image_set(TRAIN)
    return [
        copying_test(image_set(make(i)), train, image_set(draw(300, seed=10_000 + i)))
        for i in range(times)
    ]


def test_real_images_have_the_null_error(image_set: Any) -> None:
    found = estimates(image_set, lambda i: draw(300, seed=100 + i), times=150)
    values = [e.value for e in found]
    null = float(np.mean([e.details["null_error"] for e in found]))
    assert abs(np.mean(values)) < 0.35 * null  # the training images are the same ones throughout
    assert np.std(values, ddof=1) == pytest.approx(null, rel=0.2)


@pytest.mark.parametrize(
    ("make", "sign"),
    [(lambda i: copies(300, seed=100 + i), -1), (lambda i: draw(300, seed=i, width=1.3), 1)],
    ids=["copying", "underfitting"],
)
def test_sign_and_standard_error_of_other_generators(image_set: Any, make: Any, sign: int) -> None:
    found = estimates(image_set, make, times=100)
    values = [e.value for e in found]
    spread = np.std(values, ddof=1)
    assert sign * np.mean(values) > 3 * spread
    errors = [e.details["standard_error"] for e in found]
    assert 0.85 * spread < np.mean(errors) < 1.4 * spread
    held = np.mean([e.interval.low <= np.mean(values) <= e.interval.high for e in found])
    assert held >= 0.92


def test_lost_variety_reads_as_copying(image_set: Any) -> None:
    """What the docstring warns of: nothing here is a copy."""
    found = estimates(image_set, lambda i: draw(300, seed=i, width=0.6), times=3)
    assert max(e.value for e in found) < -2


def test_copied_cells_name_what_the_mean_hides(image_set: Any) -> None:
    """One kind of five is copied, whole."""
    kind = (TRAIN - CENTRES[0]).norm(dim=1) < 4
    made = torch.cat([TRAIN[kind][:60] + 0.01, draw(200, seed=3)])
    estimate = copying_test(image_set(made), image_set(TRAIN), image_set(draw(260, seed=4)))
    assert estimate.value > -2.5
    assert estimate.details["copied_cells"] == 1


def test_identical_images_everywhere_say_nothing(image_set: Any) -> None:
    same = image_set(torch.ones(100, 3))
    estimate = copying_test(same, same, same)
    assert estimate.value == 0.0
    assert estimate.interval is None
    assert "whichever images are left out" in estimate.reason


def test_a_generator_elsewhere_or_too_few_images_have_no_value(image_set: Any) -> None:
    train, real = image_set(TRAIN), image_set(draw(300, seed=4))
    few = copying_test(image_set(draw(20, seed=2)), train, real)
    assert few.value is None
    assert "more than 20 images" in few.reason
    with pytest.raises(NothingMeasured, match="no features"):
        copying_test(image_set(n=100), train, real)


def test_few_images_are_marked(image_set: Any) -> None:
    estimate = measure(
        copying_test,
        use=Use("copying-test@1", n=200),
        generated=image_set(draw(200, seed=2)),
        others={"train": image_set(TRAIN), "reference": image_set(draw(200, seed=4))},
    )
    assert estimate.marks == ("few samples: 200 of at least 500",)
    assert estimate.interval is not None
