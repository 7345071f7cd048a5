"""A checkpoint of a registered network: whether its weights are those of the network."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from safetensors import SafetensorError, safe_open

from kdbench.errors import BadSpec
from kdbench.generators.build import build_network
from kdbench.reading.names import printable
from kdbench.spec import Pair
from kdbench.tasks.base import Task

SHOWN = 3
"""Names of weights that a message gives."""


def refuse_other_network(path: Path, pair: Pair, task: Task) -> None:
    """Compare names and shapes of a file's weights with the network's.

    Raises:
        BadSpec: they differ, or the file is damaged; the message counts them and names a few.
    """
    name = printable(path.name)
    try:
        with safe_open(path, "pt") as file:
            held = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise BadSpec(f"{name!r} is damaged or no safetensors file: {error}.") from error
    own = {key: tuple(w.shape) for key, w in build_network(pair, task).state_dict().items()}
    missing, unknown = (sorted(a.keys() - b.keys()) for a, b in ((own, held), (held, own)))
    shapes = [
        f"{printable(key)}: {_size(held[key])} for {_size(shape)}"
        for key, shape in own.items()
        if held.get(key, shape) != shape
    ]
    of_network = f"of its {len(own):,} weights"
    found = [
        *_counted(missing, of_network, "missing"),
        *_counted(unknown, "of the file", "unknown"),
        *_counted(shapes, of_network, "of another shape"),
    ]
    if found:
        raise BadSpec(f"{name} does not hold the network of {pair.name}: {'; '.join(found)}.")


def _counted(names: Collection[str], of: str, what: str) -> list[str]:
    n, first = len(names), ", ".join(map(printable, list(names)[:SHOWN]))
    more = ", …" if n > SHOWN else ""
    return [f"{n:,} {of} {'is' if n == 1 else 'are'} {what} ({first}{more})"] if n else []


def _size(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "a number"
