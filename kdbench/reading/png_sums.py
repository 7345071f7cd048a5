"""The checksums of a PNG, which Pillow leaves aside for pixels.

It stops when the last row is full, before it would meet the sum of the compressed stream, so a
flipped bit near the end changes pixels unseen.
"""

from __future__ import annotations

import struct
import zlib

from kdbench.reading.errors import Unreadable

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def check_png(data: bytes) -> None:
    """Compare every chunk with its CRC, up to the end of the image.

    Raises:
        Unreadable: one differs, or the end is missing.
    """
    view, at = memoryview(data), len(SIGNATURE)
    while at + 12 <= len(data):  # length, kind, nothing, sum
        (length,) = struct.unpack_from(">I", data, at)
        end = at + 8 + length
        if end + 4 > len(data):
            break
        (declared,) = struct.unpack_from(">I", data, end)
        if zlib.crc32(view[at + 4 : end]) != declared:
            raise Unreadable("damaged: a checksum is wrong")
        if data[at + 4 : at + 8] == b"IEND":
            return
        at = end + 4
    raise Unreadable("damaged: the file is truncated")
