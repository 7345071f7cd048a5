"""Which files of a folder are read: never fewer or others than meant, without a word."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pytest
import torch
from bad_files import SIDE, photo
from hypothesis import given
from hypothesis import strategies as st

from kdbench.reading import BadImages, read_images
from kdbench.reading.names import natural, printable


def fill(folder: Path, names: Iterable[str]) -> Path:
    """Different small images under these names."""
    for seed, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        photo(seed=seed).save(path)
    return folder


def test_empty_and_missing(tmp_path: Path) -> None:
    with pytest.raises(BadImages, match=r"no images in the folder \(\.bmp, .*\.webp\)\.$"):
        read_images(tmp_path)
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "log.txt").write_text("hello")
    with pytest.raises(BadImages, match=r"no images in the folder .*; 2 other files there"):
        read_images(tmp_path)
    with pytest.raises(BadImages, match="There is no 'nowhere'"):
        read_images(tmp_path / "nowhere")
    with pytest.raises(BadImages, match=r"'notes\.txt' is not what is read: a folder of images"):
        read_images(tmp_path / "notes.txt")


def test_one_image_and_too_few(folder: Path) -> None:
    one = read_images(folder / "good1.png")
    assert one.names == ("good1.png",)
    assert one.stacked().shape == (1, 3, SIDE, SIDE)
    with pytest.raises(BadImages, match=r"'good1\.png' holds 1 image, and 2 are needed"):
        read_images(folder / "good1.png", at_least=2)
    assert len(read_images(folder, at_least=2)) == 2
    with pytest.raises(BadImages, match="'images' holds 2 images, and 2,048 are needed"):
        read_images(folder, at_least=2048)


def test_mixed_sizes_are_counted(folder: Path) -> None:
    for i in range(3):
        photo(width=9, height=7).save(folder / f"odd{i}.png")
    found = read_images(folder)
    assert isinstance(found.images, list)
    assert [tuple(image.shape) for image in found.images] == [(3, 24, 24)] * 2 + [(3, 7, 9)] * 3
    with pytest.raises(BadImages, match=r"must have one size.*:\n  9×7 \(3\)\n  24×24 \(2\)$"):
        found.stacked()


def test_other_files_are_ignored_and_counted(folder: Path) -> None:
    for name in ("Thumbs.db", "notes.txt", ".DS_Store", "._good1.png", "scores.csv", "x.npz"):
        (folder / name).write_bytes(b"anything")
    (folder / "logs").mkdir()
    found = read_images(folder)
    assert found.names == ("good1.png", "good2.png")
    assert found.notes == (
        "4 files ignored by name: Thumbs.db, notes.txt, scores.csv, ….",
        "2 hidden files ignored.",
        "1 sub-folder without images ignored.",
    )


def test_all_identical_images_are_noted(folder: Path) -> None:
    photo(seed=1).save(folder / "good2.png")
    assert read_images(folder).notes == ("All 2 images have the same pixels.",)


# ---------------------------------------------------------------- sub-folders


def test_sub_folders_are_classes_in_natural_order(tmp_path: Path) -> None:
    fill(tmp_path, ["10/b.png", "9/a.png", "10/a.png", "cat/x.PNG"])
    (tmp_path / "10" / "notes.txt").touch()
    found = read_images(tmp_path)
    assert found.names == ("9/a.png", "10/a.png", "10/b.png", "cat/x.PNG")
    assert found.labels is not None
    assert found.labels.tolist() == [0, 1, 1, 2]
    assert found.labels.dtype == torch.int64
    assert found.classes == ("9", "10", "cat")
    assert found.notes == (
        "3 sub-folders taken as classes, numbered in natural order.",
        "1 file ignored by name: 10/notes.txt.",
    )
    assert read_images(tmp_path / "10").labels is None


def test_images_beside_sub_folders_with_images(tmp_path: Path) -> None:
    fill(tmp_path, ["a.png", "old/a.png"])
    with pytest.raises(BadImages, match=r"in the folder and in sub-folders too.*\n  old$"):
        read_images(tmp_path)


def test_a_class_without_images_would_move_the_labels(tmp_path: Path) -> None:
    fill(tmp_path, ["0/a.png", "2/a.png"])
    (tmp_path / "1").mkdir()
    with pytest.raises(BadImages, match=r"each must hold images; take these away:\n  1$"):
        read_images(tmp_path)


def test_deeper_folders_are_refused(tmp_path: Path) -> None:
    fill(tmp_path, ["0/a.png", "1/a.png", "1/more/b.png"])
    with pytest.raises(BadImages, match=r"folders within them are not read.*\n  1/more$"):
        read_images(tmp_path)


def test_bad_files_of_classes_are_named_with_their_class(tmp_path: Path) -> None:
    fill(tmp_path, ["0/a.png", "1/a.png"])
    (tmp_path / "1" / "b.png").write_bytes(b"no")
    (tmp_path / "1" / "c.heic").write_bytes(b"no")
    with pytest.raises(BadImages, match=r"2 of 4 files.*\n  1/b\.png: not.*\n  1/c\.heic: \.heic"):
        read_images(tmp_path)


# ---------------------------------------------------------------- links


def test_links_out_of_the_folder_are_refused(folder: Path) -> None:
    photo().save(folder.parent / "outside.png")
    (folder / "link.png").symlink_to("../outside.png")
    (folder / "broken.png").symlink_to("nothing.png")
    (folder / "loop.png").symlink_to("loop.png")
    with pytest.raises(BadImages) as caught:
        read_images(folder)
    assert str(caught.value).splitlines()[1:] == [
        "  broken.png: a link to nothing",
        "  link.png: a link out of the folder; copy the file into it",
        "  loop.png: a link to nothing",
    ]


def test_linked_folders_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    fill(tmp_path, ["set/0/a.png", "elsewhere/a.png"])
    (tmp_path / "set" / "1").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BadImages, match=r"1 of 2 files.*\n  1: a link out of the folder"):
        read_images(tmp_path / "set")


def test_links_within_the_folder_and_to_it_are_followed(folder: Path) -> None:
    (folder / "again.png").symlink_to("good1.png")
    (folder.parent / "alias").symlink_to(folder)
    found = read_images(folder.parent / "alias")
    assert found.names == ("again.png", "good1.png", "good2.png")
    assert torch.equal(found.images[0], found.images[1])


# ---------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a\nb\x1b[31m.png", r"a\\nb\\x1b\[31m\.png"),
        ("x\u202egnp.exe.png", r"x\\u202egnp\.exe\.png"),
        ("\u2028.png", r"\\u2028\.png"),
    ],
)
def test_control_characters_are_written_out(folder: Path, name: str, shown: str) -> None:
    (folder / name).write_bytes(b"no image")
    with pytest.raises(BadImages, match=rf"\n  {shown}: not an image"):
        read_images(folder)


def test_names_that_are_not_utf8_are_refused(folder: Path) -> None:
    photo().save(os.fsencode(folder) + b"/\xff.png", "PNG")
    with pytest.raises(BadImages, match=r"\\udcff\.png: its name is not valid UTF-8; rename it"):
        read_images(folder)


@given(st.text())
def test_shown_names_stay_on_their_line(name: str) -> None:
    shown = printable(name)
    assert shown.isprintable()
    assert len(shown) <= 100


@given(st.lists(st.text(alphabet="a1290.\u00b2\u0663", max_size=6), unique=True))
def test_order_is_that_of_numbers_and_total(names: list[str]) -> None:
    """Superscripts and digits of other scripts are letters."""
    backwards = names[::-1]
    assert sorted(names, key=natural) == sorted(backwards, key=natural)


def test_images_come_in_natural_order(tmp_path: Path) -> None:
    fill(tmp_path, ["img10.png", "img9.png", "img1.png"])
    assert read_images(tmp_path).names == ("img1.png", "img9.png", "img10.png")
