"""Names of files: which are images, in which order, and how they are shown."""

from __future__ import annotations

import re

FORMAT_OF = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".gif": "GIF",
}
"""What is read, as Pillow names it."""

UNREAD = frozenset(
    (
        *(".apng", ".avif", ".dng", ".exr", ".hdr", ".heic", ".heif", ".ico", ".j2k"),
        *(".jp2", ".jxl", ".pbm", ".pgm", ".pnm", ".ppm", ".psd", ".svg", ".tga"),
    )
)
"""Images that are not read: refused, so that nobody takes them for measured."""

LONGEST = 100
"""Characters of a name that are shown."""


def printable(name: str) -> str:
    """A name on one line, with control, formatting and unassigned characters written out.

    >>> printable("a\\nb\\u202egnp.exe")
    'a\\\\nb\\\\u202egnp.exe'
    """
    shown = "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in name
    )
    return shown if len(shown) <= LONGEST else f"{shown[: LONGEST - 1]}…"


def natural(name: str) -> tuple[list[str | int], str]:
    """A key that sorts numbers in names by their value.

    >>> sorted(["10.png", "9.png", "a2.png"], key=natural)
    ['9.png', '10.png', 'a2.png']
    """
    parts = re.split(r"([0-9]+)", name)
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], name


def is_utf8(name: str) -> bool:
    """Whether a name of the file system can be written to a report."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
