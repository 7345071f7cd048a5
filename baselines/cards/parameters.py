"""What kdbench's pairs train with, beside the values of official code: one table a task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kdbench_baselines.cards.card import Card
from kdbench_baselines.cards.marks import bullets, text_table, write_value

from kdbench import registry
from kdbench.keys import resolved_params
from kdbench.report.escape import escape_markdown
from kdbench.spec import Budget, Pair, Spec


def _params_of(pair: Pair) -> type[Spec]:
    assert pair.method is not None
    kind: type[Spec] = registry.methods.load(pair.method.name).Params
    return kind


def write_parameters(card: Card, pairs: Sequence[Pair]) -> list[str]:
    """Official values and those of each pair; what says nothing stands in lines below."""
    own = {pair.name: _values(pair) for pair in pairs}
    official = {f"official, {one.setting}": dict(one.values) for one in card.official}
    known = {name for column in official.values() for name in column}
    same = _same(list(own.values()), known)
    usual = {n: v for n, v in same.items() if all(_defaults(p).get(n) == v for p in pairs)}
    shared = {n: v for n, v in same.items() if n not in usual} if len(pairs) > 1 else {}
    columns: dict[str, Mapping[str, str]] = {**official, **own}
    named = dict.fromkeys(n for column in (*own.values(), *official.values()) for n in column)
    rows = [
        [name, *(column.get(name, "") for column in columns.values())]
        for name in named
        if name not in usual and name not in shared
    ]
    below = [
        escape_markdown(f"{words}: {'; '.join(map(' '.join, values.items()))}.")
        for words, values in (
            ("In all of ours", shared),
            ("Our defaults, no official value known", usual),
        )
        if values
    ]
    return [text_table(["parameter", *columns], rows), *below]


def write_official_sources(card: Card) -> str:
    """Where the official values are from."""
    sources = [f"Official values, {one.setting}: {one.source}." for one in card.official]
    return bullets(sources or ["No official values are known to us from a source that was read."])


def _values(pair: Pair) -> dict[str, str]:
    """What a pair trains with, by name."""
    assert pair.network is not None
    assert pair.budget is not None
    network = {"network": f"{pair.network.name} {write_value(pair.network.args)}".strip()}
    origin = {"teacher": pair.teacher or "none", "start": pair.start or "random weights"}
    numbers = _side_by_side(pair, resolved_params(pair), pair.budget.model_dump())
    return network | origin | {name: write_value(value) for name, value in numbers.items()}


def _defaults(pair: Pair) -> dict[str, str]:
    """What a method and a budget take where a pair says nothing, by name."""
    values = _side_by_side(pair, _defaults_of(_params_of(pair)), _defaults_of(Budget))
    return {name: write_value(value) for name, value in values.items()}


def _defaults_of(kind: type[Spec]) -> dict[str, Any]:
    fields = {name: field for name, field in kind.model_fields.items() if not field.is_required()}
    return {name: one.get_default(call_default_factory=True) for name, one in fields.items()}


def _side_by_side(
    pair: Pair, params: Mapping[str, Any], budget: Mapping[str, Any]
) -> dict[str, Any]:
    """All by name; a method's parameter keeps a name that the budget has too."""
    taken = _params_of(pair).model_fields
    return {**params, **{f"budget.{n}" if n in taken else n: v for n, v in budget.items()}}


def _same(own: Sequence[dict[str, str]], official: set[str]) -> dict[str, str]:
    """What pairs have in common and no official value stands beside."""
    return {
        name: value
        for name, value in own[0].items()
        if name not in official and all(other.get(name) == value for other in own)
    }
