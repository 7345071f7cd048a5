"""One run through its rooms: load or train, sample, measure, record; a failure becomes a record.

A job is all arms of one pair at one seed, because they share a network. The runner decides what
is already done: keys are its own.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from kdbench import registry
from kdbench.costs.memory import is_out_of_memory
from kdbench.digest import sha256_of
from kdbench.environment import code_sha256, describe_code, describe_environment, without_folders
from kdbench.errors import BadSpec, Diverged, KdbenchError, StoreError, UnknownName, WeightsError
from kdbench.keys import KEY_VERSION, load_key, recipe_key, resolved_params, sample_key
from kdbench.pictures import tiles_png
from kdbench.plan import compared_with
from kdbench.record import (
    SCHEMA,
    Code,
    Identity,
    Keys,
    Provenance,
    Record,
    Status,
    Training,
)
from kdbench.scoring import Teacher, nearest_training_images, score
from kdbench.spec import Pair, Run
from kdbench.stages import SPLITS, Samples, Stages, shared_task
from kdbench.store import Store, run_key
from kdbench.tasks.base import Task

GALLERY = 20
"""Images of the held-out inputs that travel with a record."""


@dataclass(frozen=True)
class Outcome:
    """What became of one run."""

    task: str
    pair: str
    arm: str
    seed: int
    status: Status
    reason: str | None
    did: str
    """`trained`, `measured`, `described` (its place in tables changed) or `nothing`."""


@dataclass(frozen=True, eq=False)
class Runner:
    """Executes runs of one pair and seed in one store."""

    store: Store
    stages: Stages
    command: str

    def execute(self, runs: list[Run]) -> list[Outcome]:
        """Make or complete the records of `runs`, which share a pair and a seed.

        Raises:
            WeightsError, StoreError, BadSpec: nothing of this job can be done; nothing recorded
                is changed.
        """
        return [self._execute_one(run) for run in runs]

    def prepare(self, pair: str, *, seed: int) -> None:
        """Train or load a network that other runs need, without a record of its own."""
        try:
            self.stages.network(registry.pairs.load(pair), seed=seed)
        except Diverged:
            return  # the runs that need it say so in their records

    def _execute_one(self, run: Run) -> Outcome:
        pair = registry.pairs.load(run.pair)
        task = shared_task(pair.task)
        known = self.store.find_record(task.id, pair.id, run.arm, run.seed)
        draft = _Draft(self, run, pair, task, known)
        if known and known.status != "ok" and draft.is_same and not self.stages.retry:
            return _outcome(known, "nothing")
        try:
            record, did = draft.measured()
        except (StoreError, WeightsError, BadSpec, UnknownName):
            raise
        except Exception as error:  # a method of a stranger may raise anything; it is recorded
            record, did = draft.failed(error), "trained"
            if known and known.status == "ok" and draft.is_same:
                return _outcome(record, did)  # what was measured before stays
        if did != "nothing":
            self.store.put_record(record)
        return _outcome(record, did)


@dataclass(frozen=True, eq=False)
class _Draft:
    """A record in the making."""

    runner: Runner
    run: Run
    pair: Pair
    task: Task
    known: Record | None

    def measured(self) -> tuple[Record, str]:
        """The record with all its scores, and what had to be done for it."""
        stages, known = self.runner.stages, self.known
        samples = stages.samples(self.pair, arm=self.run.arm, seed=self.run.seed)
        teacher, no_teacher = self._teacher(samples)
        stages.progress("measure", 0, 1)
        before = {s.key: s for s in known.scores} if known and self.is_same else {}
        scores = score(
            self.task,
            samples,
            teacher=teacher,
            no_teacher=no_teacher,
            extra=self.run.metrics,
            known=before,
            features=self._features,
        )
        record = self._record("ok", None, samples)
        if known and self.is_same and all(s.key in before for s in scores):
            record.identity.suite = known.identity.suite
            if record.identity == known.identity:
                return known, "nothing"
            return known.model_copy(update={"identity": record.identity}), "described"
        kept = [s for s in before.values() if s.key not in {t.key for t in scores}]
        record.scores = [*scores, *kept]
        if known and known.keys and self.is_same:
            record.costs = list(known.costs)
            record.keys = self.keys.model_copy(update={"cost": known.keys.cost})
        record.artifacts |= self._pictures(samples)
        return record, "measured"

    def failed(self, error: Exception) -> Record:
        """A record that says what went wrong."""
        if isinstance(error, Diverged):
            return self._record("diverged", str(error), None)
        if isinstance(error, KdbenchError):
            return self._record("failed", str(error), None)
        status: Status = "oom" if is_out_of_memory(error) else "failed"
        return self._record(status, f"{type(error).__name__}: {error}", None)

    @cached_property
    def keys(self) -> Keys:
        """The keys that this run has with the present code and description."""
        stages, seed = self.runner.stages, self.run.seed
        load = load_key(
            self.pair, self.task, seed=seed, device=stages.device, retrain=stages.retrain
        )
        sample = sample_key(
            load, self.pair, self.task, arm=self.run.arm, seed=seed, device=stages.device
        )
        return Keys(version=KEY_VERSION, load=load, sample=sample)

    @property
    def is_same(self) -> bool:
        """Whether the known record is of the same network and images."""
        keys = self.known.keys if self.known else None
        return keys is not None and (keys.load, keys.sample) == (self.keys.load, self.keys.sample)

    def _teacher(self, samples: Samples) -> tuple[Teacher | None, str]:
        """The teacher's images beside this run's own, or why there are none."""
        beside = compared_with(self.pair)
        if beside is None:
            return None, "there is no teacher to compare with"
        (name, arm), stages, seed = beside, self.runner.stages, self.run.seed
        pair = registry.pairs.load(name)
        other = stages.samples(pair, arm=arm, seed=seed)
        if other.key == samples.key:
            return None, "this is the teacher's own arm"
        if other.n_failed["held-out"]:
            n_failed = other.n_failed["held-out"]
            return None, f"{n_failed} of the teacher's images are not finite or are constant"
        again = partial(stages.drawn_again, pair, arm=arm, seed=seed)
        return Teacher(other.images["held-out"], other.labels["held-out"], again), ""

    def _pictures(self, samples: Samples) -> dict[str, str]:
        """The first held-out images, and those closest to a training image above that image.

        Points of the plane have no picture.
        """
        if not self.task.quantised:
            return {}
        images, put = samples.images["held-out"], self.runner.store.put_artifact
        pictures = {"gallery": put(tiles_png(images[:GALLERY]), "png")}
        if self.task.extractor and not samples.n_failed["held-out"]:
            pairs = nearest_training_images(self.task, samples, features=self._features)
            pictures["neighbours"] = put(tiles_png(*pairs), "png")
        return pictures

    @property
    def _features(self) -> Path:
        """The folder that features are kept in."""
        return self.runner.store.root / "features"

    def _record(self, status: Status, reason: str | None, samples: Samples | None) -> Record:
        run, network = self.run, samples.network if samples else None
        return Record(
            schema=SCHEMA,
            key=run_key(self.task.id, self.pair.id, run.arm, run.seed),
            status=status,
            reason=without_folders(reason) if reason else None,
            created=datetime.now(UTC).isoformat(timespec="microseconds"),
            identity=self._identity(samples),
            keys=self.keys,
            code=self._code,
            environment=describe_environment(device=self.runner.stages.device, threads=1),
            training=_training(network.training) if network and network.training else None,
            artifacts=self._checkpoint(samples),
            provenance=Provenance(
                command=self.runner.command,
                weights={network.name: network.sha256} if network else {},
                data=self.task.split("train").sha256,
            ),
        )

    def _checkpoint(self, samples: Samples | None) -> dict[str, str]:
        network = samples.network if samples else None
        if network is None or network.origin != "trained":
            return {}
        return {"checkpoint": network.path.name}

    @cached_property
    def _code(self) -> Code:
        code = describe_code().model_copy()
        if self.pair.method:
            code.method_sha256 = code_sha256(registry.methods.module(self.pair.method.name))
        return code

    def _identity(self, samples: Samples | None) -> Identity:
        pair, run = self.pair, self.run
        arm = pair.arms[run.arm]
        network = samples.network if samples else None
        origin = pair.method or pair.generator
        beside = compared_with(pair)
        return Identity(
            suite=run.suite,
            task=self.task.id,
            pair=pair.id,
            arm=run.arm,
            role=arm.role,
            reference=arm.reference,
            main_metric=registry.metrics.resolve(self.task.main),
            margin=self.task.margin,
            family=pair.family,
            method=origin.name if origin else None,
            params_passed=origin.params if origin else {},
            params=resolved_params(pair),
            recipe=recipe_key(pair),
            network=pair.network.name if pair.network else None,
            sampler=shlex.join(
                [arm.sampling.sampler, *(f"{k}={v}" for k, v in arm.sampling.args.items())]
            ),
            nfe=samples.nfe if samples else None,
            parameters=_count_parameters(samples),
            teacher="/".join(beside) if beside else None,
            teacher_replicate=self._replicate(beside),
            train_seed=run.seed,
            tuning_trials=pair.tuning.trials,
            origin="published"
            if network and network.origin == "published"
            else ("trained" if pair.method else "none"),
            inputs=dict(_inputs_sha256(self.task.id, run.seed)),
        )

    def _replicate(self, beside: tuple[str, str] | None) -> int | None:
        if self.runner.stages.retrain:
            return None
        teacher = registry.pairs.load(beside[0]) if beside else self.pair
        return self.run.seed % len(teacher.weights) if teacher.weights else None


@cache
def _inputs_sha256(task_id: str, seed: int) -> tuple[tuple[str, str], ...]:
    """The hash of each split's inputs, made once for all rows of a seed."""
    task = shared_task(task_id)
    inputs = ((s, task.inputs(task.n, split=s, replicate=seed)) for s in SPLITS)
    return tuple((s, sha256_of(i.latents, i.labels)) for s, i in inputs)


def _training(kept: dict[str, Any]) -> Training:
    facts = dict(kept)
    chain: dict[str, float] = facts.pop("chain")
    return Training(chain_macs=sum(chain.values()), **facts)


def _count_parameters(samples: Samples | None) -> int | None:
    from safetensors import safe_open

    if samples is None or samples.network is None:
        return None
    with safe_open(samples.network.path, framework="np") as file:
        return sum(int(np.prod(file.get_slice(n).get_shape())) for n in file.keys())  # noqa: SIM118


def _outcome(record: Record, did: str) -> Outcome:
    i = record.identity
    return Outcome(i.task, i.pair, i.arm, i.train_seed, record.status, record.reason, did)
