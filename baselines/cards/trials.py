"""The trials that pairs cite: what was changed, and what came of it on validation."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kdbench_baselines.cards.card import FOLDER
from kdbench_baselines.cards.marks import bullets, write_value

from kdbench.report.escape import escape_markdown
from kdbench.report.formats import format_number
from kdbench.report.table import Cell, Column, Group, Table, missing_cell, to_markdown
from kdbench.spec import Pair

TUNING = FOLDER.parent / "tuning"
Outcomes = Mapping[str, Any]
"""One arm of one trial, as the file of trials has it."""


def read_trials(pairs: Sequence[Pair], folder: Path = TUNING) -> list[Outcomes]:
    """The arms of all trials of some pairs that their files hold."""
    names = {pair.name for pair in pairs}
    return [
        row
        for file in _files(pairs)
        if (folder / file).is_file()
        for row in json.loads((folder / file).read_text("utf-8"))
        if row.get("pair") in names and "set" in row
    ]


def write_trials(pairs: Sequence[Pair], folder: Path = TUNING) -> list[str]:
    """A table a pair, one row a trial and one column an arm."""
    rows = read_trials(pairs, folder)
    parts = []
    for name in dict.fromkeys(row["pair"] for row in rows):
        own = [row for row in rows if row["pair"] == name]
        metrics = ", ".join(dict.fromkeys(row["metric"] for row in own))
        seeds = len({row["seed"] for row in own})
        counted = "one training seed" if seeds == 1 else f"{seeds} training seeds"
        parts += [f"{escape_markdown(f'{name}: {metrics}, {counted}')}.", _table(own)]
    absent = [
        f"{file} is not written yet." for file in _files(pairs) if not (folder / file).exists()
    ]
    parts += [bullets(absent)] if absent else []
    return ["## Trials on the validation split", *parts] if parts else []


def _files(pairs: Sequence[Pair]) -> list[str]:
    return list(dict.fromkeys(pair.tuning.record for pair in pairs if pair.tuning.record))


def _table(rows: Sequence[Outcomes]) -> str:
    arms = dict.fromkeys((row["arm"], row["nfe"]) for row in sorted(rows, key=lambda r: r["nfe"]))
    several = len({row["seed"] for row in rows}) > 1
    trials: dict[tuple[str, str], dict[tuple[str, int], Cell]] = {}
    for row in rows:
        label = f"{row['label']}, seed {row['seed']}" if several else row["label"]
        trials.setdefault((label, _changed(row)), {})[row["arm"], row["nfe"]] = _cell(row)
    columns = (
        Column("trial", "trial"),
        Column("changed", "changed"),
        *(Column(arm, f"{arm}, calls: {nfe}", "number") for arm, nfe in arms),
    )
    cells = tuple(
        (Cell(label), Cell(changed), *(found.get(arm, Cell("")) for arm in arms))
        for (label, changed), found in trials.items()
    )
    return to_markdown(Table(columns, (Group("", cells),)))


def _cell(row: Outcomes) -> Cell:
    if row["validation"] is None:
        return missing_cell(f"{row['label']}: {row['reason'] or 'no reason given'}")
    return Cell(format_number(row["validation"]))


def _changed(row: Outcomes) -> str:
    changed = {name: value for name, value in row["set"].items() if not name.startswith("arms.")}
    samplers = ["samplers"] if len(changed) < len(row["set"]) else []
    words = [f"{name} = {write_value(value)}" for name, value in changed.items()]
    return ", ".join([*words, *samplers]) or "nothing"
