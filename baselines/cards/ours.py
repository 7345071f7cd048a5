"""How kdbench's own pairs use a method: parameters beside the official ones, trials, controls."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from kdbench_baselines.cards.card import FOLDER, Card
from kdbench_baselines.cards.marks import bullets, text_table, write_value

from kdbench import registry
from kdbench.report.escape import escape_markdown
from kdbench.report.formats import format_number
from kdbench.spec import Pair

BASELINES = FOLDER.parent


def pairs_of(method: str) -> tuple[Pair, ...]:
    """kdbench's own pairs that train with a method, by task and name."""
    own = (name for name in registry.pairs if _is_ours(registry.pairs.path(name)))
    pairs = (registry.pairs.load(name) for name in own)
    users = (p for p in pairs if p.method and p.method.name.partition("@")[0] == method)
    return tuple(sorted(users, key=lambda pair: (pair.task, pair.name)))


def _is_ours(path: Path) -> bool:
    return path.resolve().is_relative_to(BASELINES.resolve())


def resolved_params(pair: Pair) -> dict[str, Any]:
    """All parameters of the pair's method, with the defaults of those that it does not set."""
    assert pair.method is not None
    params = registry.methods.load(pair.method.name).Params(**pair.method.params)
    return dict(params.model_dump())


def _values(pair: Pair) -> dict[str, str]:
    """What a pair trains with, by name."""
    assert pair.network is not None
    assert pair.budget is not None
    network = {"network": f"{pair.network.name} {write_value(pair.network.args)}".strip()}
    origin = {"teacher": pair.teacher or "none", "start": pair.start or "random weights"}
    numbers = {**resolved_params(pair), **pair.budget.model_dump()}
    return network | origin | {name: write_value(value) for name, value in numbers.items()}


def write_parameters(card: Card, pairs: Sequence[Pair]) -> list[str]:
    """One table a task: every parameter, its official values and those of each pair."""
    parts = []
    sources = [f"Official values, {one.setting}: {one.source}." for one in card.official]
    for task, group in groupby(pairs, key=lambda pair: pair.task):
        own = {pair.name: _values(pair) for pair in group}
        official = {f"official, {one.setting}": dict(one.values) for one in card.official}
        same = _same(list(own.values()), {name for column in official.values() for name in column})
        columns: dict[str, Mapping[str, str]] = {**official, **own}
        named = (*own.values(), *official.values())
        names = dict.fromkeys(name for column in named for name in column if name not in same)
        rows = [[name, *(column.get(name, "") for column in columns.values())] for name in names]
        shared = "; ".join(f"{name} {value}" for name, value in same.items())
        parts += [
            f"Parameters on {escape_markdown(task)}:",
            text_table(["parameter", *columns], rows),
            *([bullets([f"In all of ours: {shared}."])] if shared else []),
        ]
    if parts and not sources:
        sources = ["No official values are known to us from a source that was read."]
    return [*parts, *([bullets(sources)] if parts else [])]


def _same(own: Sequence[dict[str, str]], official: set[str]) -> dict[str, str]:
    """What several pairs have in common and no official value stands beside."""
    if len(own) == 1:
        return {}
    return {
        name: value
        for name, value in own[0].items()
        if name not in official and all(other.get(name) == value for other in own)
    }


def write_pair(pair: Pair) -> str:
    """What a pair is, how it is sampled, what was tried, and what stands beside it."""
    arms = [
        f"{name} ({arm.role}): {arm.sampling.sampler} {write_value(arm.sampling.args)}"
        for name, arm in pair.arms.items()
    ]
    cited = f" ({pair.tuning.record})" if pair.tuning.record else ""
    lines = [
        *([f"never run as it is: {pair.unrun}"] if pair.unrun else []),
        f"arms: {'; '.join(arms)}",
        f"tuning trials: {pair.tuning.trials}{cited}. {pair.tuning.note}".strip(),
        f"controls: {', '.join(pair.controls) or 'none named'}",
    ]
    return f"**{escape_markdown(pair.name)}**: {escape_markdown(pair.summary)}\n\n{bullets(lines)}"


def write_trials(pairs: Sequence[Pair], folder: Path = BASELINES / "tuning") -> list[str]:
    """The trials that pairs cite, with what was changed and what came of it on validation."""
    names = {pair.name for pair in pairs}
    files = dict.fromkeys(pair.tuning.record for pair in pairs if pair.tuning.record)
    there = [folder / file for file in files if (folder / file).is_file()]
    rows = [
        _trial(row)
        for path in there
        for row in json.loads(path.read_text("utf-8"))
        if row.get("pair") in names and "set" in row
    ]
    absent = [f"{file} is not written yet." for file in files if folder / file not in there]
    titles = ["pair/arm", "trial", "changed", "calls", "on validation", "metric"]
    table = ["Trials on the validation split:", text_table(titles, rows)] if rows else []
    return [*table, *([bullets(absent)] if absent else [])]


def _trial(row: Mapping[str, Any]) -> list[str]:
    changed = {name: value for name, value in row["set"].items() if not name.startswith("arms.")}
    samplers = ["samplers"] if len(changed) < len(row["set"]) else []
    words = [*(f"{name} = {write_value(value)}" for name, value in changed.items()), *samplers]
    return [
        f"{row['pair']}/{row['arm']}",
        row["label"],
        ", ".join(words),
        str(row["nfe"]),
        "" if row["validation"] is None else format_number(row["validation"]),
        row["metric"],
    ]
