"""The main lines of the table of failures, on fewer draws than the page of the documentation."""

from __future__ import annotations

from pathlib import Path

import pytest

from kdbench.metrics.blindness.__main__ import set_metrics
from kdbench.metrics.blindness.page import write_page
from kdbench.metrics.blindness.table import Response, respond
from kdbench.metrics.naming import shared_metric

METRICS = (
    "fd@1",
    "cmmd@1",
    "recall-retention@1",
    "coverage-retention@1",
    "vendi-ratio@1",
    "kid@1",
    "recall@1",
    "coverage@1",
    "precision@1",
    "density@1",
    "vendi@1",
    "feature-distance@1",
    "authenticity@1",
    "nearest-ratio@1",
    "duplicates@1",
    "class-accuracy@1",
)
DROPPED, SHRUNK, HEAVY = "5 of 50 modes dropped", "modes narrower, × 0.7", "one mode 5 times"
WILD = "5 % outliers"
NOISY, COPIED, REPEATED = "noise of 0.1", "20 % training images", "10 % repeated"


@pytest.fixture(scope="module")
def responses() -> dict[str, Response]:
    found = respond([shared_metric(name) for name in METRICS], n=1000, null_draws=8, draws=2)
    return {response.metric.partition("@")[0]: response for response in found}


def test_recall_sees_lost_modes_and_shrinkage(responses: dict[str, Response]) -> None:
    assert responses["recall"].shifts[DROPPED] < -3
    assert responses["recall"].shifts[SHRUNK] < -10


def test_coverage_sees_lost_modes_and_not_shrinkage(responses: dict[str, Response]) -> None:
    assert responses["coverage"].shifts[DROPPED] < -3
    assert responses["coverage"].shifts[SHRUNK] > -3


def test_density_and_precision_praise_shrinkage(responses: dict[str, Response]) -> None:
    assert responses["density"].shifts[SHRUNK] > 10
    assert responses["precision"].shifts[SHRUNK] > 3


def test_retention_sees_what_the_student_lost(responses: dict[str, Response]) -> None:
    assert responses["recall-retention"].shifts[DROPPED] < -3
    assert responses["recall-retention"].shifts[SHRUNK] < -10
    assert responses["coverage-retention"].shifts[DROPPED] < -3
    assert responses["coverage-retention"].shifts[SHRUNK] > -3


def test_a_ratio_to_the_teacher_is_sharper_than_the_value_alone(
    responses: dict[str, Response],
) -> None:
    assert responses["vendi-ratio"].shifts[DROPPED] < 2 * responses["vendi"].shifts[DROPPED] < 0


def test_fd_sees_outliers_that_kernel_distances_hardly_do(responses: dict[str, Response]) -> None:
    assert responses["fd"].shifts[WILD] > 10
    assert responses["fd"].shifts[DROPPED] > 3
    assert responses["cmmd"].is_blind(WILD)


def test_only_distances_of_distributions_see_another_weight(
    responses: dict[str, Response],
) -> None:
    assert responses["kid"].shifts[HEAVY] > 3
    for name in ("recall", "coverage", "precision"):
        assert responses[name].is_blind(HEAVY)


def test_noise_looks_diverse(responses: dict[str, Response]) -> None:
    assert responses["vendi"].shifts[NOISY] > 3
    assert responses["feature-distance"].shifts[NOISY] > 2
    assert responses["precision"].shifts[NOISY] < -10


def test_only_memorisation_scores_see_copies(responses: dict[str, Response]) -> None:
    assert responses["authenticity"].shifts[COPIED] < -3
    assert responses["nearest-ratio"].shifts[COPIED] < 0
    for name in ("kid", "recall", "coverage", "precision", "vendi"):
        assert responses[name].is_blind(COPIED)


def test_only_duplicates_see_repeats(responses: dict[str, Response]) -> None:
    assert responses["duplicates"].shifts[REPEATED] > 10
    for name in ("kid", "coverage", "precision"):
        assert responses[name].is_blind(REPEATED)


def test_the_page_says_what_the_numbers_say(responses: dict[str, Response]) -> None:
    setting = {"command": "x", "dimensions": 1, "n": 1000, "null_draws": 8, "draws": 2}
    page = write_page(list(responses.values()), aliases={"fid@1": "as fd"}, setting=setting)
    row = next(line for line in page.splitlines() if line.startswith("| `density@1`"))
    assert "–" in row
    words = next(line for line in page.splitlines() if line.startswith("- `coverage@1`"))
    assert "one mode 5 times" in words


def test_the_page_of_the_documentation_has_every_set_metric() -> None:
    page = (Path(__file__).parents[3] / "docs" / "failures.md").read_text("utf-8")
    missing = [metric.id for metric in set_metrics() if f"`{metric.id}`" not in page]
    assert missing == []
