"""A list of trials: pairs with some of their numbers changed, compared on validation alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import Field

from kdbench import registry
from kdbench.errors import BadSpec
from kdbench.record import Record
from kdbench.spec import Pair, Run, Spec
from kdbench.store import write_atomically


class Trial(Spec):
    """One variant of a pair."""

    label: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")
    pair: str
    set: dict[str, Any] = Field(default_factory=dict)
    """Dotted paths into the pair's description, and their values in this trial."""


class Trials(Spec):
    """What a file of `baselines/tuning/` asks for."""

    name: str
    version: int = 1
    summary: str
    seeds: tuple[int, ...] = (100,)
    """Not those of any suite, so that nothing is tuned on what is reported."""
    trials: tuple[Trial, ...]


def vary(pair: Pair, trial: Trial) -> Pair:
    """The pair as the trial wants it, under a name of its own.

    Raises:
        BadSpec: a path leads nowhere.
    """
    description = pair.model_dump(mode="json", exclude_defaults=True)
    for path, value in trial.set.items():
        *above, last = path.split(".")
        place = description
        for step in above:
            place = place.setdefault(step, {})
            if not isinstance(place, dict):
                raise BadSpec(f"The trial {trial.label} sets {path}, which leads nowhere.")
        place[last] = value
    description["name"] = f"{pair.name}--{trial.label}"
    description["controls"] = []
    return Pair.model_validate(description)


def register(trial: Trial, folder: Path) -> Pair:
    """Write the trial's pair as TOML and know it by its name."""
    pair = vary(registry.pairs.load(trial.pair), trial)
    path = folder / f"{pair.name}.toml"
    write_atomically(path, to_toml(pair).encode())
    return registry.pairs.add(path)


def to_toml(pair: Pair) -> str:
    """A pair as TOML text: every value is JSON's form of it, which TOML shares."""
    lines = []
    for name, value in pair.model_dump(mode="json", exclude_defaults=True).items():
        lines.append(f"{name} = {inline(value)}")
    return "\n".join(lines) + "\n"


def inline(value: Any) -> str:
    """A value as inline TOML.

    >>> inline({"steps": 4, "args": {"rho": 7.0}, "tags": ["a"]})
    '{ "steps" = 4, "args" = { "rho" = 7.0 }, "tags" = ["a"] }'
    """
    if isinstance(value, dict):
        inner = ", ".join(f"{json.dumps(k)} = {inline(v)}" for k, v in value.items())
        return "{ " + inner + " }" if inner else "{}"
    if isinstance(value, list):
        return "[" + ", ".join(map(inline, value)) + "]"
    return json.dumps(value)


def runs_of(pair: Pair, seeds: tuple[int, ...]) -> list[Run]:
    """All arms of a trial's pair."""
    return [
        Run(suite=None, task=pair.task, pair=pair.name, arm=arm, role=spec.role, seed=seed,
            needs=pair.prerequisites)
        for arm, spec in pair.arms.items()
        for seed in seeds
    ]  # fmt: skip


def result_of(trial: Trial, record: Record) -> dict[str, Any]:
    """What is written down of one trial: its main metric on validation, nothing held-out."""
    score = record.score(record.identity.main_metric, "validation")
    training = record.training
    return {
        "pair": trial.pair,
        "label": trial.label,
        "set": trial.set,
        "arm": record.identity.arm,
        "nfe": record.identity.nfe,
        "parameters": record.identity.parameters,
        "seed": record.identity.train_seed,
        "status": record.status,
        "reason": record.reason,
        "metric": record.identity.main_metric,
        "validation": score.value if score else None,
        "n": score.n if score else None,
        "steps": training.steps if training else None,
        "chain_macs": training.chain_macs if training else None,
        "seconds": round(training.seconds, 1) if training else None,
    }
