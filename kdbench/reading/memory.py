"""How much a set may take."""

from __future__ import annotations

import os

from kdbench.reading.errors import BadImages


def half_of_memory() -> int:
    """Bytes: half of what the machine has, so that a set can be copied once."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def refuse_size(what: str, size: int, *, most: int) -> None:
    """Compare a size in bytes with what may be held.

    Raises:
        BadImages: it is more.
    """
    if size > most:
        raise BadImages(
            f"{what} take {_binary(size)} when decoded, and at most {_binary(most)} are held "
            "(by default half of this machine's memory); measure fewer or smaller ones."
        )


def _binary(size: int) -> str:
    """A size as people read it.

    >>> _binary(40 << 30), _binary(5 << 10)
    ('40.0 GiB', '5.0 KiB')
    """
    for power, unit in ((30, "GiB"), (20, "MiB")):
        if size >= 1 << power:
            return f"{size / (1 << power):.1f} {unit}"
    return f"{size / (1 << 10):.1f} KiB"
