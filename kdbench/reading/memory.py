"""How much a set may take."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from kdbench.reading.errors import BadImages

LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
"""Of a container, in bytes, by control groups of version 2 and 1. Without a limit, version 2 says
`max`, version 1 a number of bytes that no machine has."""


def half_of_memory(limits: Sequence[Path] = LIMITS) -> int:
    """Bytes: half of what the machine, or its container, has, so that a set can be copied once.

    Args:
        limits: files that may hold a container's limit; those that are missing or closed say none.
    """
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([physical, *(_limit(path, otherwise=physical) for path in limits)]) // 2


def _limit(path: Path, *, otherwise: int) -> int:
    try:
        said = path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return otherwise
    return int(said) if said.isdecimal() else otherwise


def refuse_size(what: str, size: int, *, most: int) -> None:
    """Compare a size in bytes with what may be held.

    Raises:
        BadImages: it is more.
    """
    if size > most:
        raise BadImages(
            f"{what} take {_binary(size)} when decoded, and at most {_binary(most)} are held "
            "(by default half of this machine's or container's memory); measure fewer or smaller "
            "ones."
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
