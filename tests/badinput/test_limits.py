"""What would fill the memory is refused from its header, with its size."""

from __future__ import annotations

import struct
import warnings
from pathlib import Path

import pytest
from bad_files import SIDE, bomb, photo
from PIL import Image

from kdbench.reading import BadImages, read_images
from kdbench.reading import files as files_module

ONE = SIDE * SIDE * 3
"""Bytes of a good image."""


@pytest.mark.parametrize("side", [8193, 10_000, 20_000, 1_000_000])
def test_a_decompression_bomb(folder: Path, side: int) -> None:
    """Pillow only warns below 179 million pixels, and the warning is shown once."""
    (folder / "bomb.png").write_bytes(bomb(side, side))
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        with pytest.raises(BadImages, match=r"bomb\.png: .*too many pixels; 67,108,864 are read"):
            read_images(folder)
    assert not seen


def test_a_bomb_of_another_format(folder: Path) -> None:
    head = struct.pack("<IiiHHIIiiII", 40, 30_000, 30_000, 1, 24, 0, 0, 0, 0, 0, 0)
    (folder / "bomb.bmp").write_bytes(b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + head)
    with pytest.raises(BadImages, match=r"bomb\.bmp: .*too many pixels"):
        read_images(folder)


def test_a_set_larger_than_the_memory(folder: Path) -> None:
    assert len(read_images(folder, max_bytes=2 * ONE)) == 2
    expected = r"These 2 images take 3\.4 KiB .* at most 3\.4 KiB are held.*fewer or smaller"
    with pytest.raises(BadImages, match=expected):
        read_images(folder, max_bytes=2 * ONE - 1)


def test_a_set_that_is_far_too_large_is_not_decoded_first(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(data: bytes) -> None:
        raise AssertionError

    monkeypatch.setattr(files_module, "decode", never)
    with pytest.raises(BadImages, match="These 2 images take"):
        read_images(folder, max_bytes=ONE)


@pytest.mark.parametrize("first", ["a.png", "z.png"])
def test_a_set_of_mixed_sizes_larger_than_the_memory(folder: Path, first: str) -> None:
    photo(width=100, height=100).save(folder / first)
    most = 2 * ONE + 30_000
    assert len(read_images(folder, max_bytes=most)) == 3
    with pytest.raises(BadImages, match=r"These 3 images take 32\.7 KiB"):
        read_images(folder, max_bytes=most - 1)


def test_sizes_are_summed_as_decoded(folder: Path) -> None:
    """From headers: palettes are three channels, opaque alpha is none."""
    for path in folder.iterdir():
        path.unlink()
    photo().quantize(8).save(folder / "a.png")
    photo().convert("L").save(folder / "b.png")
    photo().convert("RGBA").save(folder / "c.png")
    photo().convert("LA").save(folder / "d.png")
    assert files_module._declared(sorted(folder.iterdir())) == (3 + 1 + 3 + 1) * SIDE * SIDE


def test_a_huge_file_is_not_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files_module, "MAX_FILE", 1 << 20)
    with (folder / "huge.png").open("wb") as file:
        file.truncate((1 << 20) + 1)
    with pytest.raises(BadImages, match=r"huge\.png: larger than 1 MiB"):
        read_images(folder)


def test_pillows_own_limit_stays(folder: Path) -> None:
    before = Image.MAX_IMAGE_PIXELS, list(warnings.filters)
    read_images(folder)
    assert (Image.MAX_IMAGE_PIXELS, list(warnings.filters)) == before
