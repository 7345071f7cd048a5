"""Published weights: where they are, whether they are the published ones, how they were made."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from pydantic import Field

from kdbench.errors import WeightsError
from kdbench.registry import TomlRegistry
from kdbench.spec import Spec
from kdbench.store import sha256_file, write_atomically


class WeightCard(Spec):
    """What stands beside a weight file: `<name>.toml` next to `<name>.safetensors`."""

    name: str
    version: int = 1
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    recipe: str
    """The command that makes these weights again."""
    data: str
    """What they were trained on, and its terms."""
    figures: dict[str, float] = Field(default_factory=dict)
    """Measured figures, e.g. accuracy on the held-out split."""
    summary: str = ""


cards: TomlRegistry[WeightCard] = TomlRegistry("weight", WeightCard)


@cache
def find_weights(name: str) -> Path:
    """The path of published weights, after their hash was compared with the card's.

    Raises:
        UnknownName: nothing of this name is published.
        WeightsError: the file is missing or damaged; the message says how to get it back.
    """
    card = cards.load(name)
    path = cards.path(name).with_suffix(".safetensors")
    again = f"Reinstall kdbench, or make it again with `{card.recipe}`."
    if not path.is_file():
        raise WeightsError(f"The weights {name!r} are missing at {path}. {again}")
    if (found := sha256_file(path)) != card.sha256:
        raise WeightsError(
            f"The weights {name!r} at {path} are damaged: SHA-256 {found[:12]}…, "
            f"published {card.sha256[:12]}…. {again}"
        )
    return path


def weights_id(name: str) -> str:
    """`name:sha256`, as records name a network."""
    return f"{name}:{cards.load(name).sha256}"


def write_weights(folder: Path, card: WeightCard, data: bytes) -> None:
    """Publish weights: the file, and the card beside it as TOML."""
    facts = card.model_dump(mode="json", exclude={"figures"})
    lines = [f"{name} = {json.dumps(value)}" for name, value in facts.items()]
    lines += ["", "[figures]", *(f"{name} = {value!r}" for name, value in card.figures.items())]
    write_atomically(folder / f"{card.name}.safetensors", data)
    write_atomically(folder / f"{card.name}.toml", ("\n".join(lines) + "\n").encode())
    find_weights.cache_clear()
