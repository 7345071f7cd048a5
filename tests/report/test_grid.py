"""Galleries beside one another, pixel by pixel, and what is kept out."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from report_records import PLANS, make_record

from kdbench.record import Record
from kdbench.report.grid import NEIGHBOURS, Grid, make_grid
from kdbench.report.plots import save
from kdbench.report.rows import Row, group_rows

Gallery = Callable[[Path, int], str]
ENLARGED = 5  # 8 pixels to 40


def pixels(grid: Grid) -> NDArray[np.uint8]:
    assert grid.figure is not None
    with Image.open(io.BytesIO(save(grid.figure, "png"))) as image:
        return np.asarray(image.convert("RGB"))


def record_with(name: str, *, plan: int = 0, inputs: str = "same") -> Record:
    record = make_record(PLANS[plan], 0)
    record.artifacts["gallery"] = name
    record.identity.inputs = {"held-out": inputs}
    return record


def find(needle: NDArray[np.uint8], picture: NDArray[np.uint8]) -> bool:
    """Whether a block of pixels stands somewhere in the picture, exactly."""
    height, width = needle.shape[:2]
    starts = np.argwhere((picture == needle[0, 0]).all(axis=-1))
    return any(
        np.array_equal(picture[y : y + height, x : x + width], needle) for y, x in starts.tolist()
    )


def test_tiles_are_enlarged_without_blur(tmp_path: Path, gallery: Gallery) -> None:
    name = gallery(tmp_path, 3)
    with Image.open(tmp_path / name[:2] / name) as image:
        strip = np.asarray(image.convert("RGB"))
    picture = pixels(make_grid(group_rows([record_with(name)]), tmp_path))
    for index in (0, 7, 19):
        tile = strip[:, 8 * index : 8 * index + 8]
        assert find(tile.repeat(ENLARGED, axis=0).repeat(ENLARGED, axis=1), picture)
    assert not find(255 - strip[:, :8].repeat(ENLARGED, axis=0), picture)


def test_rows_of_one_pair_with_as_many_calls_are_told_apart(
    tmp_path: Path, gallery: Gallery
) -> None:
    name = gallery(tmp_path, 3)
    records = [record_with(name), record_with(name), record_with(name, plan=1)]
    records[1].identity.arm = "guided"
    grid = make_grid(group_rows(records), tmp_path)
    assert grid.figure is not None
    assert sorted(text.get_text() for text in grid.figure.texts) == [
        "teacher: edm-teacher, 15 calls",
        "teacher: edm-teacher/guided, 31 calls",
        "teacher: edm-teacher/heun-16, 31 calls",
    ]


def test_all_rows_of_the_suite_are_shown(
    tmp_path: Path, with_galleries: Callable[[Path], list[Record]]
) -> None:
    grid = make_grid(group_rows(with_galleries(tmp_path)), tmp_path)
    assert grid.notes == ("Images of seed 0, not chosen by eye.",)
    assert grid.figure is not None
    labels = [text.get_text() for text in grid.figure.texts]
    assert len(labels) == 15
    assert labels[0] == "teacher: edm-teacher, 31 calls"
    assert labels.index("student: luhman, 1 call") < labels.index("scratch: gan-scratch, 1 call")


def test_only_images_of_the_same_inputs_stand_together(tmp_path: Path, gallery: Gallery) -> None:
    name = gallery(tmp_path, 0)
    same = [record_with(name, plan=0), record_with(name, plan=1)]
    grid = make_grid(group_rows([*same, record_with(name, plan=6, inputs="other")]), tmp_path)
    assert grid.figure is not None
    assert len(grid.figure.texts) == 2
    assert "Not in the image grid: edm-scratch@1/heun-16 (no gallery)." in grid.notes


def test_records_without_galleries_have_no_grid(rows: tuple[Row, ...], tmp_path: Path) -> None:
    grid = make_grid(rows, tmp_path)
    assert grid.figure is None
    assert grid.notes == ("No image grid: these records have no galleries.",)


@pytest.mark.parametrize(
    "name", ["../../secret.png", "0" * 63 + ".png", "A" * 64 + ".png", "0" * 64 + ".svg"]
)
def test_only_artifact_names_are_opened(tmp_path: Path, name: str) -> None:
    grid = make_grid(group_rows([record_with(name)]), tmp_path)
    assert grid.figure is None
    assert "not the name of an artifact" in grid.notes[0]


def test_damaged_and_missing_galleries_are_told(tmp_path: Path, gallery: Gallery) -> None:
    name = gallery(tmp_path, 0)
    path = tmp_path / name[:2] / name
    path.write_bytes(path.read_bytes() + b"x")
    assert "damaged" in make_grid(group_rows([record_with(name)]), tmp_path).notes[0]
    path.unlink()
    assert "missing" in make_grid(group_rows([record_with(name)]), tmp_path).notes[0]


@pytest.mark.parametrize(
    ("size", "words"),
    [((64, 64), "not 1 by 20 square images"), ((20 * 600, 600), "too large")],
)
def test_a_picture_of_another_shape_is_told(
    tmp_path: Path, size: tuple[int, int], words: str
) -> None:
    buffer = io.BytesIO()
    Image.new("L", size).save(buffer, "PNG")
    name = f"{hashlib.sha256(buffer.getvalue()).hexdigest()}.png"
    (tmp_path / name[:2]).mkdir()
    (tmp_path / name[:2] / name).write_bytes(buffer.getvalue())
    assert words in make_grid(group_rows([record_with(name)]), tmp_path).notes[0]


def test_neighbours_stand_in_two_rows(tmp_path: Path) -> None:
    pixels = np.zeros((16, 64), np.uint8)
    pixels[8:] = 255  # training images below
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    name = f"{hashlib.sha256(buffer.getvalue()).hexdigest()}.png"
    (tmp_path / name[:2]).mkdir()
    (tmp_path / name[:2] / name).write_bytes(buffer.getvalue())
    record = record_with(name)
    record.artifacts["neighbours"] = record.artifacts.pop("gallery")
    rows = group_rows([record])
    assert make_grid(rows, tmp_path).figure is None
    grid = make_grid(rows, tmp_path, NEIGHBOURS)
    assert grid.figure is not None
    (strip,) = grid.figure.images
    drawn = np.asarray(strip.get_array())
    assert drawn.shape == (80, 8 * 40 + 7 * 3, 3)
    assert drawn[:40, :40].max() == 0
    assert drawn[40:, :40].min() == 255
    assert "above" in grid.notes[0]
