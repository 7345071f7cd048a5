"""Images of all rows from the same latents, one row of tiles each."""

from __future__ import annotations

import hashlib
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.textpath import TextPath
from numpy.typing import NDArray
from PIL import Image

from kdbench.record import Record
from kdbench.report.escape import printable
from kdbench.report.formats import describe_calls
from kdbench.report.rows import Row
from kdbench.report.style import DPI, STYLE

TILES = 20
"""Images in a gallery."""
_TILE_PIXELS = 40
"""Small images are enlarged by a whole factor to at least about this size."""
_STRIP_PIXELS = 1000
"""Width that a row of tiles may have before tiles are left out."""
_FONT_POINTS = 8
_LARGEST_PIXELS = 512
"""Side of the largest tile that is decoded: records may come from strangers."""
_TILE_GAP_PIXELS = 3
_GAP_PIXELS = 6
_GROUP_GAP_PIXELS = 14
_ARTIFACT = re.compile(r"[0-9a-f]{64}\.png")
_ROLES = ("teacher", "student", "scratch", "few-step", "inherited")

Strip = NDArray[np.uint8]
"""(height, width, 3): tiles side by side."""


@dataclass(frozen=True)
class Grid:
    """The picture, or None, and what is said of it."""

    figure: Figure | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Line:
    """One row of the picture."""

    label: str
    nfe: int | None
    strip: Strip


def make_grid(rows: Sequence[Row], artifacts: Path) -> Grid:
    """Galleries of teachers, students and controls of one seed, by number of calls.

    Only rows whose images come from the same inputs stand in one picture.

    Args:
        rows: of one task, in any order.
        artifacts: the folder of content-addressed files.
    """
    shown = [row for row in rows if row.identity.role in _ROLES]
    records = {row.label: _with_gallery(row) for row in shown}
    inputs = Counter(_inputs(r) for found in records.values() for r in found)
    if not inputs:
        return Grid(None, ("No image grid: these records have no galleries.",))
    usual = min(inputs, key=lambda key: (-inputs[key], key))
    lines, notes = [], []
    for row in sorted(shown, key=_place):
        record = next((r for r in records[row.label] if _inputs(r) == usual), None)
        strip = _read_strip(record.artifacts["gallery"], artifacts) if record else "no gallery"
        if isinstance(strip, str):
            notes.append(f"Not in the image grid: {row.label} ({strip}).")
        else:
            lines.append(_Line(_label(row), row.identity.nfe, strip))
    if not lines:
        return Grid(None, tuple(notes))
    lines = [line for line in lines if line.strip.shape == lines[0].strip.shape]
    return Grid(_compose(lines), (f"Images of seed {usual[0]}, not chosen by eye.", *notes))


def _with_gallery(row: Row) -> list[Record]:
    return [record for record in row.finished if "gallery" in record.artifacts]


def _inputs(record: Record) -> tuple[int, str]:
    """What decides whether two rows show the same inputs."""
    return record.identity.train_seed, record.identity.inputs.get("held-out", "")


def _place(row: Row) -> tuple[bool, int, int, str]:
    """Teachers first, by falling calls; then everything else by rising calls."""
    nfe, role = row.identity.nfe or 0, row.identity.role
    teacher = role == "teacher"
    return not teacher, -nfe if teacher else nfe, _ROLES.index(role), row.label


def _label(row: Row) -> str:
    pair = row.identity.pair.partition("@")[0]
    return printable(f"{row.identity.role}: {pair}, {describe_calls(row.identity.nfe)}")


def _read_strip(name: str, artifacts: Path) -> Strip | str:
    """The tiles of one gallery, or why it cannot be shown."""
    if not _ARTIFACT.fullmatch(name):
        return "the gallery's name is not that of an artifact"
    try:
        data = (artifacts / name[:2] / name).read_bytes()
        if hashlib.sha256(data).hexdigest() != name.partition(".")[0]:
            return "the gallery is damaged"
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            if image.height > _LARGEST_PIXELS:
                return "the gallery is too large"
            if image.width != TILES * image.height:
                return f"the gallery is not a row of {TILES} square images"
            return _enlarge(np.asarray(image.convert("RGB")))
    except (OSError, ValueError, Image.DecompressionBombError):
        return "the gallery is missing or damaged"


def _enlarge(strip: Strip) -> Strip:
    """As many tiles as fit, each pixel repeated a whole number of times."""
    side = strip.shape[0]
    factor = max(1, _TILE_PIXELS // side)
    kept = min(TILES, max(1, _STRIP_PIXELS // (side * factor)))
    tiles = strip.repeat(factor, axis=0).repeat(factor, axis=1)
    gap = np.full((side * factor, _TILE_GAP_PIXELS, 3), 255, np.uint8)
    parts = [
        part
        for i in range(kept)
        for part in (gap, tiles[:, i * side * factor : (i + 1) * side * factor])
    ]
    return np.concatenate(parts[1:], axis=1)


def _compose(lines: Sequence[_Line]) -> Figure:
    """One pixel of the file for one pixel of the strips, labels to their left."""
    height, width = lines[0].strip.shape[:2]
    gaps = [
        _GROUP_GAP_PIXELS if before.nfe != after.nfe else _GAP_PIXELS
        for before, after in pairwise(lines)
    ]
    total = len(lines) * height + sum(gaps) + 2 * _GAP_PIXELS
    with matplotlib.rc_context(STYLE):
        left = max(_width_pixels(line.label) for line in lines) + 2 * _GAP_PIXELS
        across = left + width + _GAP_PIXELS
        figure = Figure(figsize=(across / DPI, total / DPI), dpi=DPI)
        top = total - _GAP_PIXELS
        for line, gap in zip(lines, [*gaps, 0], strict=True):
            figure.figimage(line.strip, xo=left, yo=top - height)
            figure.text(
                (left - _GAP_PIXELS) / across,
                (top - height / 2) / total,
                line.label,
                ha="right",
                va="center",
                fontsize=_FONT_POINTS,
            )
            top -= height + gap
    return figure


def _width_pixels(label: str) -> int:
    path = TextPath((0, 0), label, size=_FONT_POINTS * DPI / 72)
    return int(path.get_extents().width) + 1
