"""The columns of a leaderboard: what they are called and what a row shows in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kdbench.record import Score
from kdbench.report.conditions import Conditions, most_common
from kdbench.report.facts import TaskFacts
from kdbench.report.formats import format_count
from kdbench.report.rows import Row
from kdbench.report.table import Cell, Column, estimate_cell, number_cell
from kdbench.report.topics import QUALITY, place_of, starts_with, topic_of
from kdbench.statistics import Estimated

_ORDER = ("fd", "precision", "recall", "density", "coverage", "class-accuracy")
"""Quality after the main metric, by the start of the name; others follow in alphabetical order."""
_TITLES = {
    "cmmd": "CMMD",
    "copying-test": "copying test C_T",
    "delta-fd": "ΔFD to teacher",
    "fd": "FD",
    "fd-clip": "FD-CLIP",
    "fd-dinov2": "FD-DINOv2",
    "fd-infinity": "FD∞",
    "fd-teacher": "FD to teacher",
    "fd-worst-class": "FD of the worst class",
    "fid": "FID",
    "kid": "KID",
    "kid-stratified": "stratified KID",
    "kid-stratified-teacher": "stratified KID to teacher",
    "kid-teacher": "KID to teacher",
    "kid-worst-class": "KID of the worst class",
    "coverage-teacher": "coverage of teacher",
    "psnr": "PSNR",
    "recall-teacher": "recall of teacher",
    "vendi": "Vendi",
    "vendi-q2": "Vendi q = 2",
    "vendi-ratio": "Vendi / teacher",
    "wasserstein2": "Wasserstein-2",
}


@dataclass(frozen=True)
class Measured:
    """A column with the function that fills it, and what is said of it below the table."""

    column: Column
    cell: Callable[[Row], Cell]
    note: str
    topic: str = QUALITY
    """Heading of the table that a score stands in."""


def metrics_of(rows: Sequence[Row], facts: TaskFacts) -> list[str]:
    """Every metric with a held-out value in some row, the main one first."""
    found = {
        score.metric
        for row in rows
        for record in row.finished
        for score in record.scores
        if score.split == "held-out" and score.value is not None
    }

    def place(metric: str) -> tuple[bool, bool, int, str]:
        other = topic_of(metric) != QUALITY
        starts = [i for i, name in enumerate(_ORDER) if starts_with(metric, name)]
        own = place_of(metric) if other else (starts or [len(_ORDER)])[0]
        return metric != facts.main, other, own, metric

    return sorted(found, key=place)


def score_columns(rows: Sequence[Row], facts: TaskFacts) -> list[Measured]:
    """One column for each metric of the rows."""
    return [_score_column(rows, metric) for metric in metrics_of(rows, facts)]


def _score_column(rows: Sequence[Row], metric: str) -> Measured:
    usual = most_common(c for row in rows for c in _conditions(row, metric))
    example = next(s for row in rows for s in row.scores(metric).values() if s.value is not None)
    title = title_of(example)

    def cell(row: Row) -> Cell:
        estimate = row.estimate(metric)
        unlike = [c for c in _conditions(row, metric) if usual and not c.agree(usual)]
        if estimate.value is not None and unlike:
            note = f"not to be ranked: {unlike[0].describe()}"
            estimate = _with_reason(estimate, note)
        return estimate_cell(estimate)

    arrow = {True: " ↑", False: " ↓", None: ""}[example.higher_is_better]
    size = f" (n = {example.n:,})" if metric.startswith("fd@") else ""
    note = f"{title} ({metric}): {usual.describe()}.{_marks(rows, metric)}" if usual else ""
    return Measured(Column(metric, title + size + arrow, "estimate"), cell, note, topic_of(metric))


def _marks(rows: Sequence[Row], metric: str) -> str:
    """What must be known before believing a column, from the row where it is said at most length.

    Marks that differ from row to row, as the size of a bias does, are told by one example.
    """
    found = dict.fromkeys(
        mark for row in rows for score in row.scores(metric).values() for mark in score.marks
    )
    if not found:
        return ""
    more = f" (so or similarly in {len(found)} cases)" if len(found) > 1 else ""
    return f" Marked: {next(iter(found))}{more}."


def _conditions(row: Row, metric: str) -> set[Conditions]:
    """The row's conditions, without the reference where every seed has its own."""
    found = row.conditions(metric)
    if len({c.reference for c in found}) > 1:
        return {c.pooled for c in found}
    return found


def _with_reason(estimate: Estimated, reason: str) -> Estimated:
    both = "; ".join(filter(None, (estimate.reason, reason)))
    return Estimated(estimate.value, estimate.low, estimate.high, estimate.n, both)


def title_of(score: Score) -> str:
    """What readers call a metric: `FD[digits-cnn@1]`, `PSNR to teacher (dB)`."""
    name, title = score.metric.partition("@")[0], short_title(score.metric)
    if name == "fd" and score.extractor:
        title += f"[{score.extractor.partition(':')[0]}]"
    if name.startswith(("psnr", "ssim")) and "teacher" in score.protocol:
        title += " to teacher"
    return f"{title} ({score.unit})" if score.unit else title


def short_title(metric: str) -> str:
    """What readers call a metric where there is little room: `KID`.

    >>> short_title("class-accuracy@1")
    'class accuracy'
    """
    name = metric.partition("@")[0]
    return _TITLES.get(name, "SSIM" if name.startswith("ssim") else name.replace("-", " "))


def parameters_cell(row: Row) -> Cell:
    """Parameters of the network that is sampled."""
    reason = "no network" if row.identity.nfe == 0 else "not recorded"
    return number_cell(row.identity.parameters, reason=reason, form=format_count)
