"""What a user is told of input that cannot be read: every bad file at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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
