"""The table of all methods, which links to their pages."""

from __future__ import annotations

from collections.abc import Sequence

from kdbench_baselines.cards.card import Card
from kdbench_baselines.cards.ours import pairs_of
from kdbench_baselines.cards.page import MADE, standing
from kdbench_baselines.cards.published import Published, rows_of
from kdbench_baselines.cards.trials import read_trials

from kdbench.report.columns import title_of
from kdbench.report.escape import escape_markdown
from kdbench.report.formats import MISSING, describe_calls, format_estimate
from kdbench.report.rows import Row
from kdbench.spec import Pair

HEAD = """\
# Methods

Made by `python -m kdbench_baselines.cards --write docs/methods`; do not edit. What is said of
papers is in `baselines/cards/*.toml`, what is said of our pairs in their own TOML files, what was
measured in the published records.

S student, T teacher, F a network that follows the student's images (fake score), D a denoiser or a
discriminator, z latent, y label, ε noise, x_σ = x + σ ε, sg(·) without gradients. *Calls* are
network evaluations an image. A published figure stands beside ours to show what the method does at
its own size: FID on natural images and KID of digits are different scales, and nothing is ranked
across them. Differences are student minus opponent, with 95 % Student t intervals over training
seeds paired by seed; the words of verdicts, anchors and gains are those of the leaderboard.

*Shown* is what a gain over training without a teacher was claimed for, in the comparisons that a
suite names before it is run; for a method without a teacher, that it is better than the best other
one. *Best measured* is the best row of each task, with its 95 % interval: it was picked by that
very value, so it flatters a method that has more rows.
"""
_TITLES = ("method", "paper", "calls tried here", "best measured here", "shown to work here", "why")
_ROLES = ("student", "scratch")
"""Rows of what a method trains; its teachers and their few-step rows are not its result."""


def write_index(cards: Sequence[Card], published: Sequence[Published], *, folder: str) -> str:
    """The introduction and a table for each kind of method.

    Args:
        cards: of all methods.
        published: what was measured.
        folder: where their pages are, beside the index.
    """
    suites = ", ".join(dict.fromkeys(one.suite for one in published))
    parts = [
        MADE,
        HEAD,
        f"Published suites that are read here: {escape_markdown(suites) or 'none'}.",
    ]
    for kind, heading in (("distillation", "With a teacher"), ("control", "Without a teacher")):
        own = [card for card in cards if card.kind == kind]
        rows = [_pipe(_TITLES), _pipe(["---"] * len(_TITLES))]
        rows += [_pipe(_cells(card, published, folder)) for card in own]
        parts += [f"## {heading}", "\n".join(rows)]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _pipe(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cells(card: Card, published: Sequence[Published], folder: str) -> list[str]:
    pairs = pairs_of(card.method)
    said, why = standing(card, pairs, published)
    arxiv = card.papers[0].arxiv
    return [
        f"[{escape_markdown(card.method)}]({folder}/{card.method}.md)",
        f"[{arxiv}](https://arxiv.org/abs/{arxiv})",
        _calls(pairs, published),
        escape_markdown(_best(pairs, published)),
        f"**{escape_markdown(said)}**",
        escape_markdown(why),
    ]


def _calls(pairs: Sequence[Pair], published: Sequence[Published]) -> str:
    """Of what was measured and of trials."""
    roles = {(pair.name, name): arm.role for pair in pairs for name, arm in pair.arms.items()}
    found = {row.identity.nfe for one in published for row in _own(one, pairs)}
    found |= {
        row["nfe"] for row in read_trials(pairs) if roles.get((row["pair"], row["arm"])) in _ROLES
    }
    return ", ".join(map(str, sorted(nfe for nfe in found if nfe is not None))) or MISSING


def _own(one: Published, pairs: Sequence[Pair]) -> list[Row]:
    return [row for row in rows_of(one, pairs) if row.identity.role in _ROLES and row.finished]


def _best(pairs: Sequence[Pair], published: Sequence[Published]) -> str:
    """Of each task that has a value."""
    said: dict[str, tuple[float, str]] = {}
    for one in published:
        for row in _own(one, pairs):
            estimate = row.estimate(one.facts.main)
            if estimate.value is None or row.disqualified:
                continue
            worth = estimate.value if one.facts.higher_is_better else -estimate.value
            title = title_of(next(iter(row.scores(one.facts.main).values())))
            calls = describe_calls(row.identity.nfe)
            text = f"{one.facts.task} {title} {format_estimate(estimate)}, {calls}"
            said[one.facts.task] = max(said.get(one.facts.task, (worth, text)), (worth, text))
    return "; ".join(text for _, text in said.values()) or MISSING
