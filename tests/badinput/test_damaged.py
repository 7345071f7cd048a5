"""Damaged files: each is named, and none becomes pixels that nobody made."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from bad_files import encoded, photo
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ImageFile

from kdbench.errors import KdbenchError
from kdbench.reading import BadImages, read_images
from kdbench.reading.decode import decode, strict_pillow
from kdbench.reading.errors import Unreadable

FILES = {
    "PNG": encoded(photo(), "PNG"),
    "PNG palette": encoded(photo().convert("P"), "PNG"),
    "JPEG": encoded(photo(), "JPEG", quality=90),
    "JPEG progressive": encoded(photo(), "JPEG", progressive=True),
    "WebP": encoded(photo(), "WEBP"),
    "WebP lossless": encoded(photo(), "WEBP", lossless=True),
    "BMP": encoded(photo(), "BMP"),
    "GIF": encoded(photo().convert("P"), "GIF"),
    "TIFF": encoded(photo(), "TIFF"),
    "TIFF LZW": encoded(photo(), "TIFF", compression="tiff_lzw"),
    "TIFF deflate": encoded(photo(), "TIFF", compression="tiff_adobe_deflate"),
}


def test_is_an_error_for_users() -> None:
    assert issubclass(BadImages, KdbenchError)
    assert BadImages.exit_code == 2


@pytest.mark.parametrize("kind", FILES)
def test_a_truncated_file_is_refused_or_whole(kind: str) -> None:
    """Bytes after the pixels may be missing; pixels may not."""
    data = FILES[kind]
    whole = decode(data).pixels
    refused = 0
    with strict_pillow():
        for length in range(0, len(data), max(1, len(data) // 250)):
            try:
                assert np.array_equal(decode(data[:length]).pixels, whole)
            except Unreadable:
                refused += 1
    assert refused > 200


@pytest.mark.parametrize("kind", ["PNG", "PNG palette"])
def test_a_flipped_bit_of_a_png_is_seen(kind: str) -> None:
    """Near the end too, where Pillow has filled the last row and reads no further."""
    good = FILES[kind]
    bits = len(good) * 8
    for at in (*range(0, bits, 11), *range(bits - 400, bits)):
        bad = bytearray(good)
        bad[at // 8] ^= 1 << at % 8
        with pytest.raises(Unreadable):
            decode(bytes(bad))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300), st.sampled_from([data[:40] for data in FILES.values()] + [b""]))
def test_any_bytes_are_refused_in_words(tail: bytes, start: bytes) -> None:
    with strict_pillow(), pytest.raises(Unreadable) as caught:
        decode(start + tail)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("lenient", [False, True])
def test_truncated_files_are_refused_whatever_pillow_is_set_to(
    folder: Path, monkeypatch: pytest.MonkeyPatch, lenient: bool
) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", lenient)
    for name, kind in (("a.jpg", "JPEG"), ("b.png", "PNG")):
        (folder / name).write_bytes(FILES[kind][: len(FILES[kind]) * 2 // 3])
    with pytest.raises(BadImages, match="2 of 4 files") as caught:
        read_images(folder)
    assert "a.jpg: damaged: image file is truncated" in str(caught.value)
    assert "b.png: damaged: the file is truncated" in str(caught.value)
    assert "good" not in str(caught.value)
    assert lenient == ImageFile.LOAD_TRUNCATED_IMAGES


def test_all_bad_files_are_named_and_then_counted(folder: Path) -> None:
    for i in range(13):
        (folder / f"bad{i}.png").write_bytes(b"nothing")
    with pytest.raises(BadImages) as caught:
        read_images(folder)
    said = str(caught.value).splitlines()
    assert said[0].startswith("13 of 15 files cannot be read")
    assert [line.split(":")[0].strip() for line in said[1:11]] == [f"bad{i}.png" for i in range(10)]
    assert said[11:] == ["  … and 3 more"]


@pytest.mark.parametrize("content", [b"", b"This is text.\n", b"%PDF-1.7", b"<svg/>", b"8BPS\0\1"])
def test_what_is_called_an_image_and_is_none(folder: Path, content: bytes) -> None:
    (folder / "text.png").write_bytes(content)
    with pytest.raises(BadImages, match=r"text\.png: not an image"):
        read_images(folder)


def test_a_postscript_file_starts_no_interpreter(folder: Path) -> None:
    """Only the formats that are listed are tried, whatever a file says it is."""
    (folder / "x.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EOF\n")
    with pytest.raises(BadImages, match=r"x\.png: not an image"):
        read_images(folder)


@pytest.mark.parametrize("suffix", [".heic", ".jp2", ".avif", ".exr", ".ppm"])
def test_other_image_formats_are_not_passed_over(folder: Path, suffix: str) -> None:
    (folder / f"x{suffix}").write_bytes(b"nothing")
    with pytest.raises(BadImages, match=rf"x{suffix}: {suffix} is not read; convert it to PNG"):
        read_images(folder)
    with pytest.raises(BadImages, match="convert it to PNG"):
        read_images(folder / f"x{suffix}")


def test_a_pipe_does_not_block(folder: Path) -> None:
    os.mkfifo(folder / "pipe.png")
    with pytest.raises(BadImages, match=r"pipe\.png: not a regular file"):
        read_images(folder)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read(folder: Path) -> None:
    (folder / "good2.png").chmod(0)
    with pytest.raises(BadImages, match=r"good2\.png: Permission denied"):
        read_images(folder)
