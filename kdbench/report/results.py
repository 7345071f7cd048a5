"""Records as one long table for pandas."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from kdbench.errors import StoreError
from kdbench.record import Cost, Identity, Interval, Record, Score
from kdbench.store import Store, load_records

_IDENTITY = (
    "suite",
    "task",
    "pair",
    "arm",
    "role",
    "reference",
    "family",
    "method",
    "nfe",
    "parameters",
    "teacher",
    "teacher_replicate",
    "train_seed",
    "origin",
)
_MEASURED = (
    "quantity",
    "metric",
    "split",
    "boundary",
    "batch",
    "value",
    "low",
    "high",
    "unit",
    "higher_is_better",
    "n",
    "extractor",
    "protocol",
    "against",
    "config_key",
    "reason",
    "marks",
)
COLUMNS = (*_IDENTITY, "status", "created", *_MEASURED)
"""The columns of the table, in their order."""


def load_results(path: str | Path) -> pd.DataFrame:
    """Read an output folder, or any folder of records, as one row a score or cost.

    Returns:
        The columns `COLUMNS`; `quantity` is `score`, `cost` or, for a run that left neither,
        `none`. A missing value is NaN with its reason beside it.

    Raises:
        StoreError: the folder does not exist, or a file in it is not a record.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise StoreError(
            f"There is no folder {folder}: run `kdbench run` first, or check the path."
        )
    own = Store(folder)
    records = own.records() if (folder / "records").is_dir() else load_records(folder)
    return tabulate_records(records)


def tabulate_records(records: Iterable[Record]) -> pd.DataFrame:
    """Records in the order given as one row a score or cost."""
    rows = [row for record in records for row in _rows(record)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _rows(record: Record) -> list[dict[str, Any]]:
    shared = _describe(record.identity) | {"status": record.status, "created": record.created}
    measured = [*map(_score, record.scores), *map(_cost, record.costs)]
    return [shared | one for one in measured or [{"quantity": "none", "reason": record.reason}]]


def _describe(identity: Identity) -> dict[str, Any]:
    return {name: getattr(identity, name) for name in _IDENTITY}


def _score(score: Score) -> dict[str, Any]:
    return {
        "quantity": "score",
        "metric": score.metric,
        "split": score.split,
        "value": score.value,
        "unit": score.unit,
        "higher_is_better": score.higher_is_better,
        "n": score.n,
        "extractor": score.extractor,
        "protocol": score.protocol,
        "reason": score.reason,
        "marks": "; ".join(score.marks) or None,
    } | _bounds(score.interval)


def _cost(cost: Cost) -> dict[str, Any]:
    return {
        "quantity": "cost",
        "metric": cost.metric,
        "boundary": cost.boundary,
        "batch": cost.batch,
        "value": cost.value,
        "unit": cost.unit,
        "n": cost.n,
        "against": cost.against,
        "config_key": cost.config_key,
        "reason": cost.reason,
        "marks": "; ".join(cost.marks) or None,
    } | _bounds(cost.interval)


def _bounds(interval: Interval | None) -> dict[str, float | None]:
    return {
        "low": interval.low if interval else None,
        "high": interval.high if interval else None,
    }
