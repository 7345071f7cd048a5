"""The system's copy of a weight file in memory, which makes a second start faster than a first."""

from __future__ import annotations

import os
from pathlib import Path


def drop_from_cache(path: Path) -> str:
    """Ask the system to forget a file's pages.

    Returns:
        `cold_file_attempted`, as the system need not obey, or `warm_file` where it cannot be asked.
    """
    if not hasattr(os, "posix_fadvise"):
        return "warm_file"
    try:
        with path.open("rb") as file:
            os.fsync(file.fileno())  # only pages that are on disk can be forgotten
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    except OSError:
        return "warm_file"
    return "cold_file_attempted"
