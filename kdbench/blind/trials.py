"""What is shown on a blinded page: pairs of images, in random order and on random sides."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import Field
from torch import Tensor

from kdbench.digest import sha256_of
from kdbench.record import Part
from kdbench.spec import content_key

Side = Literal["left", "right"]


@dataclass(frozen=True, eq=False)
class Shown:
    """One image that may be shown."""

    name: str
    image: Tensor
    """(C, H, W), uint8."""


@dataclass(frozen=True, eq=False)
class Opponent:
    """Whose images the student's are compared with."""

    role: str
    """`teacher`, `targets` or `reference`."""
    name: str
    pairs: Sequence[tuple[Shown, Shown]]
    """The student's image and the other's, as many comparisons as are wanted."""
    notes: tuple[str, ...] = ()
    """Which images are not shown, and why."""


class KeyTrial(Part):
    """What the page does not know of one comparison."""

    student: Side
    against: str
    student_image: str
    other_image: str


class Key(Part):
    """Which side is whose, and whom the page was made of."""

    schema_: Literal["kdbench.blind-key/1"] = Field(alias="schema")
    test: str
    """Identity of the page, drawn on its own: the page shows it."""
    secret: str
    """32 random bytes, hexadecimal: order and sides are drawn from these alone."""
    content: str
    """SHA-256 of what is compared, by which the page is made again."""
    student: str
    others: dict[str, str]
    """Names by role."""
    trials: dict[str, KeyTrial]


@dataclass(frozen=True, eq=False)
class Trial:
    """One comparison as it is shown."""

    id: str
    """Its number on the page, from 1."""
    left: Tensor
    right: Tensor


def arrange(
    student: str, opponents: Sequence[Opponent], *, seed: int, before: Key | None = None
) -> tuple[tuple[Trial, ...], Key]:
    """All comparisons in random order, the student's image on a random side of each.

    Args:
        student: its name.
        opponents: one or more, with their pairs.
        seed: which images were chosen with.
        before: key of an earlier page; if that compared the same, it is made again.
    """
    all_pairs = [(opponent, *pair) for opponent in opponents for pair in opponent.pairs]
    shown = [sha256_of(own.image, other.image) for _, own, other in all_pairs]
    content = content_key([seed, [opponent.role for opponent, _, _ in all_pairs], shown])
    if before is not None and before.content == content:
        test, secret = before.test, before.secret
    else:
        test, secret = secrets.token_hex(8), secrets.token_bytes(32).hex()
    draw = np.random.default_rng(int(secret, 16))
    trials, key = [], {}
    for number, place in enumerate(draw.permutation(len(all_pairs)).tolist(), start=1):
        opponent, own, other = all_pairs[place]
        side: Side = "left" if draw.integers(2) else "right"
        sides = (own, other) if side == "left" else (other, own)
        trial = Trial(str(number), sides[0].image, sides[1].image)
        trials.append(trial)
        key[trial.id] = KeyTrial(
            student=side,
            against=opponent.role,
            student_image=own.name,
            other_image=other.name,
        )
    others = {opponent.role: opponent.name for opponent in opponents}
    return tuple(trials), Key(
        schema="kdbench.blind-key/1",
        test=test,
        secret=secret,
        content=content,
        student=student,
        others=others,
        trials=key,
    )
