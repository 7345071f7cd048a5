"""Images of 16 bits a channel, of which Pillow by itself keeps the high byte alone."""

from __future__ import annotations

import sys

import numpy as np
from numpy.typing import NDArray
from PIL import ImageFile

from kdbench.reading.errors import Unreadable

GREY = frozenset({"I;16", "I;16B", "I;16L", "I;16N", "I;16R"})
"""Raw modes that Pillow decodes in full."""

_OTHER_ORDER = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
"""Read in the other byte order, the high byte that Pillow keeps is the low one."""

COLOUR = frozenset(f"{mode};16{order}" for mode in ("RGB", "RGBA") for order in _OTHER_ORDER)

BITS = 258
"""Tag of TIFF: bits of each channel."""

PLANES, APART = 284, 2
"""Tag of TIFF that says that each channel is stored by itself, where raw modes have no say."""

WHITE_IS_ZERO = 0
PHOTOMETRIC = 262
"""Tag of TIFF that says whether 0 is black (1) or white (0)."""


def raw_mode(image: ImageFile.ImageFile) -> str:
    """How Pillow is going to unpack an image that is opened and not loaded yet."""
    args = image.tile[0][3] if image.tile else ""
    first = args[0] if isinstance(args, tuple) and args else args
    return first if isinstance(first, str) else ""


def has_sixteen_bits(image: ImageFile.ImageFile) -> bool:
    """Whether its channels have more than 8 bits, up to 16."""
    in_tiff = getattr(image, "tag_v2", {}).get(BITS, (8,))
    return image.mode.startswith("I;16") or ";16" in raw_mode(image) or max(in_tiff) > 8


def sixteen_bits(image: ImageFile.ImageFile, again: ImageFile.ImageFile) -> NDArray[np.uint16]:
    """(H, W, C) with one, three or four channels, of which the fourth is alpha.

    Args:
        image: opened, not loaded.
        again: the same file opened a second time.

    Raises:
        Unreadable: its 16 bits cannot be had.
    """
    raw, tags = raw_mode(image), getattr(image, "tag_v2", {})
    if "transparency" in image.info:
        raise Unreadable("one of its colours is declared transparent; remove that")
    if raw in GREY and image.mode.startswith("I;16"):
        if tags.get(PHOTOMETRIC) == WHITE_IS_ZERO:
            raise Unreadable("16 bits with white as 0; invert it or convert it to 8 bits")
        return np.asarray(image).astype(np.uint16)[..., None]
    if raw not in COLOUR or tags.get(PLANES) == APART:
        raise Unreadable(f"more than 8 bits a channel as {raw}; convert it to 8 bits")
    again.tile = [_in_other_order(tile) for tile in again.tile]
    high, low = (np.asarray(half).astype(np.uint16) for half in (image, again))
    return high * np.uint16(256) + low


def _in_other_order(tile: ImageFile._Tile) -> ImageFile._Tile:
    if isinstance(tile.args, tuple):
        return tile._replace(args=(_swapped(tile.args[0]), *tile.args[1:]))
    return tile._replace(args=_swapped(tile.args or ""))


def _swapped(raw: str) -> str:
    return raw[:-1] + _OTHER_ORDER[raw[-1]]


def eight_bits(values: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """round(v / 257): 0 and 65535 become 0 and 255.

    >>> eight_bits(np.array([0, 128, 129, 65535], dtype=np.uint16)).tolist()
    [0, 0, 1, 255]
    """
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
