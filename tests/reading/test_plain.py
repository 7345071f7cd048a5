"""Plain files go straight to the decoders: to what the whole reading of their headers gives, or
not at all."""

from __future__ import annotations

import io
import itertools
import random
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kdbench.reading.decode import Picture, _decode_any, _decode_plain, decode, strict_pillow
from kdbench.reading.errors import Unreadable
from kdbench.reading.plain import plain

START = b"\x89PNG\r\n\x1a\n"


def photo(mode: str = "RGB", width: int = 37, height: int = 26) -> Image.Image:
    """Smooth parts and noise."""
    draw = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width]
    smooth = np.stack([x * 5, y * 7, (x + y) * 3], axis=-1)
    pixels = (smooth + draw.integers(0, 60, smooth.shape)).astype(np.uint8)
    return Image.fromarray(pixels).convert(mode)


def encoded(format: str, mode: str = "RGB", **options: Any) -> bytes:
    buffer = io.BytesIO()
    photo(mode).save(buffer, format, **options)
    return buffer.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    """One chunk of a PNG with its checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(head: bytes, coded: bytes, *, parts: int = 1) -> bytes:
    """A PNG with right checksums, whatever it holds."""
    step = max(1, -(-len(coded) // parts))
    cuts = [coded[i : i + step] for i in range(0, len(coded), step)]
    chunks = [chunk(b"IHDR", head), *(chunk(b"IDAT", cut) for cut in cuts), chunk(b"IEND", b"")]
    return START + b"".join(chunks)


def head_and_coded(data: bytes) -> tuple[bytes, bytes]:
    """What a PNG with one IDAT chunk holds."""
    (length,) = struct.unpack_from(">I", data, 33)
    return data[16:29], data[41 : 41 + length]


PLAIN = {
    "PNG": encoded("PNG"),
    "PNG grey": encoded("PNG", "L"),
    "PNG in chunks": png(*head_and_coded(encoded("PNG")), parts=7),
    "JPEG": encoded("JPEG"),
    "JPEG grey": encoded("JPEG", "L"),
    "JPEG progressive": encoded("JPEG", progressive=True, quality=90),
    "JPEG 4:4:4": encoded("JPEG", subsampling=0),
    "JPEG restarts": encoded("JPEG", restart_marker_rows=1),
}

_EXIF = Image.Exif()
_EXIF[274] = 6

OTHERS = {
    "PNG palette": encoded("PNG", "P"),
    "PNG alpha": encoded("PNG", "RGBA"),
    "PNG 1 bit": encoded("PNG", "1"),
    "PNG 16 bits": encoded("PNG", "I;16"),
    "PNG transparent colour": encoded("PNG", transparency=(1, 2, 3)),
    "PNG profile": encoded("PNG", icc_profile=b"profile"),
    "PNG turned": encoded("PNG", exif=_EXIF),
    "PNG interlaced": png(head_and_coded(PLAIN["PNG"])[0][:-1] + b"\1", b"\0"),
    "PNG animated": encoded("PNG", save_all=True, append_images=[photo().rotate(180)]),
    "PNG with a word": START + PLAIN["PNG"][8:33] + chunk(b"tEXt", b"a\0b") + PLAIN["PNG"][33:],
    "PNG too large": png(struct.pack(">IIBBBBB", 8193, 8193, 8, 2, 0, 0, 0), b"\0"),
    "PNG without pixels": png(struct.pack(">IIBBBBB", 0, 9, 8, 2, 0, 0, 0), b"\0"),
    "JPEG CMYK": encoded("JPEG", "CMYK"),
    "JPEG profile": encoded("JPEG", icc_profile=b"profile"),
    "JPEG turned": encoded("JPEG", exif=_EXIF),
    "JPEG with a word": encoded("JPEG", comment=b"word"),
    "BMP": encoded("BMP"),
    "WebP": encoded("WEBP"),
    "nothing": b"",
}


def outcome(data: bytes) -> Picture | str:
    """What the whole reading gives."""
    try:
        return _decode_any(data)
    except Unreadable as why:
        return str(why)


def agrees(data: bytes) -> bool:
    """Whether it went straight to the decoder, which then has to give what the whole reading
    does."""
    found = _decode_plain(data)
    if found is not None:
        expected = outcome(data)
        assert isinstance(expected, Picture), expected
        assert np.array_equal(found.pixels, expected.pixels)
        assert (found.format, found.treatments) == (expected.format, expected.treatments)
    return found is not None


@pytest.mark.parametrize("kind", PLAIN)
def test_plain_files_give_the_same_picture(kind: str) -> None:
    assert agrees(PLAIN[kind])
    assert agrees(PLAIN[kind] + b"more")
    original = np.asarray(Image.open(io.BytesIO(PLAIN[kind])))
    expected = original[None] if original.ndim == 2 else original.transpose(2, 0, 1)
    assert np.array_equal(decode(PLAIN[kind]).pixels, expected)


@pytest.mark.parametrize("kind", OTHERS)
def test_whatever_else_a_header_holds_is_left_to_the_whole_reading(kind: str) -> None:
    assert _decode_plain(OTHERS[kind]) is None


def spoilt(data: bytes) -> Iterator[bytes]:
    """Cut off, and with one or a few bytes changed, mostly in the header."""
    draw = random.Random(0)
    yield from (data[:length] for length in range(0, len(data), 7))
    yield from (data[:length] for length in range(len(data) - 30, len(data)))
    for i in range(1500):
        bad = bytearray(data)
        for _ in range(draw.choice((1, 1, 1, 4))):
            bad[draw.randrange(min(len(data), 700 if i % 3 else len(data)))] = draw.randrange(256)
        yield bytes(bad)
    for _ in range(300):  # moved by a few bytes
        at = draw.randrange(min(len(data), 700))
        yield data[:at] + draw.randbytes(draw.randrange(3)) + data[at + draw.randrange(3) :]


@pytest.mark.parametrize("kind", [kind for kind in PLAIN if kind.startswith("JPEG")])
def test_a_spoilt_jpeg_is_nowhere_read_differently(kind: str) -> None:
    with strict_pillow():
        taken = [agrees(data) for data in spoilt(PLAIN[kind])]
    assert 100 < sum(taken) < len(taken)


@pytest.mark.parametrize("kind", ["PNG", "PNG grey"])
def test_a_spoilt_png_with_right_checksums_is_nowhere_read_differently(kind: str) -> None:
    head, coded = head_and_coded(PLAIN[kind])
    with strict_pillow():
        taken = [agrees(png(head, bad, parts=3)) for bad in spoilt(coded)]
        taken += [agrees(png(bad, coded)) for bad in itertools.islice(spoilt(head), 0, None, 20)]
    assert 10 < sum(taken) < len(taken)


def test_checksums_of_plain_pngs_are_compared() -> None:
    data = bytearray(PLAIN["PNG"])
    data[-14] ^= 1  # of the compressed pixels' own sum, which Pillow does not reach
    assert plain(bytes(data)) is not None
    with pytest.raises(Unreadable, match="a checksum is wrong"):
        decode(bytes(data))
