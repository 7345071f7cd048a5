"""The images of a folder: which files they are, in which order, under which labels."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from kdbench.reading.errors import BadImages, lines
from kdbench.reading.names import FORMAT_OF, UNREAD, is_utf8, natural, printable


@dataclass(frozen=True)
class Listing:
    """Files to be read, relative to a folder, in natural order."""

    root: Path
    names: list[str] = field(default_factory=list)
    """With `/` between a class and its file."""
    labels: list[int] | None = None
    classes: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)
    """Names that are not read, each with its reason."""


@dataclass(frozen=True)
class _Level:
    """One folder, sorted by what its entries are."""

    images: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)

    @property
    def has_images(self) -> bool:
        return bool(self.images or self.problems)


def list_images(folder: Path) -> Listing:
    """The images of a folder itself or, if it has none, of its sub-folders as classes.

    Raises:
        BadImages: there are none, or sub-folders leave open which images are meant.
    """
    root = folder.resolve()
    top = _level(root, "")
    below = {name: _level(root, f"{name}/") for name in top.folders}
    if not top.images and any(level.has_images for level in below.values()):
        return _classes(root, top, below)
    if not top.has_images:
        raise BadImages(_none(top, below))
    return _flat(root, top, below)


def _flat(root: Path, top: _Level, below: dict[str, _Level]) -> Listing:
    both = [name for name, level in below.items() if level.has_images]
    if both:
        raise BadImages(
            "There are images in the folder and in sub-folders too; name the folder that is meant, "
            f"or move its images out of the way:{lines([printable(name) for name in both])}"
        )
    unread = [f"{_count(len(below), 'sub-folder')} without images ignored."] if below else []
    return Listing(root, top.images, None, (), _ignored([top]) + unread, top.problems)


def _classes(root: Path, top: _Level, below: dict[str, _Level]) -> Listing:
    empty = [name for name, level in below.items() if not level.has_images]
    if empty:
        raise BadImages(
            "Sub-folders are taken as classes, so each must hold images; take these away:"
            + lines([printable(name) for name in empty])
        )
    deeper = [f"{name}/{inner}" for name, level in below.items() for inner in level.folders]
    if deeper:
        raise BadImages(
            "Sub-folders are taken as classes, and folders within them are not read; move their "
            f"images up or away:{lines([printable(name) for name in deeper])}"
        )
    levels = list(below.values())
    names = [name for level in levels for name in level.images]
    labels = [label for label, level in enumerate(levels) for _ in level.images]
    problems = {n: why for level in (top, *levels) for n, why in level.problems.items()}
    taken = f"{_count(len(below), 'sub-folder')} taken as classes, numbered in natural order."
    notes = [taken, *_ignored([top, *levels])]
    return Listing(root, names, labels, tuple(below), notes, problems)


def _level(root: Path, prefix: str) -> _Level:
    level = _Level()
    for entry in _entries(root / prefix):
        name = prefix + entry.name
        suffix = os.path.splitext(entry.name)[1].lower()
        image = suffix in FORMAT_OF or suffix in UNREAD
        if entry.name.startswith("."):
            level.hidden.append(name)
        elif entry.is_symlink() and (image or entry.is_dir()) and (why := _link(root, name)):
            level.problems[name] = why
        elif entry.is_dir():
            level.folders.append(name.removeprefix(prefix))
        elif not image:
            level.others.append(name)
        elif why := _problem(entry, name, suffix):
            level.problems[name] = why
        else:
            level.images.append(name)
    return level


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            yield from sorted(found, key=lambda entry: natural(entry.name))
    except OSError as error:
        raise BadImages(f"{printable(folder.name)}: {error.strerror}.") from error


def _link(root: Path, name: str) -> str | None:
    """Why a symbolic link is not followed."""
    try:
        target = (root / name).resolve(strict=True)
    except (OSError, RuntimeError):  # RuntimeError: a loop, before Python 3.13
        return "a link to nothing"
    if target.is_relative_to(root):
        return None
    return "a link out of the folder; copy the file into it"


def _problem(entry: os.DirEntry[str], name: str, suffix: str) -> str | None:
    """Why a file with the name of an image is not read."""
    if not entry.is_file():
        return "not a regular file"
    if not is_utf8(name):
        return "its name is not valid UTF-8; rename it"
    if suffix in UNREAD:
        return f"{suffix} is not read; convert it to PNG"
    return None


def _none(top: _Level, below: dict[str, _Level]) -> str:
    others = top.others + [name for level in below.values() for name in level.others]
    hidden = top.hidden + [name for level in below.values() for name in level.hidden]
    seen = f"; {_count(len(others + hidden), 'other file')} there" if others or hidden else ""
    return f"There are no images in the folder ({', '.join(sorted(FORMAT_OF))}){seen}."


def _ignored(levels: list[_Level]) -> list[str]:
    """What was left out, in words."""
    others = [name for level in levels for name in level.others]
    hidden = sum(len(level.hidden) for level in levels)
    notes = []
    if others:
        first = ", ".join(printable(name) for name in others[:3])
        more = ", …" if len(others) > 3 else ""
        notes.append(f"{_count(len(others), 'file')} ignored by name: {first}{more}.")
    if hidden:
        notes.append(f"{_count(hidden, 'hidden file')} ignored.")
    return notes


def _count(n: int, thing: str) -> str:
    return f"{n:,} {thing}{'' if n == 1 else 's'}"
