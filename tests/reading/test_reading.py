"""Good input: the same pixels as Pillow's, in order, whatever the number of threads."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from kdbench.digest import sha256_of
from kdbench.reading import files as files_module
from kdbench.reading import read_images
from kdbench.reading.decode import decode

FORMATS = (".png", ".jpg", ".webp", ".bmp", ".tif", ".gif", ".JPEG", ".TIFF")


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """150 images of one size in all formats."""
    folder = tmp_path_factory.mktemp("many")
    draw = np.random.default_rng(0)
    for i in range(150):
        low = Image.fromarray(draw.integers(0, 256, (6, 5, 3), dtype=np.uint8))
        low.resize((20, 24)).save(folder / f"{i}{FORMATS[i % len(FORMATS)]}")
    return folder


def test_pixels_are_those_of_pillow(many: Path) -> None:
    found = read_images(many)
    assert found.stacked().shape == (150, 3, 24, 20)
    assert found.stacked().dtype == torch.uint8
    assert found.stacked().is_contiguous()
    assert [int(name.split(".")[0]) for name in found.names] == list(range(150))
    for name, image in zip(found.names, found.images, strict=True):
        expected = np.asarray(Image.open(many / name).convert("RGB"))
        assert np.array_equal(image.permute(1, 2, 0).numpy(), expected)


def test_threads_change_nothing(many: Path) -> None:
    first = read_images(many, threads=1)
    for threads in (2, 3, 8):
        again = read_images(many, threads=threads)
        assert torch.equal(again.stacked(), first.stacked())
        assert (again.names, again.notes, again.content) == (
            first.names,
            first.notes,
            first.content,
        )


def test_files_are_read_at_the_same_time(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two threads wait for each other in the decoder."""
    meet = threading.Barrier(2, timeout=20)
    monkeypatch.setattr(files_module, "AT_ONCE", 1)

    def decode_together(data: bytes) -> object:
        meet.wait()
        return decode(data)

    monkeypatch.setattr(files_module, "decode", decode_together)
    assert len(read_images(many, threads=2)) == 150


def test_mixed_sizes_do_not_depend_on_threads_either(many: Path, tmp_path: Path) -> None:
    for i, path in enumerate(sorted(many.iterdir())[:40]):
        image = Image.open(path).convert("L" if i % 5 == 0 else "RGB")
        image.resize((8 + i % 3, 9)).save(tmp_path / f"{i}.png")
    first, *others = (read_images(tmp_path, threads=threads) for threads in (1, 2, 4))
    assert {len(image) for image in first.images} == {3}
    for again in others:
        assert again.content == first.content
        assert again.notes == first.notes


def test_progress_is_told_in_the_callers_thread(many: Path) -> None:
    told: list[tuple[int, int]] = []

    def progress(done: int, total: int) -> None:
        assert threading.current_thread() is threading.main_thread()
        told.append((done, total))

    read_images(many, threads=3, progress=progress)
    assert [done for done, _ in told] == [*range(16, 150, 16), 150]
    assert {total for _, total in told} == {150}


def test_an_interruption_drops_what_waits(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = []

    def count(data: bytes) -> object:
        decoded.append(1)
        return decode(data)

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(files_module, "decode", count)
    with pytest.raises(KeyboardInterrupt):
        read_images(many, threads=1, progress=interrupt)
    assert len(decoded) < 150
    assert threading.active_count() < 10


def test_a_set_of_one_size_is_held_once(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is stacked: images were written where they stay."""

    def never(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(torch, "stack", never)
    assert read_images(many).stacked().untyped_storage().nbytes() == 150 * 3 * 24 * 20


def test_content_is_the_hash_of_the_pixels(many: Path, tmp_path: Path) -> None:
    found = read_images(many)
    assert found.content == sha256_of(found.stacked())
    np.save(tmp_path / "x.npy", found.stacked().permute(0, 2, 3, 1).numpy())
    assert read_images(tmp_path / "x.npy").content == found.content
    Image.open(many / "0.png").rotate(180).save(tmp_path / "0.png")
    one, other = read_images(tmp_path / "0.png"), read_images(many / "0.png")
    assert len(one.content) == len(hashlib.sha256().hexdigest())
    assert one.content != other.content


def test_notes_count_what_is_lossy(many: Path) -> None:
    assert read_images(many).notes == (
        "37 of 150 images in JPEG, which is lossy.",
        "19 of 150 images with a palette: looked up as RGB.",
    )


def test_small_jpegs_are_read_in_one_thread_and_others_in_several(tmp_path: Path) -> None:
    from kdbench.reading.files import threads_for, threads_here

    side = {"small.jpg": 32, "large.jpg": 512, "small.png": 32}
    for name, pixels in side.items():
        noise = np.random.default_rng(0).integers(0, 256, (pixels, pixels, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / name)
    found = {name: threads_for([(name, tmp_path / name)]) for name in side}
    assert found == {"small.jpg": 1, "large.jpg": threads_here(), "small.png": threads_here()}
