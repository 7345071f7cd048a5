"""Images of timed rounds beside those that quality is measured on: the same program, or another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import inf, log10
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from kdbench.record import Cost

K = TypeVar("K")

LEAST_DB = 50.0
"""Below this PSNR two images are of different arithmetic, not of another order of it: 57 dB is what
bfloat16 leaves of float32 in a small generator, 140 dB another memory format."""


def compare_images(
    timed: Mapping[K, NDArray[Any]], drawn: Mapping[K, NDArray[Any]]
) -> dict[str, float | str | None]:
    """How far timed images are from those drawn without a clock.

    Args:
        timed: by what names their input, (C, H, W), uint8 or float32.
        drawn: the same inputs and more.

    Returns:
        `images_checked`, `images_psnr_db` (the least; None where all are equal) and
        `images_max_step` in the images' own unit; both are None where an image is not finite or
        has another shape.

    >>> black = np.zeros((1, 2, 2), np.uint8)
    >>> compare_images({3: black}, {3: black + 255})["images_psnr_db"]
    0.0
    """
    least, step, comparable, peak = inf, 0.0, True, _peak(drawn.values())
    for number, image in timed.items():
        other = drawn[number]
        if image.shape != other.shape or not np.isfinite(image).all():
            comparable = False
            continue
        difference = np.abs(image.astype(float) - other.astype(float))
        step = max(step, float(difference.max()))
        least = min(least, _psnr(difference, peak))
    return {
        "images_checked": float(len(timed)),
        "images_psnr_db": least if comparable and least < inf else None,
        "images_max_step": step if comparable else None,
    }


def check_images(cost: Cost, found: Mapping[str, float | str | None]) -> Cost:
    """A cost with what `compare_images` found, marked where its program is another one."""
    psnr, comparable = found["images_psnr_db"], found["images_max_step"] is not None
    differs = not comparable or (isinstance(psnr, float) and psnr < LEAST_DB)
    marks = [*cost.marks, *(["output_differs"] if differs else [])]
    return cost.model_copy(update={"marks": marks, "details": {**cost.details, **found}})


def _psnr(difference: NDArray[Any], peak: float) -> float:
    error = float(np.mean(difference**2))
    return inf if error == 0 else 10 * log10(peak**2 / error)


def _peak(images: Iterable[NDArray[Any]]) -> float:
    """The range of images; of points of the plane, that of all of them together."""
    all_images = np.stack(list(images))
    if all_images.dtype == np.uint8:
        return 255.0
    return float(all_images.max() - all_images.min()) or 1.0
