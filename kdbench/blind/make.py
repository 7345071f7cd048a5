"""Writing a blinded page and, apart from it, its key."""

from __future__ import annotations

import base64
import json
import os
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import torch
from pydantic import ValidationError
from torch import Tensor

from kdbench.blind.opponents import opponents
from kdbench.blind.trials import Key, Opponent, Trial, arrange
from kdbench.errors import KdbenchError
from kdbench.evaluating.failed import refuse_failed
from kdbench.evaluating.material import look_up
from kdbench.evaluating.question import Question
from kdbench.evaluating.subjects import open_subject
from kdbench.pictures import tiles_png
from kdbench.stages import Progress
from kdbench.store import write_atomically

PAGE, KEY = "index.html", "key.json"

MOST = 64 << 20
"""Bytes of a page; browsers become slow above."""


class BadPage(KdbenchError):
    """A page that cannot be made, or whose key is missing or another's."""


@dataclass(frozen=True)
class Page:
    """What was written."""

    folder: Path
    key: Key
    notes: tuple[str, ...] = ()
    """Which images are not shown, and why."""


def make_page(question: Question, folder: Path, *, count: int, progress: Progress) -> Page:
    """Write `index.html`, which says nothing of whose images it shows, and `key.json`.

    Order and sides are drawn from a secret in the key: the same images give the same page in the
    same folder alone.

    Args:
        question: the student, and whom it is compared with.
        folder: for both files.
        count: comparisons with each.
        progress: told of what is read and drawn.

    Raises:
        BadPage: the images are points, too large for a page, or the folder holds another test.
        NothingMeasured: images failed.
        KdbenchError: images cannot be had; there is nobody to compare with.
    """
    registered = look_up(question)
    student = open_subject(
        question.student,
        arm=registered.arm,
        task=registered.task,
        seed=question.replicate,
        progress=progress,
    )
    refuse_failed(student.n_failed)
    others = opponents(question, registered, student, count=count, progress=progress)
    _refuse_points(others)
    before = _key_before(folder)
    trials, key = arrange(student.name, others, seed=question.replicate, before=before)
    _refuse_another(folder, before, key)
    page = render(key.test, trials)
    if len(page) > MOST:
        raise BadPage(
            f"The page would have {len(page) >> 20} MiB, and browsers are slow above "
            f"{MOST >> 20}: give fewer --pairs, or smaller images."
        )
    write_atomically(folder / KEY, (key.model_dump_json(by_alias=True, indent=1) + "\n").encode())
    write_atomically(folder / PAGE, page)
    return Page(folder, key, tuple(note for other in others for note in other.notes))


def render(test: str, trials: tuple[Trial, ...]) -> bytes:
    """The page: the template with images as data and numbers of comparisons."""
    shown = [{"id": t.id, "left": _data(t.left), "right": _data(t.right)} for t in trials]
    data = json.dumps({"test": test, "trials": shown}).replace("<", "\\u003c")
    template = files("kdbench.blind").joinpath("page.html").read_text("utf-8")
    return template.replace("{{data}}", data).encode()


def read_key(folder: Path) -> Key:
    """The key of a page.

    Raises:
        BadPage: there is none, or it is damaged.
    """
    try:
        return Key.model_validate_json((folder / KEY).read_bytes())
    except FileNotFoundError as error:
        raise BadPage(
            f"There is no {KEY} in {folder.name!r}: answers are scored, and a page is made again, "
            "with the folder that --blind wrote."
        ) from error
    except (OSError, ValidationError) as error:
        raise BadPage(f"The {KEY} in {folder.name!r} cannot be read: make the page again.") from (
            error
        )


def _refuse_points(others: list[Opponent]) -> None:
    if any(image.image.dtype != torch.uint8 for o in others for both in o.pairs for image in both):
        raise BadPage("This task's samples are points and no images: there is nothing to look at.")


def _key_before(folder: Path) -> Key | None:
    """Of the page that is there; a page without its key cannot be made again."""
    if os.path.exists(folder / KEY) or os.path.exists(folder / PAGE):
        return read_key(folder)
    return None


def _refuse_another(folder: Path, before: Key | None, key: Key) -> None:
    """Keep the key to answers that may be on their way."""
    if before is not None and before.test != key.test:
        raise BadPage(
            f"{folder.name!r} holds another comparison, whose answers need its key: choose "
            "another folder with --blind, or delete that one."
        )


def _data(image: Tensor) -> str:
    return "data:image/png;base64," + base64.b64encode(tiles_png(image[None])).decode()
