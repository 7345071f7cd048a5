"""All cards as one Markdown page."""

from __future__ import annotations

from collections.abc import Sequence

from kdbench_baselines.cards.card import Card
from kdbench_baselines.cards.marks import bullets, text_table
from kdbench_baselines.cards.measured import Published, outcomes_of, rows_of, write_measured
from kdbench_baselines.cards.ours import pairs_of, write_pair, write_parameters, write_trials
from kdbench_baselines.cards.verdicts import write_standing

from kdbench import registry
from kdbench.report.escape import escape_markdown

HEAD = """\
# Methods

Made by `python -m kdbench_baselines.cards --write docs/methods.md`; do not edit. What is said of
papers is in `baselines/cards/*.toml`, what is said of our pairs in their own TOML files, what was
measured in the published records.

S student, T teacher, F a network that follows the student's images (fake score), D a denoiser or a
discriminator, z latent, y label, ε noise, x_σ = x + σ ε, sg(·) without gradients. *Calls* are
network evaluations an image. A published figure stands beside ours to show what the method does at
its own size: FID on natural images and KID of digits are different scales, and nothing is ranked
across them. Differences are student minus opponent, with 95 % Student t intervals over training
seeds paired by seed; the words of verdicts, anchors and gains are those of the leaderboard.
"""


def write_page(cards: Sequence[Card], published: Sequence[Published]) -> str:
    """The page of all cards."""
    parts = [HEAD, _overview(cards, published), _sources(published)]
    for kind, heading in (("distillation", "With a teacher"), ("control", "Without a teacher")):
        own = [card for card in cards if card.kind == kind]
        parts += [f"## {heading}", *(write_card(card, published) for card in own)]
    return "\n\n".join(part.strip("\n") for part in parts if part) + "\n"


def _overview(cards: Sequence[Card], published: Sequence[Published]) -> str:
    rows = [[card.method, card.papers[0].arxiv, _standing(card, published)] for card in cards]
    return text_table(["method", "arXiv", "shown to work here"], rows)


def _standing(card: Card, published: Sequence[Published]) -> str:
    pairs = pairs_of(card.method)
    return write_standing(
        outcomes_of(published, pairs),
        kind=card.kind,
        measured=any(row.finished for one in published for row in rows_of(one, pairs)),
    )


def _sources(published: Sequence[Published]) -> str:
    suites = ", ".join(dict.fromkeys(one.suite for one in published))
    return f"Published suites that are read here: {escape_markdown(suites) or 'none'}."


def write_card(card: Card, published: Sequence[Published]) -> str:
    """One card: the paper's method, then ours."""
    pairs = pairs_of(card.method)
    uses = registry.methods.load(card.method).uses
    papers = [
        f"{paper.reference}, arXiv:{paper.arxiv}" + (f" ({paper.where})" if paper.where else "")
        for paper in card.papers
    ]
    facts = [*papers, f"what it touches: {', '.join(uses)}"]
    parts = [
        f"### `{card.method}`",
        escape_markdown(card.idea),
        f"Shown to work here: {escape_markdown(_standing(card, published))}.",
        _code(card.equation),
        f"{bullets(facts)}\n- official code: {_addresses(card)}",
        *_listed("What differs here", card.differs),
        *_published(card),
        *write_parameters(card, pairs),
        *(write_pair(pair) for pair in pairs),
        *([] if pairs else ["No pair of kdbench's own uses it yet."]),
        *write_trials(pairs),
        *_listed("Also tried at this size", card.tried),
        *(write_measured(published, pairs) if pairs else []),
    ]
    return "\n\n".join(part.strip("\n") for part in parts)


def _addresses(card: Card) -> str:
    addresses = ", ".join(f"<{address}>" for address in card.code)
    return f"{addresses} {escape_markdown(card.code_note)}".strip()


def _code(text: str) -> str:
    """Literal lines, indented, because nothing in them can end an indented block."""
    return "\n".join(f"    {line}" for line in text.strip("\n").splitlines())


def _listed(heading: str, lines: Sequence[str]) -> list[str]:
    return [f"{heading}:", bullets(lines)] if lines else []


def _published(card: Card) -> list[str]:
    if not card.published:
        return ["Published figures: none from a source that was read."]
    titles = ["published", "metric", "task", "calls", "protocol", "source"]
    rows = [
        [one.value, one.metric, one.task, one.calls, one.protocol, one.source]
        for one in card.published
    ]
    return ["Published figures:", text_table(titles, rows)]
