"""What the trainings of a row cost and what they used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean

from kdbench.record import Record, Training
from kdbench.report.columns import Measured
from kdbench.report.formats import format_count, format_number, format_three
from kdbench.report.rows import Row
from kdbench.report.table import Cell, Column, missing_cell, number_cell
from kdbench.report.topics import QUALITY, TRAINING

_NO_TRAINING = {"published": "published weights: training not repeated", "none": "no training"}


def training_columns(rows: Sequence[Row]) -> list[Measured]:
    """What the trainings cost; left out where nothing was trained."""
    if not _any_trained(rows):
        return []
    return [
        _amount_column(
            "training_chain_macs",
            "training MACs",
            lambda training: training.chain_macs,
            topic=TRAINING,
            note="Training MACs: multiply-accumulates with every prerequisite, backward counted; "
            "published teachers excluded. Means over seeds.",
        ),
        _amount_column(
            "training_seconds",
            "own updates (s)",
            lambda training: training.seconds,
            form=format_three,
            topic=TRAINING,
            note="Own updates: seconds of this training alone, on the machine of the record.",
        ),
    ]


def use_columns(rows: Sequence[Row]) -> list[Measured]:
    """What the trainings touched besides time; left out where nothing was trained."""
    if not _any_trained(rows):
        return []
    return [
        Measured(
            Column("uses", "uses"),
            _uses_cell,
            "What each row used: of this training alone, without its prerequisites; means over "
            "seeds. Teacher NFE: evaluations of the teacher's network for single images.",
        ),
        _amount_column("images_seen", "images seen", lambda training: training.images_seen),
        _amount_column(
            "real_images_touched",
            "real images touched",
            lambda training: training.real_images_touched,
        ),
        _amount_column("teacher_nfe", "teacher NFE", lambda training: training.teacher_nfe),
        Measured(Column("tuning_trials", "tuning trials", "number"), _trials_cell, ""),
    ]


def _any_trained(rows: Sequence[Row]) -> bool:
    return any(_trained(row) for row in rows)


def _trained(row: Row) -> list[Record]:
    return [record for record in row.finished if record.training]


def _amount_column(
    key: str,
    title: str,
    amount: Callable[[Training], float],
    *,
    form: Callable[[float], str] = format_count,
    note: str = "",
    topic: str = QUALITY,
) -> Measured:
    def cell(row: Row) -> Cell:
        return _mean_cell(row, lambda record: amount(_training(record)), form=form)

    return Measured(Column(key, title, "number"), cell, note, topic)


def _training(record: Record) -> Training:
    assert record.training is not None
    return record.training


def _trials_cell(row: Row) -> Cell:
    return _mean_cell(row, lambda record: record.identity.tuning_trials, form=format_number)


def _mean_cell(
    row: Row, amount: Callable[[Record], float], *, form: Callable[[float], str]
) -> Cell:
    """The mean over trained seeds, or why there is none."""
    trained = _trained(row)
    if not trained:
        return missing_cell(_reason(row))
    return number_cell(fmean(amount(record) for record in trained), form=form)


def _uses_cell(row: Row) -> Cell:
    """Everything that some seed used, in the order of the records."""
    trained = _trained(row)
    if not trained:
        return missing_cell(_reason(row))
    uses = dict.fromkeys(use for record in trained for use in _training(record).uses)
    return Cell(", ".join(uses)) if uses else missing_cell("not recorded")


def _reason(row: Row) -> str:
    return _NO_TRAINING.get(row.identity.origin, "not recorded")
