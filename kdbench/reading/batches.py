"""Batches of images as arrays: which axis is which, and floats as 8 bits, without guessing."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from kdbench.reading.arrays import Array, ArrayFile, open_arrays
from kdbench.reading.errors import Unreadable
from kdbench.reading.names import printable
from kdbench.reading.read_set import ReadSet, alike

CHANNELS = (1, 3)

IMAGES = {"arr_0": "arr_1", "images": "labels"}
"""Names of images and of their labels: ADM's and NumPy's own, and ours."""

CHUNK = 256
"""Images that are converted from floats at a time."""


def read_batch(path: Path, *, most: int) -> ReadSet:
    """The images of an `.npy` or `.npz` file.

    Args:
        path: of the file.
        most: bytes that an array may take.

    Raises:
        BadImages: there is no batch of images in it, or it leaves open what it means.
    """
    with open_arrays(path, most=most) as arrays:
        name, label_name = _which(arrays.declared)
        layout = layout_of(arrays.declared[name].shape)
        values = _channels_first(arrays.load(name), layout)
        images = torch.from_numpy(_eight_bits(values)).clone(memory_format=torch.contiguous_format)
        labels = _labels(arrays, label_name, len(images))
        unused = [key for key in arrays.declared if key not in (name, label_name)]
        scaled = [] if values.dtype == np.uint8 else [f"{values.dtype} in [0, 1]: round(255 v)."]
    aside = ", ".join(printable(key) for key in unused)
    notes = [f"Read as {layout}.", *scaled, *([f"Not used: {aside}."] if aside else [])]
    names = tuple(str(i) for i in range(len(images)))
    return ReadSet(names, images, labels, (), (*notes, *alike(images)), has_files=False)


def _which(names: Collection[str]) -> tuple[str, str | None]:
    """The array of images and, where there is one, that of labels."""
    for images, labels in IMAGES.items():
        if images in names:
            return images, labels if labels in names else None
    if {"mu", "sigma"} <= set(names):
        raise Unreadable("it holds statistics of features (mu, sigma), and no images")
    if len(names) != 1:
        found = ", ".join(printable(name) for name in names) or "none"
        raise Unreadable(f"images must be named arr_0 or images, or be alone; it holds: {found}")
    return next(iter(names)), None


def layout_of(shape: tuple[int, ...]) -> str:
    """How axes are used: "NHWC", "NCHW" or "NHW".

    Raises:
        Unreadable: in no way, or in more than one.

    >>> layout_of((10, 64, 64, 3)), layout_of((10, 1, 28, 28)), layout_of((10, 28, 28))
    ('NHWC', 'NCHW', 'NHW')
    """
    if 0 in shape:
        raise Unreadable(f"its shape is {shape}: there are no images")
    last = len(shape) == 4 and shape[3] in CHANNELS
    first = len(shape) == 4 and shape[1] in CHANNELS
    alone = len(shape) == 3 and not {shape[0], shape[2]} & {1, 3, 4}
    if last + first + alone == 1:
        return "NHWC" if last else "NCHW" if first else "NHW"
    if last or len(shape) == 3:
        raise Unreadable(
            f"its shape {shape} leaves open where the channels are; save it as "
            "(images, height, width, channels) with sides other than 1 and 3"
        )
    raise Unreadable(
        f"its shape is {shape}; images are (N, H, W, C) or (N, C, H, W) with 1 or 3 channels, "
        "without alpha, or (N, H, W)"
    )


def _channels_first(values: Array, layout: str) -> Array:
    if layout == "NHW":
        return values[:, None]
    return np.moveaxis(values, -1, 1) if layout == "NHWC" else values


def _eight_bits(values: Array) -> Array:
    """uint8 as it is, floats as round(255 v).

    Raises:
        Unreadable: other types, or floats that are not within [0, 1].
    """
    if values.dtype == np.uint8:
        return values
    if values.dtype.kind != "f":
        raise Unreadable(f"its pixels are {values.dtype}; save them as uint8")
    if why := _outside(values):
        raise Unreadable(why)
    chunks = range(0, len(values), CHUNK)
    bytes_ = np.empty(values.shape, np.uint8)
    for start in chunks:
        part = values[start : start + CHUNK].astype(np.float32)  # as generators are quantised
        bytes_[start : start + CHUNK] = np.rint(part.clip(0, 1) * 255)
    return bytes_


def _outside(values: Array) -> str | None:
    """Why floats are no images within [0, 1]: how many are not, and their range."""
    beyond = broken = 0
    low, high = np.inf, -np.inf
    for start in range(0, len(values), CHUNK):
        part = values[start : start + CHUNK]
        finite = part[np.isfinite(part)]
        broken += part.size - finite.size
        beyond += int(((finite < 0) | (finite > 1)).sum())
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    if not beyond + broken:
        return None
    ranged = f"from {low:.9g} to {high:.9g}, " if low <= high else ""
    counts = {"outside [0, 1]": beyond, "not finite": broken}
    found = " and ".join(f"{n:,} {what}" for what, n in counts.items() if n)
    return (
        f"of its {values.size:,} {values.dtype} values, {ranged}{found}; save uint8, or floats "
        "within [0, 1]"
    )


def _labels(arrays: ArrayFile, name: str | None, n: int) -> Tensor | None:
    """(N,), int64."""
    if name is None:
        return None
    declared = arrays.declared[name]
    if declared.shape != (n,) or declared.dtype.kind not in "ui":
        raise Unreadable(
            f"its labels {name} are {declared.dtype} of shape {declared.shape}; they must be "
            f"integers of shape ({n},)"
        )
    labels = arrays.load(name)
    if labels.min() < 0 or labels.max() > np.iinfo(np.int64).max:
        raise Unreadable(f"its labels {name} go from {labels.min()} to {labels.max()}")
    return torch.from_numpy(labels.astype(np.int64))
