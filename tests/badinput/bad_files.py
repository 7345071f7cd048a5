"""Images to spoil, and files that Pillow does not write."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

SIDE = 24


def photo(*, seed: int = 0, width: int = SIDE, height: int = SIDE) -> Image.Image:
    """A colour image with smooth parts and noise."""
    draw = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    smooth = np.stack([x * 5, y * 7, (x + y) * 3], axis=-1)
    return Image.fromarray((smooth + draw.integers(0, 60, smooth.shape)).astype(np.uint8))


def encoded(image: Image.Image, format: str, **options: Any) -> bytes:
    """The file that Pillow writes."""
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    """One chunk of a PNG with its checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(values: Any, *, colour: int, bits: int, extra: bytes = b"") -> bytes:
    """A PNG of (H, W) or (H, W, C) numbers.

    Args:
        values: of the pixels.
        colour: PNG's type: 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGBA.
        bits: 8 or 16.
        extra: chunks before the pixels.
    """
    values = np.asarray(values)
    height, width = values.shape[:2]
    kind = ">u2" if bits == 16 else np.uint8
    rows = b"".join(b"\0" + row.astype(kind).tobytes() for row in values)
    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    chunks = chunk(b"IHDR", head) + extra + chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + chunks + chunk(b"IEND", b"")


def bomb(width: int, height: int) -> bytes:
    """A tiny PNG that declares a huge one."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
    return b"\x89PNG\r\n\x1a\n" + chunks + chunk(b"IEND", b"")
