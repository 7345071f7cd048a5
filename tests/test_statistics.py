"""Intervals and tests against scipy, hand-worked numbers and simulated coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from kdbench.statistics import (
    Difference,
    adjust_holm,
    find_headroom,
    gap_recovered,
    judge,
    log_mean_interval,
    mean_interval,
    paired_difference,
    prediction_interval,
    ratio_interval,
)

OURS = {0: 1.21, 1: 1.34, 2: 1.18, 3: 1.27, 4: 1.4}
THEIRS = {0: 1.5, 1: 1.45, 2: 1.52, 3: 1.49, 4: 1.71}


def seeded(values: object) -> dict[int, float]:
    """Values numbered by seed."""
    return dict(enumerate(np.asarray(values, dtype=float).tolist()))


def test_mean_interval_is_that_of_scipy() -> None:
    values = list(OURS.values())
    low, high = stats.t.interval(0.95, 4, np.mean(values), stats.sem(values))
    found = mean_interval(values)
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-12)
    assert found.n == 5


def test_too_few_values_say_so() -> None:
    assert mean_interval([]).value is None
    assert mean_interval([]).reason
    one = mean_interval([2.0])
    assert (one.value, one.low, one.high) == (2.0, None, None)
    assert one.reason
    assert prediction_interval([2.0]).low is None


def test_prediction_interval_by_hand() -> None:
    # 1, 2, 3: mean 2, s = 1, t(0.975, 2) = 4.302653; half-width 4.302653 * sqrt(1 + 1/3)
    found = prediction_interval([1.0, 2.0, 3.0])
    assert found.high == pytest.approx(2 + 4.302653 * 1.154701, abs=1e-4)
    # the mean of three new seeds: sqrt(1/3 + 1/3)
    assert prediction_interval([1.0, 2.0, 3.0], new=3).high == pytest.approx(
        2 + 4.302653 * 0.816497, abs=1e-4
    )


def test_paired_difference_is_that_of_scipy() -> None:
    found = paired_difference(OURS, THEIRS)
    test = stats.ttest_rel(list(OURS.values()), list(THEIRS.values()))
    interval = test.confidence_interval(0.95)
    assert found.p == pytest.approx(test.pvalue, rel=1e-10)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=1e-10)


def test_pairs_are_made_by_seed_not_by_order() -> None:
    shuffled = {seed: THEIRS[seed] for seed in (3, 0, 4, 2, 1)} | {9: 100.0}
    assert paired_difference(OURS, shuffled) == paired_difference(OURS, THEIRS)


@pytest.mark.parametrize("offset", [0.0, 0.1])
def test_differences_without_spread_have_no_test(offset: float) -> None:
    found = paired_difference(OURS, {seed: value + offset for seed, value in OURS.items()})
    assert found.p is None
    assert found.low is None
    assert "equal over all seeds" in (found.reason or "")
    assert judge(found, higher_is_better=False).word == "not separated"


def test_no_shared_seed_has_no_difference() -> None:
    assert paired_difference({0: 1.0}, {1: 1.0}).value is None
    assert paired_difference({0: 1.0, 1: 2.0}, {1: 1.0}).value == 1.0


def test_holm_against_a_worked_example() -> None:
    # R: p.adjust(c(0.01, 0.02, 0.03, 0.04, 0.05), "holm")
    adjusted = adjust_holm([0.03, 0.01, 0.05, 0.02, 0.04])
    assert adjusted == pytest.approx([0.09, 0.05, 0.09, 0.08, 0.09])


def test_holm_counts_what_did_not_finish() -> None:
    assert adjust_holm([0.02, None, None]) == [0.06, None, None]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_is_monotone_and_never_below_the_raw_value(p_values: list[float]) -> None:
    adjusted = [p for p in adjust_holm(p_values) if p is not None]
    assert all(raw <= p <= 1 for raw, p in zip(p_values, adjusted, strict=True))
    by_raw = [p for _, p in sorted(zip(p_values, adjusted, strict=True))]
    assert by_raw == sorted(by_raw)


@pytest.mark.parametrize(
    ("n", "higher", "text"),
    [
        (2, False, "not separated (too few seeds)"),
        (3, False, "better (indication)"),
        (4, True, "worse (indication)"),
        (5, False, "better (claim)"),
    ],
)
def test_verdicts(n: int, higher: bool, text: str) -> None:
    difference = Difference(-1.0, -1.2, -0.8, n, p=0.001)
    assert str(judge(difference, higher_is_better=higher)) == text


def test_a_verdict_follows_the_adjusted_p() -> None:
    difference = Difference(-1.0, -1.2, -0.8, 5, p=0.01)
    assert judge(difference, higher_is_better=False, adjusted_p=0.06).word == "not separated"
    assert judge(difference, higher_is_better=False, adjusted_p=0.05).word == "not separated"
    assert judge(difference, higher_is_better=False, adjusted_p=0.049).word == "better"


def test_headroom_by_hand_and_in_both_directions() -> None:
    # gains 1, 2, 3: mean 2, standard error 1/sqrt(3), t(0.95, 2) = 2.919986
    anchor, teacher = seeded([5, 6, 7]), seeded([4, 4, 4])
    found = find_headroom(anchor=anchor, teacher=teacher, margin=0.3, higher_is_better=False)
    assert found is not None
    assert found.bound == pytest.approx(2 - 2.919986 / math.sqrt(3), abs=1e-5)
    assert found.exists
    wide = find_headroom(anchor=anchor, teacher=teacher, margin=0.35, higher_is_better=False)
    assert wide is not None
    assert not wide.exists
    mirrored = find_headroom(anchor=teacher, teacher=anchor, margin=0.3, higher_is_better=True)
    assert mirrored == found
    same = find_headroom(anchor=anchor, teacher=anchor, margin=0.0, higher_is_better=False)
    assert same is None


def test_fieller_by_hand() -> None:
    # N = anchor - student = 5, 5, 8: mean 6, variance 3, of the mean 1
    # D = anchor - teacher = 9, 10, 11: mean 10, variance 1, of the mean 1/3
    # covariance of the means (1 + 0 + 2) / 2 / 3 = 1/2; t(0.975, 2)^2 = 18.5128
    # a = 100 - 18.5128 / 3 = 93.8291; b = 60 - 18.5128 / 2 = 50.7436; c = 36 - 18.5128 = 17.4872
    # bounds (b -+ sqrt(b^2 - a c)) / a = (50.7436 -+ 30.5630) / 93.8291
    anchor = seeded([20, 20, 20])
    student, teacher = seeded([15, 15, 12]), seeded([11, 10, 9])
    gap = gap_recovered(anchor=anchor, student=student, teacher=teacher, higher_is_better=False)
    assert gap.value == pytest.approx(0.6)
    assert (gap.low, gap.high) == pytest.approx((0.21508, 0.86654), abs=1e-4)


def test_fieller_bounds_are_where_the_t_test_turns() -> None:
    random = np.random.default_rng(3)
    shared = random.standard_normal(5)
    anchor = seeded(10 + shared)
    student, teacher = seeded(4 + random.standard_normal(5)), seeded(1 + 0.3 * shared)
    gap = gap_recovered(anchor=anchor, student=student, teacher=teacher, higher_is_better=False)
    assert gap.low is not None
    assert gap.high is not None
    for bound in (gap.low, gap.high):
        residuals = [(anchor[s] - student[s]) - bound * (anchor[s] - teacher[s]) for s in range(5)]
        assert stats.ttest_1samp(residuals, 0).pvalue == pytest.approx(0.05, abs=1e-9)


def test_gap_is_the_same_in_a_metric_of_the_other_direction() -> None:
    anchor, student, teacher = seeded([9, 10, 11.5]), seeded([4, 5, 5.5]), seeded([1, 2, 2.5])
    lower = gap_recovered(anchor=anchor, student=student, teacher=teacher, higher_is_better=False)
    turned = [{s: -v for s, v in one.items()} for one in (anchor, student, teacher)]
    higher = gap_recovered(
        anchor=turned[0], student=turned[1], teacher=turned[2], higher_is_better=True
    )
    assert lower.value is not None
    assert lower == higher


def test_no_gap_where_the_denominator_may_be_zero_or_negative() -> None:
    anchor, student = seeded([1.0, 1.2, 0.9]), seeded([1.0, 1.0, 1.0])
    near, worse = seeded([0.95, 1.3, 0.8]), seeded([9.0, 9.1, 9.3])
    for teacher, word in ((near, "not separated"), (worse, "worse than the anchor")):
        gap = gap_recovered(anchor=anchor, student=student, teacher=teacher, higher_is_better=False)
        assert gap.value is None
        assert word in (gap.reason or "")


def test_gap_needs_two_seeds() -> None:
    one = seeded([1.0])
    gap = gap_recovered(anchor=one, student=one, teacher=one, higher_is_better=False)
    assert (gap.value, gap.n) == (None, 1)


def test_ratio_interval_is_a_t_interval_of_logs() -> None:
    slow, fast = seeded([10.0, 11.0, 9.0]), seeded([1.0, 1.2, 0.8])
    found = ratio_interval(slow, fast)
    logs = np.log([10 / 1, 11 / 1.2, 9 / 0.8])
    low, high = stats.t.interval(0.95, 2, logs.mean(), stats.sem(logs))
    assert found.value == pytest.approx(math.exp(logs.mean()))
    assert (found.low, found.high) == pytest.approx((math.exp(low), math.exp(high)))
    assert log_mean_interval([10.0]).value == pytest.approx(10.0)


@pytest.mark.parametrize("bad", [0.0, -1.0])
def test_ratios_of_what_is_not_positive_are_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="positive"):
        ratio_interval({0: 1.0}, {0: bad})


def test_coverage_of_mean_and_prediction_intervals() -> None:
    random = np.random.default_rng(11)
    draws = random.standard_normal((1500, 5)) + 2
    means = [mean_interval(row[:4]) for row in draws.tolist()]
    news = [prediction_interval(row[:4]) for row in draws.tolist()]
    covered = np.mean([m.low <= 2 <= m.high for m in means if m.low and m.high])
    foreseen = np.mean(
        [p.low <= row[4] <= p.high for p, row in zip(news, draws.tolist(), strict=True)]
    )
    # three standard errors of 1,500 draws at 0.95
    assert covered == pytest.approx(0.95, abs=0.017)
    assert foreseen == pytest.approx(0.95, abs=0.017)


def test_coverage_of_fieller_with_a_shared_anchor() -> None:
    random = np.random.default_rng(12)
    hits = []
    for noise in random.standard_normal((1200, 3, 4)):
        gap = gap_recovered(
            anchor=seeded(10 + noise[0]),
            student=seeded(4 + noise[1]),
            teacher=seeded(2 + 0.5 * noise[2]),
            higher_is_better=False,
        )
        if gap.low is not None and gap.high is not None:
            hits.append(gap.low <= 0.75 <= gap.high)
    assert len(hits) > 1150
    assert np.mean(hits) == pytest.approx(0.95, abs=0.019)
