"""What a user is told of input that cannot be read: every bad file at once."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from kdbench.errors import KdbenchError
from kdbench.reading.names import printable

MOST = 10
"""Lines of a message; further ones are counted."""


class BadImages(KdbenchError):
    """Images, arrays or statistics that are not read: which, why, and what to do."""


class Unreadable(Exception):
    """The reason why one file is not read; whoever reads many collects them."""


def lines(found: Sequence[str]) -> str:
    """The first lines of a list, each on a line of its own, and how many more there are.

    >>> lines([str(i) for i in range(12)])[-15:]
    '\\n  … and 2 more'
    """
    more = [f"… and {len(found) - MOST:,} more"] if len(found) > MOST else []
    return "".join(f"\n  {line}" for line in [*found[:MOST], *more])


def refuse_files(problems: Mapping[str, str], *, of: int) -> None:
    """Name every bad file with its reason.

    Raises:
        BadImages: there are some.
    """
    if problems:
        what = f"{len(problems):,} of {of:,} files cannot be read; repair them or take them away:"
        found = [f"{printable(name)}: {reason}" for name, reason in problems.items()]
        raise BadImages(what + lines(found))


@contextmanager
def whose(side: str, path: Path | None = None) -> Iterator[None]:
    """Say in front of what cannot be read whose it is, and of a folder its name.

    Args:
        side: who is measured or compared with, as the command line names them.
        path: of what is read; files are named in the message itself.

    Raises:
        BadImages: what was raised within.

    >>> with whose("--targets"):
    ...     raise BadImages("There is no 'x'.")
    Traceback (most recent call last):
    kdbench.reading.errors.BadImages: --targets: There is no 'x'.
    """
    try:
        yield
    except BadImages as error:
        is_folder = path is not None and os.path.isdir(path)
        folder = f" {printable(path.resolve().name)!r}" if path and is_folder else ""
        raise BadImages(f"{side}{folder}: {error}") from error
