"""Weights that others publish: where they are looked for, and what is said of missing ones.

Nothing here fetches anything: only `kdbench doctor --fetch` does.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from pydantic import Field

from kdbench.errors import MissingWeights, WeightsError
from kdbench.spec import Spec
from kdbench.store import sha256_file

OWN = "$KDBENCH_WEIGHTS"
"""The user's own folder, looked in before all others; `--weights-dir` sets it."""

PLACES = (
    (OWN,),
    ("$KDBENCH_CACHE/weights", "$XDG_CACHE_HOME/kdbench/weights", "~/.cache/kdbench/weights"),
    (
        "$TORCH_HOME/hub/checkpoints",  # as torch.hub chooses it
        "$XDG_CACHE_HOME/torch/hub/checkpoints",
        "~/.cache/torch/hub/checkpoints",
    ),
    ("~/.cache/clip",),  # of OpenAI's clip and of open_clip
)
"""Folders that are looked in, in this order: of each line, the first whose variable is set."""


class ExternalFile(Spec):
    """The part of a card that says where others publish a file, and on which terms."""

    file: str = Field(pattern=r"^[^/\\]+$")
    url: str
    bytes: int | None = Field(None, gt=0)
    """Size of the file, where it is known."""
    licence: str
    """Of the weights; the terms of what they were trained on are beside it, in `data`."""

    @property
    def size(self) -> str:
        """In MB of 10⁶ bytes, for people."""
        return f"{self.bytes / 1e6:,.0f} MB" if self.bytes else "size not known"


def places() -> dict[str, Path]:
    """Folders that are looked in, by how they are written without naming user or machine.

    Example:
        >>> list(places())[-1]
        '~/.cache/clip'
    """
    found = {}
    for ways in PLACES:
        for way in ways:
            folder = _expanded(way)
            if folder is not None:
                found[way] = folder
                break
    return found


def _expanded(way: str) -> Path | None:
    """The folder that is written with a variable or ~; None where the variable is not set."""
    first, _, rest = way.partition("/")
    value = os.environ.get(first[1:]) if first.startswith("$") else first
    return Path(os.path.expanduser(value), rest) if value else None


def find_external(name: str, file: ExternalFile, *, sha256: str) -> Path:
    """The first file of this name in the places, after its hash was compared.

    Args:
        name: of the weights, as `kdbench doctor --fetch` takes it.
        file: which one.
        sha256: of the published file.

    Raises:
        MissingWeights: it is in none of them; the message says where, and how to get it.
        WeightsError: the first one is not the published file or cannot be read. It is never used,
            and no other one is used silently in its place.
    """
    for way, folder in places().items():
        path = folder / file.file
        if os.path.isfile(path):
            _compare(path, sha256, shown=f"{way}/{file.file}", name=name)
            return path
    raise MissingWeights(
        f"The external weights {name!r} are missing: {file.file} ({file.size}).",
        f"It was looked for in {', '.join(_described(way) for way in places())}.",
        how_to_get(name, file, sha256=sha256),
    )


def how_to_get(name: str, file: ExternalFile, *, sha256: str) -> str:
    """The ways to missing weights, with and without a network."""
    return (
        f"With a network: `kdbench doctor --fetch {name}`. Without one: put {file.file} "
        f"({file.url}, SHA-256 {sha256}) in a folder and give --weights-dir FOLDER, or set "
        "KDBENCH_WEIGHTS to it."
    )


def _described(way: str) -> str:
    folder = places()[way]
    return way if way != OWN or folder.is_dir() else f"{way} (which is no folder)"


def _compare(path: Path, sha256: str, *, shown: str, name: str) -> None:
    again = f"Delete it and run `kdbench doctor --fetch {name}`, or put the published file there."
    try:
        found = known_sha256(path)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise WeightsError(f"The external weights {shown} cannot be read: {reason}.") from error
    if found != sha256:
        raise WeightsError(
            f"The external weights {name!r} at {shown} are damaged or other ones: "
            f"SHA-256 {found[:12]}…, published {sha256[:12]}…. {again}"
        )


def known_sha256(path: Path) -> str:
    """SHA-256 of a file, computed again in this process only when the file has changed.

    Raises:
        OSError: it cannot be read.
    """
    state = path.stat()
    return _sha256(path, (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns))


@cache
def _sha256(path: Path, state: tuple[int, ...]) -> str:
    return sha256_file(path)
