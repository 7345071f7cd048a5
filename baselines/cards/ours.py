"""How kdbench's own pairs use a method: arms, tuning, controls, and what was never run."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from kdbench_baselines.cards.card import FOLDER, Card
from kdbench_baselines.cards.marks import bullets, write_value
from kdbench_baselines.cards.parameters import write_parameters

from kdbench import registry
from kdbench.report.escape import escape_markdown
from kdbench.spec import Pair

BASELINES = FOLDER.parent
_TO_ROOT = "../.."
"""From a page in docs/methods."""


def pairs_of(method: str) -> tuple[Pair, ...]:
    """kdbench's own pairs that train with a method, by task and name."""
    own = (name for name in registry.pairs if _is_ours(registry.pairs.path(name)))
    pairs = (registry.pairs.load(name) for name in own)
    users = (p for p in pairs if p.method and p.method.name.partition("@")[0] == method)
    return tuple(sorted(users, key=lambda pair: (pair.task, pair.name)))


def _is_ours(path: Path) -> bool:
    return path.resolve().is_relative_to(BASELINES.resolve())


def _link(pair: Pair) -> str:
    path = registry.pairs.path(pair.name).resolve().relative_to(BASELINES.resolve())
    return f"[{escape_markdown(pair.name)}]({_TO_ROOT}/baselines/{path.as_posix()})"


def write_pair(pair: Pair) -> str:
    """An item of a list: a pair, how it is sampled, what was tried, what stands beside it."""
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
    below = textwrap.indent(bullets(lines), "  ")
    return f"- **{_link(pair)}**: {escape_markdown(pair.summary)}\n{below}"


def write_unrun(card: Card, pairs: Sequence[Pair]) -> list[str]:
    """A line for each pair that was never run, and the parameters of those of official size."""
    if not pairs:
        return []
    parts = ["## Written, never run", "\n".join(_unrun_line(pair) for pair in pairs)]
    official = [pair for pair in pairs if _is_of_official_size(pair)]
    for task, group in groupby(official, key=lambda pair: pair.task):
        parts += [f"{escape_markdown(task)}:", *write_parameters(card, list(group))]
    return parts


def _unrun_line(pair: Pair) -> str:
    note = f" {pair.tuning.note}" if _is_of_official_size(pair) else ""
    return f"- {_link(pair)}, {escape_markdown(f'{pair.unrun}: {pair.summary}{note}')}"


def _is_of_official_size(pair: Pair) -> bool:
    return "-official-" in pair.name or pair.task.startswith("imagenet64@")
