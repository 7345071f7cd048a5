"""Images of timed rounds beside those that the same program draws without a clock."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kdbench.costs.missing import missing
from kdbench.costs.shown import LEAST_DB, check_images, compare_images
from kdbench.record import Cost

DRAW = np.random.default_rng(0)
IMAGE = DRAW.integers(0, 256, (3, 16, 16)).astype(np.uint8)
OTHER = DRAW.integers(0, 256, (3, 16, 16)).astype(np.uint8)
COST = missing("latency_ms", "none is needed here")


def test_equal_images_have_no_distance() -> None:
    found = compare_images({1: IMAGE, 4: OTHER}, {1: IMAGE, 4: OTHER, 5: IMAGE})
    assert found == {"images_checked": 2, "images_psnr_db": None, "images_max_step": 0.0}
    checked = check_images(COST, found)
    assert checked.marks == []
    assert checked.details["images_checked"] == 2


def test_the_worst_image_counts() -> None:
    found = compare_images({1: IMAGE, 4: IMAGE}, {1: IMAGE, 4: OTHER})
    assert found["images_psnr_db"] == pytest.approx(7.8, abs=0.5)  # of two uniform noises
    assert check_images(COST, found).marks == ["output_differs"]


def test_psnr_by_hand() -> None:
    off = IMAGE.copy()
    off[0, 0, 0] ^= 16
    db = 10 * np.log10(255**2 / (16**2 / IMAGE.size))
    found = compare_images({0: off}, {0: IMAGE})
    assert found["images_psnr_db"] == pytest.approx(db)
    assert found["images_max_step"] == 16


@pytest.mark.parametrize(("db", "marks"), [(57.0, []), (49.0, ["output_differs"])])
def test_rounding_passes_and_another_program_does_not(db: float, marks: list[str]) -> None:
    """57 dB is what bfloat16 leaves of float32 in a small generator."""
    assert LEAST_DB == 50
    image = DRAW.random((1, 64, 64)).astype(np.float32)
    peak = float(image.max() - image.min())
    shift = peak * 10 ** (-db / 20)
    assert check_images(COST, compare_images({0: image + shift}, {0: image})).marks == marks


def test_images_that_are_not_finite_differ() -> None:
    broken: Any = np.full((1, 4, 4), np.nan, np.float32)
    whole = np.zeros((1, 4, 4), np.float32)
    found = compare_images({0: broken}, {0: whole})
    assert check_images(COST, found).marks == ["output_differs"]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [0.0, 0.5, np.nan])
def test_a_record_can_hold_what_was_found(value: float) -> None:
    images = [np.full((1, 4, 4), v, np.float32) for v in (value, 0.0)]
    checked = check_images(COST, compare_images({0: images[0]}, {0: images[1]}))
    assert Cost.model_validate_json(checked.model_dump_json()) == checked
