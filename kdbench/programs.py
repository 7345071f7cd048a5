"""From the names that users write to programs that a fresh process can build and measure."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdbench import registry
from kdbench.errors import BadSpec, NothingMeasured, UnknownName
from kdbench.plan import compared_with
from kdbench.spec import Pair
from kdbench.store import Store
from kdbench.weights import find_weights


@dataclass(frozen=True)
class Named:
    """A program by its name."""

    label: str
    """`pair/arm`, or the name of a file; never a path."""
    task: str
    """`name@version` of the task whose images it makes."""
    build: dict[str, Any]
    """What `kdbench.generators.build.build_generator` makes it of."""
    teacher: str | None = None
    """`pair/arm` of what it is compared with, if it is registered and has such a reference."""


@dataclass(frozen=True)
class Finder:
    """Where and how programs are looked up."""

    out: Path = Path("runs")
    """Output folder with the records and networks of trained pairs."""
    seed: int = 0
    """Of trained networks; of published ones, number `seed` modulo their count."""
    device: str = "cpu"
    """`cpu` or `cuda`."""

    def find(self, name: str, *, task: str | None = None) -> Named:
        """The program of this name.

        Args:
            name: `pair/arm`, `pair` if it has one arm, or the file of an exported program.
            task: whose inputs the program in a file takes.

        Raises:
            UnknownName: nothing has this name.
            BadSpec: a file is no program, or its task is missing.
            WeightsError: published weights are missing or damaged.
            NothingMeasured: the pair has no published weights, and has not been trained.
        """
        registered = name.partition("/")[0].partition("@")[0] in set(registry.pairs)
        if not registered and (Path(name).suffix or os.path.isfile(name)):
            return self._of_file(Path(name), task)
        pair, arm = find_arm(name)
        beside = compared_with(pair)
        return Named(
            label=f"{pair.name}/{arm}",
            task=registry.tasks.resolve(pair.task),
            build={
                "pair": pair.model_dump(mode="json"),
                "arm": arm,
                "weights": self._weights(pair, arm),
                "device": self.device,
            },
            teacher="/".join(beside) if beside and beside != (pair.name, arm) else None,
        )

    def find_against(self, student: Named, word: str | None) -> Named | None:
        """What a speed-up of the student is against.

        Args:
            student: in whose task both are compared.
            word: as `find` takes it, `none`, or None for the student's own reference.

        Raises:
            BadSpec: it makes images of another task.
        """
        word = student.teacher if word is None else word
        if word is None or word == "none":
            return None
        found = self.find(word, task=student.task)
        if found.task != student.task:
            raise BadSpec(
                f"{found.label} makes images of {found.task} and {student.label} of "
                f"{student.task}: a speed-up is of two programs for one task."
            )
        return found

    def _of_file(self, path: Path, task: str | None) -> Named:
        from kdbench.generators.exported import PROGRAMS  # brings torch
        from kdbench.reading.names import printable

        name = printable(path.name)
        if path.suffix.lower() not in PROGRAMS:
            raise BadSpec(
                f"{name!r} is neither a registered pair nor a program; programs end in "
                f"{', '.join(PROGRAMS)}."
            )
        if not path.is_file():
            raise BadSpec(f"There is no {name!r}.")
        if task is None:
            raise BadSpec(f"{name!r} is a program: say with --task on whose inputs to run it.")
        if self.device != "cpu":
            raise BadSpec(f"{name!r} is a program, and programs are measured on the CPU.")
        task = registry.tasks.resolve(task)
        build = {"program": True, "task": task, "weights": str(path.resolve()), "device": "cpu"}
        return Named(name, task, build)

    def _weights(self, pair: Pair, arm: str) -> str | None:
        """Published, or trained and kept in the output folder; None where there is no network."""
        if pair.generator is not None:
            return None
        if pair.weights:
            return str(find_weights(pair.weights[self.seed % len(pair.weights)]))
        store = Store(self.out)
        record = store.find_record(registry.tasks.resolve(pair.task), pair.id, arm, self.seed)
        name = record.artifacts.get("checkpoint") if record is not None else None
        if name is None or not store.sound(name):
            raise NothingMeasured(
                f"No network of {pair.name} with seed {self.seed} is in {self.out}: train it with "
                f"`kdbench run {pair.name} --seeds {self.seed} --out {self.out}`, or name the "
                "folder where it is with --out."
            )
        return str(store.artifact(name).resolve())


def find_arm(name: str) -> tuple[Pair, str]:
    """A registered pair and one of its arms, written `pair/arm`, or `pair` if it has one arm.

    Raises:
        UnknownName: there is none.
    """
    stem, _, arm = name.partition("/")
    pair = registry.pairs.load(stem)
    if not arm and len(pair.arms) == 1:
        arm = next(iter(pair.arms))
    if arm not in pair.arms:
        arms = ", ".join(f"{pair.name}/{one}" for one in pair.arms)
        raise UnknownName(f"Say which arm of {pair.name} is meant: {arms}.")
    return pair, arm
