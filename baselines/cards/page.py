"""The page of one method: what it is, what its paper did, and what it did here."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from kdbench_baselines.cards.card import Card
from kdbench_baselines.cards.marks import bullets, listed, literal
from kdbench_baselines.cards.measured import write_measured
from kdbench_baselines.cards.ours import pairs_of, write_pair, write_unrun
from kdbench_baselines.cards.parameters import write_official_sources, write_parameters
from kdbench_baselines.cards.published import Published, outcomes_of, rows_of
from kdbench_baselines.cards.trials import write_trials
from kdbench_baselines.cards.verdicts import write_standing

from kdbench import registry
from kdbench.report.escape import escape_markdown
from kdbench.report.table import Cell, Column, Group, Table, to_markdown
from kdbench.spec import Pair

MADE = "<!-- Made by python -m kdbench_baselines.cards; do not edit. -->"
"""The first line of every file that the command writes, by which it knows its own."""


def standing(card: Card, pairs: Sequence[Pair], published: Sequence[Published]) -> tuple[str, str]:
    """Whether a method is shown to work here, and why that is said."""
    return write_standing(
        outcomes_of(published, pairs),
        kind=card.kind,
        measured=any(row.finished for one in published for row in rows_of(one, pairs)),
    )


def write_page(card: Card, published: Sequence[Published], *, index: str) -> str:
    """One card: the paper's method, then ours.

    Args:
        card: of the method.
        published: what was measured.
        index: file name of the table of all methods, in the folder above.
    """
    pairs = pairs_of(card.method)
    ran = {row.identity.pair for one in published for row in one.rows}
    apart = [pair for pair in pairs if pair.unrun and pair.id not in ran]
    said, why = standing(card, pairs, published)
    parts = [
        MADE,
        f"# {escape_markdown(card.method)}",
        f"[All methods](../{index}), where letters and words are explained.",
        f"**{escape_markdown(said)}**: {escape_markdown(why)}.",
        *_paper(card),
        *([] if pairs else ["No pair of kdbench's own uses it yet."]),
        *_tasks(card, [pair for pair in pairs if pair not in apart], published),
        *write_unrun(card, apart),
        *listed("Also tried at this size", card.tried),
        *write_trials(pairs),
    ]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _paper(card: Card) -> list[str]:
    papers = [
        f"{paper.reference}, arXiv:{paper.arxiv}" + (f" ({paper.where})" if paper.where else "")
        for paper in card.papers
    ]
    uses = registry.methods.load(card.method).uses
    facts = [*papers, f"what it touches: {', '.join(uses)}"]
    return [
        escape_markdown(card.idea),
        literal(card.equation),
        f"{bullets(facts)}\n- official code: {_addresses(card)}",
        *listed("What differs here", card.differs),
        "## Published figures",
        _published(card),
        "## Parameters, pairs and results",
        write_official_sources(card),
    ]


def _tasks(card: Card, pairs: Sequence[Pair], published: Sequence[Published]) -> list[str]:
    parts: list[str] = []
    for task, group in groupby(pairs, key=lambda pair: pair.task):
        own = list(group)
        parts += [
            f"### {escape_markdown(task)}",
            *write_parameters(card, own),
            "\n".join(write_pair(pair) for pair in own),
            *write_measured([one for one in published if one.facts.task == task], own),
        ]
    return parts


def _addresses(card: Card) -> str:
    addresses = ", ".join(f"<{address}>" for address in card.code)
    return f"{addresses} {escape_markdown(card.code_note)}".strip()


def _published(card: Card) -> str:
    """One row a figure; protocols and sources, which figures share, stand below."""
    if not card.published:
        return "None from a source that was read."
    columns = tuple(Column(title, title) for title in ("published", "metric", "task", "calls"))
    rows = tuple(
        (
            Cell(one.value, note=f"{one.protocol}. Source: {one.source}."),
            Cell(one.metric),
            Cell(one.task),
            Cell(one.calls),
        )
        for one in card.published
    )
    return to_markdown(Table(columns, (Group("", rows),)))
