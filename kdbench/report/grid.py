"""Small pictures of all rows in one: images from the same latents, or images beside their nearest
training images."""

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
class Strips:
    """What kind of small picture is collected."""

    artifact: str
    """Its name in a record."""
    title: str
    """What all of them together are called."""
    tiles: int
    """Square images side by side."""
    rows: int
    """Rows of tiles in one picture."""
    missing: str
    """What is said where no record has one."""
    note: str
    """What is said below the picture; `{seed}` is the training seed shown."""


GALLERIES = Strips(
    artifact="gallery",
    title="image grid",
    tiles=20,
    rows=1,
    missing="No image grid: these records have no galleries.",
    note="Images of seed {seed}, not chosen by eye.",
)
NEIGHBOURS = Strips(
    artifact="neighbours",
    title="picture of nearest training images",
    tiles=8,
    rows=2,
    missing="No picture of nearest training images: these records have none.",
    note="Of seed {seed}: above, the generated images that lie closest to a training image "
    "(distance to it over that training image's own distance to its nearest other), closest "
    "first; below each, that training image.",
)


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


def make_grid(rows: Sequence[Row], artifacts: Path, strips: Strips = GALLERIES) -> Grid:
    """Small pictures of teachers, students and controls of one seed, by number of calls.

    Only rows whose images come from the same inputs stand in one picture.

    Args:
        rows: of one task, in any order.
        artifacts: the folder of content-addressed files.
        strips: which small pictures.
    """
    shown = [row for row in rows if row.identity.role in _ROLES]
    records = {row.label: _with_picture(row, strips) for row in shown}
    inputs = Counter(_inputs(r) for found in records.values() for r in found)
    if not inputs:
        return Grid(None, (strips.missing,))
    usual = min(inputs, key=lambda key: (-inputs[key], key))
    alike = Counter(map(_label, shown))
    lines, notes = [], []
    for row in sorted(shown, key=_place):
        record = next((r for r in records[row.label] if _inputs(r) == usual), None)
        name = record.artifacts[strips.artifact] if record else None
        strip = _read_strip(name, artifacts, strips) if name else f"no {strips.artifact}"
        if isinstance(strip, str):
            notes.append(f"Not in the {strips.title}: {row.label} ({strip}).")
        else:
            label = _label(row, with_arm=alike[_label(row)] > 1)
            lines.append(_Line(label, row.identity.nfe, strip))
    if not lines:
        return Grid(None, tuple(notes))
    lines = [line for line in lines if line.strip.shape == lines[0].strip.shape]
    return Grid(_compose(lines), (strips.note.format(seed=usual[0]), *notes))


def _with_picture(row: Row, strips: Strips) -> list[Record]:
    return [record for record in row.finished if strips.artifact in record.artifacts]


def _inputs(record: Record) -> tuple[int, str]:
    """What decides whether two rows show the same inputs."""
    return record.identity.train_seed, record.identity.inputs.get("held-out", "")


def _place(row: Row) -> tuple[bool, int, int, str]:
    """Teachers first, by falling calls; then everything else by rising calls."""
    nfe, role = row.identity.nfe or 0, row.identity.role
    teacher = role == "teacher"
    return not teacher, -nfe if teacher else nfe, _ROLES.index(role), row.label


def _label(row: Row, *, with_arm: bool = False) -> str:
    name = row.identity.pair.partition("@")[0] + (f"/{row.identity.arm}" if with_arm else "")
    return printable(f"{row.identity.role}: {name}, {describe_calls(row.identity.nfe)}")


def _read_strip(name: str, artifacts: Path, strips: Strips) -> Strip | str:
    """The tiles of one picture, or why it cannot be shown."""
    what = strips.artifact
    if not _ARTIFACT.fullmatch(name):
        return f"its {what} has not the name of an artifact"
    try:
        data = (artifacts / name[:2] / name).read_bytes()
        if hashlib.sha256(data).hexdigest() != name.partition(".")[0]:
            return f"its {what} is damaged"
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            side, rest = divmod(image.height, strips.rows)
            if side > _LARGEST_PIXELS:
                return f"its {what} is too large"
            if rest or image.width != strips.tiles * side:
                return f"its {what} is not {strips.rows} by {strips.tiles} square images"
            return _enlarge(np.asarray(image.convert("RGB")), side, strips.tiles)
    except (OSError, ValueError, Image.DecompressionBombError):
        return f"its {what} is missing or damaged"


def _enlarge(strip: Strip, side: int, tiles: int) -> Strip:
    """As many tiles of a row as fit, each pixel repeated a whole number of times."""
    factor = max(1, _TILE_PIXELS // side)
    kept = min(tiles, max(1, _STRIP_PIXELS // (side * factor)))
    large = strip.repeat(factor, axis=0).repeat(factor, axis=1)
    gap = np.full((large.shape[0], _TILE_GAP_PIXELS, 3), 255, np.uint8)
    parts = [
        part
        for i in range(kept)
        for part in (gap, large[:, i * side * factor : (i + 1) * side * factor])
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
