"""What is measured: images that were read, and what drew them where they were not there yet."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from kdbench import registry
from kdbench.evaluating.checkpoints import refuse_other_network
from kdbench.evaluating.drawing import drawn
from kdbench.evaluating.failed import refuse_failed
from kdbench.evaluating.question import BadQuestion
from kdbench.generators.base import Generator, Inputs
from kdbench.generators.build import build_generator
from kdbench.generators.exported import AT_ONCE, PROGRAMS, load_program
from kdbench.keys import published_weights
from kdbench.programs import find_arm
from kdbench.reading import BadImages, ReadSet, read_images
from kdbench.reading.errors import whose
from kdbench.reading.names import printable
from kdbench.spec import Pair
from kdbench.stages import AGAIN, Progress, build_spec, count_failed, shared_task
from kdbench.tasks.base import Task
from kdbench.weights import find_weights

CHECKPOINT = ".safetensors"

STUDENT, TARGETS, TEACHER = "STUDENT", "--targets", "--teacher"
"""Who is measured or compared with, as the command line names them."""

AS = {STUDENT: "--as", TEACHER: "--teacher-as"}
"""Options that name the network of a checkpoint."""

PICKLES = (".pth", ".ckpt", ".pkl", ".pickle", ".bin", ".th")


@dataclass(frozen=True, eq=False)
class Source:
    """What made a subject's images."""

    generator: Generator
    inputs: Callable[[], tuple[Inputs, Inputs]]
    """Those of the images, and as many of the same labels with other latents."""
    chunk: int
    """Images a call."""


@dataclass(frozen=True, eq=False)
class Subject:
    """A student or a teacher, as images."""

    name: str
    """Of its file or folder, or `pair/arm`; never a path."""
    read: ReadSet
    n_failed: int = 0
    """Drawn images with a value that is not finite, or with one value everywhere."""
    again: Callable[[], ReadSet] | None = None
    """Draws images of the same labels from other latents; None if images are all there is."""
    is_file: bool = False
    """Whether it is one image that was named itself."""
    side: str = STUDENT
    """The option that names what was read."""
    source: Source | None = None
    """None if images are all there is."""

    @property
    def drawn(self) -> bool:
        """Whether images were made from a task's inputs, in their order."""
        return self.again is not None

    @cached_property
    def constant(self) -> tuple[str, ...]:
        """Names of images that were read and have one value everywhere."""
        if self.drawn or not _failed(self.read.images):
            return ()
        named = zip(self.read.names, self.read.images, strict=True)
        return tuple(name for name, image in named if count_failed(image[None]))

    @cached_property
    def images(self) -> Tensor:
        """(N, C, H, W).

        Raises:
            BadImages: sizes differ.
        """
        with whose(self.side):
            return self.read.stacked()


def arm_of(word: str, named: str | None, option: str = "--as") -> tuple[Pair, str] | None:
    """The registered arm that a word, or the option beside it, stands for.

    Args:
        word: as in `Question.student`.
        named: what the option says.
        option: which it is, for advice.

    Raises:
        UnknownName: the option names none.
        BadQuestion: a checkpoint without its network, or a network for what has none.
    """
    path = Path(word)
    if path.suffix.lower() == CHECKPOINT:
        if named is None:
            raise BadQuestion(
                f"{printable(path.name)!r} holds weights and no network: say which registered "
                f"network and sampler they are for with {option} PAIR/ARM (kdbench list pairs)."
            )
        return find_arm(named)
    if named is not None:
        raise BadQuestion(f"{option} is for checkpoints, and {printable(path.name)!r} is none.")
    registered = word.partition("/")[0].partition("@")[0] in set(registry.pairs)
    return find_arm(word) if registered and not os.path.exists(word) else None


def open_subject(
    word: str,
    *,
    arm: tuple[Pair, str] | None,
    task: Task | None,
    seed: int,
    progress: Progress,
    side: str = STUDENT,
) -> Subject:
    """Read images, or run what makes them on the inputs of a task.

    Args:
        word: as in `Question.student`.
        arm: see `arm_of`.
        task: whose inputs programs are run on.
        seed: which replicate of them.
        progress: told of images that are read or drawn.
        side: the option that names it, for messages.

    Raises:
        KdbenchError: it cannot be had.
    """
    path, option = Path(word), AS[side]
    if arm is not None:
        return _of_arm(path, *arm, seed=seed, progress=progress, option=option)
    if path.suffix.lower() in PROGRAMS:
        return _of_program(path, task, seed=seed, progress=progress)
    if path.suffix.lower() in PICKLES and not os.path.isdir(path):
        raise BadQuestion(
            f"{printable(path.name)!r} may hold pickled Python objects, which can run any code, "
            f"and is not loaded; save weights as safetensors and say {option} PAIR/ARM, or export "
            "the program with torch.export.save."
        )
    if not os.path.exists(path):  # which is no error if the path is too long or closed
        raise BadImages(
            f"{side}: There is no file or folder {printable(word)!r}, and no registered pair/arm "
            "of this name."
        )
    return read_subject(path, progress, side=side)


def read_subject(path: Path, progress: Progress, *, side: str) -> Subject:
    """Images that are there: a folder, an image, or a batch.

    Raises:
        BadImages: they cannot be read; the message says whose they are.
    """
    if not os.path.exists(path):
        raise BadImages(f"{side}: There is no file or folder {printable(path.name)!r}.")
    with whose(side, path):
        read = read_images(path, progress=lambda done, total: progress("reading", done, total))
    return Subject(
        name=printable(path.resolve().name),
        read=read,
        is_file=path.is_file() and read.has_files,
        side=side,
    )


def _of_arm(
    path: Path, pair: Pair, arm: str, *, seed: int, progress: Progress, option: str
) -> Subject:
    weights, name = path, printable(path.name)
    if path.suffix.lower() != CHECKPOINT:
        published = published_weights(pair, seed)
        if published is None and pair.generator is None:
            raise BadQuestion(
                f"No weights of {pair.name} are published: give a checkpoint, and {option} "
                f"{pair.name}/{arm}."
            )
        name = f"{pair.name}/{arm}"
        weights = find_weights(published) if published else path
    elif not os.path.isfile(path):
        raise BadImages(f"There is no {printable(path.name)!r}.")
    else:
        refuse_other_network(path, pair, shared_task(pair.task))
    generator, _ = build_generator(build_spec(pair, arm, weights, "cpu"))
    return _drawn(generator, shared_task(pair.task), name, seed=seed, progress=progress)


def _of_program(path: Path, task: Task | None, *, seed: int, progress: Progress) -> Subject:
    if task is None:
        raise BadQuestion(
            f"{printable(path.name)!r} is a program: say with --task on whose inputs to run it."
        )
    program = load_program(path, task)
    name = printable(path.name)
    return _drawn(program, task, name, seed=seed, progress=progress, chunk=program.at_once)


def _drawn(
    generator: Generator,
    task: Task,
    name: str,
    *,
    seed: int,
    progress: Progress,
    chunk: int = AT_ONCE,
) -> Subject:
    read, n_failed = drawn(generator, task, replicate=seed, chunk=chunk, progress=progress)

    def again() -> ReadSet:
        replicate = AGAIN + seed  # as in stages
        other, failed = drawn(generator, task, replicate=replicate, chunk=chunk, progress=progress)
        refuse_failed(failed, "of the teacher's other images")
        return other

    def inputs() -> tuple[Inputs, Inputs]:
        own, other = (
            task.inputs(task.n, split="held-out", replicate=one) for one in (seed, AGAIN + seed)
        )
        return own, other

    return Subject(name, read, n_failed, again, source=Source(generator, inputs, chunk))


def _failed(images: Tensor | list[Tensor]) -> int:
    if isinstance(images, Tensor):
        return sum(map(count_failed, torch.split(images, 256)))
    return sum(count_failed(image[None]) for image in images)
