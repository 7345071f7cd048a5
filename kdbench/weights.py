"""Published weights: where they are, whether they are the published ones, how they were made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from kdbench.errors import WeightsError
from kdbench.external_weights import ExternalFile, find_external, known_sha256
from kdbench.registry import TomlRegistry
from kdbench.spec import Spec
from kdbench.store import write_atomically


class WeightCard(Spec):
    """What is known of a weight file, in `<name>.toml`.

    Weights that kdbench or a plug-in brings lie beside their card as `<name>.safetensors` and have
    a `recipe`; those that others publish have `external`.
    """

    name: str
    version: int = 1
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    recipe: str | None = None
    """The command that makes these weights again."""
    external: ExternalFile | None = None
    """Where others publish them."""
    data: str
    """What they were trained on, and its terms."""
    figures: dict[str, float] = Field(default_factory=dict)
    """Measured figures, e.g. accuracy on the held-out split."""
    summary: str = ""

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if (self.recipe is None) == (self.external is None):
            raise ValueError("weights have either a recipe or an external file")
        return self


cards: TomlRegistry[WeightCard] = TomlRegistry("weight", WeightCard)


def find_weights(name: str) -> Path:
    """The path of published weights, after their hash was compared with the card's.

    Nothing is ever fetched here. A file's hash is computed once in a process.

    Raises:
        UnknownName: nothing of this name is published.
        MissingWeights: external weights are not there; the message says how to get them.
        WeightsError: the file is missing or damaged; the message says how to get it back.
    """
    card = cards.load(name)
    if card.external is not None:
        return find_external(card.name, card.external, sha256=card.sha256)
    return _find_shipped(card)


def _find_shipped(card: WeightCard) -> Path:
    name, path = card.name, cards.path(card.name).with_suffix(".safetensors")
    again = f"Reinstall kdbench, or make it again with `{card.recipe}`."
    if not path.is_file():
        raise WeightsError(f"The weights {name!r} are missing at {path}. {again}")
    if (found := known_sha256(path)) != card.sha256:
        raise WeightsError(
            f"The weights {name!r} at {path} are damaged: SHA-256 {found[:12]}…, "
            f"published {card.sha256[:12]}…. {again}"
        )
    return path


def weights_id(name: str) -> str:
    """`name:sha256`, as records name a network."""
    return f"{name}:{cards.load(name).sha256}"


def write_weights(folder: Path, card: WeightCard, data: bytes) -> None:
    """Publish weights of one's own: the file, and the card beside it as TOML."""
    facts = card.model_dump(mode="json", exclude={"figures", "external"})
    lines = [f"{name} = {json.dumps(value)}" for name, value in facts.items()]
    lines += ["", "[figures]", *(f"{name} = {value!r}" for name, value in card.figures.items())]
    write_atomically(folder / f"{card.name}.safetensors", data)
    write_atomically(folder / f"{card.name}.toml", ("\n".join(lines) + "\n").encode())
