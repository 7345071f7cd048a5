"""The plainest PNGs and JPEGs, straight to Pillow's decoders.

For a small image Pillow's parsing of a header takes as long as the pixels. Headers without anything
that decides how pixels are meant (palette, alpha, profile, orientation, 16 bits) are read here;
all others, and whatever is not decoded in full, are left to `kdbench.reading.decode`, which has
the policy and the words. What is read here it reads too, to the same pixels and without a word.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_PNG_START = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
_PNG_END = b"\0\0\0\0IEND\xae\x42\x60\x82"
_KINDS = {b"\x08\x00\0\0\0": "L", b"\x08\x02\0\0\0": "RGB"}
"""8 bits and a PNG's colour type; deflate, adaptive filters, not interlaced."""

_START, _JFIF, _TABLES, _SCAN = b"\xff\xd8", b"\xff\xe0", b"\xff\xdb", b"\xff\xda"
_FRAMES = frozenset({b"\xff\xc0", b"\xff\xc2"})
"""Baseline and progressive JPEG."""
_PASSED_OVER = frozenset({b"\xff\xc4", b"\xff\xdd"})
"""Huffman tables and the restart interval, which are the decoder's alone."""

_RAW = {"L": "L", "RGB": "RGB;L"}
"""Pillow's order of bytes in which a row's channels follow each other."""


@dataclass(frozen=True)
class Plain:
    """What a header says, and what the decoder gets."""

    format: Literal["PNG", "JPEG"]
    mode: str
    width: int
    height: int
    coded: bytes

    def pixels(self) -> NDArray[np.uint8] | None:
        """(C, H, W), or None if they are not all there."""
        decoder = "zip" if self.format == "PNG" else "jpeg"
        options = (self.mode,) if self.format == "PNG" else (self.mode, "")
        try:
            size = (self.width, self.height)
            image = Image.frombytes(self.mode, size, self.coded, decoder, *options)
        except ValueError:
            return None
        rows = np.frombuffer(image.tobytes("raw", _RAW[self.mode]), np.uint8)
        return rows.reshape(self.height, -1, self.width).swapaxes(0, 1)


def plain(data: bytes) -> Plain | None:
    """An image of 8 bits a channel, grey or RGB, whose header holds nothing else; or None.

    Args:
        data: a whole file; if a PNG, one whose checksums were compared.
    """
    try:
        return _png(data) if data.startswith(_PNG_START) else _jpeg(data)
    except (IndexError, struct.error):  # it ends within the header
        return None


def _png(data: bytes) -> Plain | None:
    """Header, compressed pixels and end, in this order, and no other chunks."""
    width, height, kind = struct.unpack_from(">II5s", data, len(_PNG_START))
    at, parts = len(_PNG_START) + 17, []
    while data[at + 4 : at + 8] == b"IDAT":
        (length,) = struct.unpack_from(">I", data, at)
        parts.append(data[at + 8 : at + 8 + length])
        at += 12 + length
    if kind not in _KINDS or not data.startswith(_PNG_END, at):
        return None
    return Plain("PNG", _KINDS[kind], width, height, b"".join(parts))


def _jpeg(data: bytes) -> Plain | None:
    """JFIF, tables and one frame up to the first scan, and no other segments."""
    if not data.startswith(_START):
        return None
    at, frame = len(_START), None
    while (marker := data[at : at + 2]) != _SCAN:
        (length,) = struct.unpack_from(">H", data, at + 2)
        body = data[at + 4 : at + 2 + length]
        if marker in _FRAMES and frame is None:
            frame = struct.unpack_from(">BHHB", body)
        elif not _is_passed_over(marker, body):
            return None
        at += 2 + length
    bits, height, width, channels = frame or (0, 0, 0, 0)
    if bits != 8 or channels not in (1, 3):
        return None
    return Plain("JPEG", "L" if channels == 1 else "RGB", width, height, data)


def _is_passed_over(marker: bytes, body: bytes) -> bool:
    """Whether a segment is one that does not matter to what the pixels mean."""
    if marker == _JFIF:
        return len(body) == 14 and body.startswith(b"JFIF\0")
    if marker == _TABLES:  # of 64 bytes each, after their number
        return len(body) % 65 == 0 and all(number < 16 for number in body[::65])
    return marker in _PASSED_OVER
