"""Pairs by name: every image has its partner of the same size, or all that lack one are named."""

from __future__ import annotations

import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import torch
from bad_files import photo

from kdbench.reading import BadImages, Pairs, pair, read_images


@pytest.fixture
def targets(folder: Path) -> Path:
    """A copy of `folder`, with other pixels."""
    found = folder.parent / "targets"
    found.mkdir()
    for i in (1, 2):
        photo(seed=10 + i).save(found / f"good{i}.png")
    return found


def paired(students: Path, targets: Path) -> Pairs:
    return pair(read_images(students), read_images(targets))


def test_pairs_by_name_whatever_the_extension_and_the_order(folder: Path, targets: Path) -> None:
    photo(seed=3).save(folder / "a.bmp")
    photo(seed=4).save(targets / "a.webp", lossless=True)
    found = paired(folder, targets)
    assert found.names == ("a", "good1", "good2")
    assert [np.asarray(photo(seed=s)).sum() for s in (3, 1, 2)] == [
        image.sum() for image in found.students
    ]
    assert [np.asarray(photo(seed=s)).sum() for s in (4, 11, 12)] == [
        image.sum() for image in found.targets
    ]
    assert found.notes == ()


def test_names_without_partner_are_all_named(folder: Path, targets: Path) -> None:
    photo().save(folder / "only\nhere.png")
    photo().save(targets / "only-there.png")
    with pytest.raises(BadImages) as caught:
        paired(folder, targets)
    assert str(caught.value).splitlines() == [
        "2 names have no partner of the same name:",
        r"  only\nhere is among the students only",
        "  only-there is among the targets only",
    ]
    for i in range(20):
        photo().save(folder / f"x{i}.png")
    with pytest.raises(BadImages, match="22 names have no partner") as caught:
        paired(folder, targets)
    assert str(caught.value).splitlines()[-1] == "  … and 12 more"


def test_a_name_twice_is_refused(folder: Path, targets: Path) -> None:
    photo().save(folder / "good1.jpg")
    with pytest.raises(BadImages, match=r"Among the students, .*\n  good1\.jpg, good1\.png$"):
        paired(folder, targets)
    with pytest.raises(BadImages, match="Among the targets"):
        paired(targets, folder)


def test_sizes_that_differ_are_named(folder: Path, targets: Path) -> None:
    photo(width=20, height=10).save(targets / "good2.png")
    with pytest.raises(
        BadImages, match=r"1 of 2 pairs differ in size.*\n  good2: 24×24 and 20×10$"
    ):
        paired(folder, targets)


def test_sizes_may_differ_between_pairs(folder: Path, targets: Path) -> None:
    for side in (folder, targets):
        photo(width=20, height=10).save(side / "good2.png")
    assert [tuple(image.shape) for image in paired(folder, targets).students] == [
        (3, 24, 24),
        (3, 10, 20),
    ]


def test_grey_against_colour_is_repeated_and_counted(folder: Path, targets: Path) -> None:
    for path in folder.iterdir():
        photo(seed=5).convert("L").save(path)
    for found in (paired(folder, targets), paired(targets, folder)):
        assert {len(image) for image in found.students + found.targets} == {3}
        assert found.notes == ("2 pairs of grey and colour: grey repeated in three channels.",)
    assert torch.equal(found.targets[0][0], found.targets[0][2])


def test_classes_are_part_of_the_name(folder: Path, targets: Path) -> None:
    for side, classes in ((folder, "ab"), (targets, "ac")):
        for path, name in zip(sorted(side.iterdir()), classes, strict=True):
            (side / name).mkdir()
            shutil.move(path, side / name / "x.png")
    with pytest.raises(BadImages, match=r"\n  b/x is among the students only\n  c/x is"):
        paired(folder, targets)


def test_accents_of_other_file_systems(folder: Path, targets: Path) -> None:
    for side, form in ((folder, "NFC"), (targets, "NFD")):
        (side / "good1.png").rename(side / (unicodedata.normalize(form, "été") + ".png"))
    assert paired(folder, targets).names == ("good2", "été")


def test_batches_are_paired_by_position(folder: Path) -> None:
    for name, n in (("a", 4), ("b", 4), ("c", 3)):
        np.save(folder.parent / f"{name}.npy", np.full((n, 8, 8, 3), n, np.uint8))
    a, b, c = (read_images(folder.parent / f"{name}.npy") for name in "abc")
    assert pair(a, b).names == ("0", "1", "2", "3")
    with pytest.raises(BadImages, match="by position, and there are 4 of the student and 3 of"):
        pair(a, c)
    with pytest.raises(BadImages, match="no file names to pair by; give two folders or two"):
        pair(a, read_images(folder))


def test_messages_name_the_teachers_images(folder: Path, targets: Path) -> None:
    photo(width=20, height=10).save(targets / "good2.png")
    own = read_images(folder)
    with pytest.raises(BadImages, match="differ in size, student and teacher as width"):
        pair(own, read_images(targets), role="teacher")
    photo().save(targets / "more.png")
    with pytest.raises(BadImages, match=r"^1 name has no .*\n  more is among the teacher's images"):
        pair(own, read_images(targets), role="teacher")
    photo().save(targets / "more.bmp")
    with pytest.raises(BadImages, match="Among the teacher's images, names differ"):
        pair(own, read_images(targets), role="teacher")
    np.save(folder.parent / "x.npy", np.full((2, 8, 8, 3), 1, np.uint8))
    with pytest.raises(BadImages, match="of the teacher no file names to pair by"):
        pair(own, read_images(folder.parent / "x.npy"), role="teacher")
