"""Random numbers derived by name, so that no two purposes ever share a stream."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from kdbench.errors import KdbenchError

if TYPE_CHECKING:
    import torch

MOST_SEEDS = 1000

INPUT_VERSION = 1
"""Version of the recipe that turns (seed, image number) into that image's input."""


def seed(*names: str | int) -> int:
    """The 63-bit seed of a purpose, e.g. `seed("train", "digits@1", "luhman", 0)`.

    Names are joined with their types, so that `"1"` and `1` differ; SHA-256 keeps any two
    purposes independent.

    >>> seed("train", "toy@1", 0) == seed("train", "toy@1", 0)
    True
    >>> seed("train", "toy@1", 0) == seed("train", "toy@1", 1)
    False
    """
    text = "\x1f".join(f"{type(name).__name__}:{name}" for name in names)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def image_generators(base: int, start: int, stop: int) -> list[torch.Generator]:
    """One CPU generator for each of the images `start` to `stop` − 1 of the set seeded `base`.

    Image i has the same numbers whatever the batch size, the order or the number of workers
    (the per-sample generators of EDM, Karras et al. 2022).
    """
    import torch

    return [
        torch.Generator().manual_seed(seed("input", INPUT_VERSION, base, i))
        for i in range(start, stop)
    ]


def parse_seeds(text: str) -> tuple[int, ...]:
    """`0-4`, `3` or `0,2,5-7` as numbers.

    Raises:
        KdbenchError: the text is something else.

    >>> parse_seeds("0,2,5-7")
    (0, 2, 5, 6, 7)
    """
    seeds: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not (first.isdecimal() and (last.isdecimal() or not dash)):
            raise KdbenchError(f"Seeds are written like 0-4 or 0,2,5, not {text!r}.")
        seeds.extend(range(int(first), min(int(last or first), int(first) + MOST_SEEDS) + 1))
        if len(seeds) > MOST_SEEDS:
            raise KdbenchError(f"{text!r} asks for more than {MOST_SEEDS} seeds.")
    if not seeds:
        raise KdbenchError(f"The range of seeds {text!r} is empty.")
    return tuple(dict.fromkeys(seeds))
