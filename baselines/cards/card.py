"""What is known of a method beside its code: one TOML file a method, read and checked here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from kdbench.errors import BadSpec
from kdbench.spec import Spec, load_toml

FOLDER = Path(__file__).parent


Address = Annotated[str, Field(pattern=r"^https://[^\s<>()]+$")]


class Paper(Spec):
    """Where the method was published."""

    reference: str
    """Authors, year and title."""
    arxiv: str = Field(pattern=r"^\d{4}\.\d{4,5}$")
    where: str = ""
    """Equation, section or algorithm; empty where we are not sure."""


class Official(Spec):
    """Hyper-parameters of the official code in one setting."""

    setting: str
    source: str
    values: dict[str, str] = Field(min_length=1)
    """By our own names (of the method's parameters and of a budget) where we have the same."""


class Published(Spec):
    """A figure that others published."""

    value: str
    metric: str
    task: str
    calls: str
    protocol: str = Field(min_length=1)
    """Number of images, reference and code, or that our source does not say."""
    source: str = Field(min_length=1)


class Card(Spec):
    """One method."""

    method: str
    """Its name without the version."""
    kind: Literal["distillation", "control"]
    """A control is trained without a teacher, and students are measured against it."""
    idea: str = Field(pattern=r"^[A-Z].+\.$")
    equation: str
    code: tuple[Address, ...]
    """Where the official code is."""
    code_note: str = ""
    papers: tuple[Paper, ...] = Field(min_length=1)
    differs: tuple[str, ...] = Field(min_length=1)
    """What our version does otherwise."""
    tried: tuple[str, ...] = ()
    """What did not help at this size, beyond the trials that pairs cite."""
    official: tuple[Official, ...] = ()
    published: tuple[Published, ...] = ()


def load_cards(folder: Path = FOLDER) -> tuple[Card, ...]:
    """All cards of a folder, distillation before controls, by name.

    Raises:
        BadSpec: a file is no card, or describes another method than it is called after.
    """
    cards = []
    for path in sorted(folder.glob("*.toml")):
        card = load_toml(path, Card)
        if card.method != path.stem:
            raise BadSpec(f"{path.name} describes {card.method!r}: name the file after it.")
        cards.append(card)
    return tuple(sorted(cards, key=lambda card: (card.kind != "distillation", card.method)))
