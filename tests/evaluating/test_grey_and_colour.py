"""Student, teacher and target of one image are taken by one rule, and what was done is said."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kdbench.evaluating.evaluate import evaluate
from kdbench.evaluating.evaluation import Evaluation
from kdbench.metrics.paired import PSNR_CAP_DB, l1

SIDES = ("student", "targets", "teacher")
STUDIO_DB = 20 * np.log10(255 / 219)
"""By which PSNR on studio swing is above that on full swing: 1.32 dB."""


def grey(seed: int, level: int = 0, height: int = 24, width: int = 16) -> np.ndarray:
    draw = np.random.default_rng(seed).integers(20, 200, (height, width), dtype=np.uint8)
    return draw + np.uint8(level)


def save(path: Path, image: np.ndarray, *, coloured: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.stack([image] * 3, 2) if coloured else image).save(path)


def folders(root: Path, *kinds: str, levels: tuple[int, int, int] = (3, 0, 3)) -> dict[str, Path]:
    """Three folders with a file for each of `kinds`: who of s, t and T is in colour."""
    for side, mark, level in zip(SIDES, "stT", levels, strict=True):
        for i, kind in enumerate(kinds):
            save(root / side / f"{i}.png", grey(i, level), coloured=mark in kind)
    return {side: root / side for side in SIDES}


def psnr(root: Path, *, without: tuple[str, ...] = (), metrics: tuple[str, ...] = ("psnr",)):
    given = {side: root / side for side in SIDES if side not in without}
    return evaluate(given.pop("student"), **given, metrics=metrics, protocols=["matlab-y"], crop=0)


def notes(found: Evaluation) -> list[str]:
    given = (found.student, found.targets, found.teacher)
    return [note for one in given if one for note in one.notes]


@pytest.mark.parametrize(
    "kind", ["".join(marks) for n in range(4) for marks in itertools.combinations("stT", n)]
)
def test_equal_pixels_are_no_difference_whoever_is_in_colour(tmp_path: Path, kind: str) -> None:
    folders(tmp_path, kind, kind)
    score = psnr(tmp_path).scores[0]
    plain = 20 * np.log10(255 / 3)
    assert score.value == pytest.approx(plain + (STUDIO_DB if kind else 0), abs=1e-9)
    assert score.details["teacher"] == pytest.approx(score.value, abs=1e-9)
    assert score.details["difference"] == pytest.approx(0, abs=1e-9)


def test_a_teacher_that_changes_the_planes_is_in_notes_and_protocol(tmp_path: Path) -> None:
    folders(tmp_path, "T", "", "stT")
    beside, alone = psnr(tmp_path), psnr(tmp_path, without=("teacher",))
    said = "1 of 3 images are in colour for some of student, target and teacher and grey for others"
    assert any(note.startswith(said) for note in notes(beside))
    assert "1 of them grey in three channels as the teacher's are" in beside.scores[0].protocol
    assert beside.scores[0].protocol != alone.scores[0].protocol
    own, other = ([row["psnr@1"] for row in one.per_image] for one in (beside, alone))
    assert np.subtract(own, other) == pytest.approx([STUDIO_DB, 0, 0], abs=1e-9)


def test_a_mixed_folder_whose_pairs_stay_grey_is_not_said_to_be_repeated(tmp_path: Path) -> None:
    folders(tmp_path, "", "stT")
    assert not any("repeated" in note for note in notes(psnr(tmp_path)))
    folders(tmp_path, "", "stT", "s")
    found = psnr(tmp_path, without=("teacher",))
    assert [note for note in notes(found) if "repeated" in note] == [
        "1 pair of grey and colour: grey repeated in three channels."
    ]


def test_what_was_repeated_for_sets_is_said_beside_pairs(tmp_path: Path) -> None:
    folders(tmp_path, "", "stT", "")
    given = {"targets": tmp_path / "targets"}
    both = evaluate(tmp_path / "student", **given, metrics=["psnr", "saturation"])
    assert both.student.notes == [
        "2 of 3 images grey among colour ones: repeated in three channels, but not in pairs that "
        "are grey on all sides."
    ]
    alone = evaluate(tmp_path / "student", metrics=["saturation"])
    assert alone.student.notes == [
        "2 of 3 images grey among colour ones: repeated in three channels."
    ]


def test_the_teachers_notes_hold_how_its_pairs_were_treated(tmp_path: Path) -> None:
    folders(tmp_path, "T", "sT")
    found = psnr(tmp_path, without=("targets",))
    assert found.teacher is not None
    assert found.teacher.notes == ["1 pair of grey and colour: grey repeated in three channels."]


def test_a_grey_image_has_a_stranger_of_its_size_in_colour(tmp_path: Path) -> None:
    folders(tmp_path, "", "stT", levels=(0, 0, 0))
    given = {"targets": tmp_path / "targets"}
    score = evaluate(tmp_path / "student", **given, metrics=["l1"]).scores[0]
    due = np.abs(grey(0).astype(float) - grey(1)).mean()
    assert l1.id == score.metric
    assert score.value == 0
    assert score.details["shuffled"] == pytest.approx(due)
    assert score.marks == ["2 of 2 pairs have the same pixels"]
    planes = psnr(tmp_path, without=("teacher",)).scores[0]
    mse = ((grey(0).astype(float) - grey(1)) ** 2).mean()
    assert planes.value == pytest.approx(PSNR_CAP_DB)
    assert planes.details["shuffled"] == pytest.approx(10 * np.log10(255**2 / mse) + STUDIO_DB)
