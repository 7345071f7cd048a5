"""The first two rooms of a run: get its network (load or train), then draw its images.

Each stage is done once for its key, by whichever run comes first, and is taken from the store
afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from kdbench import registry
from kdbench.environment import family_sha256
from kdbench.errors import BadSpec, Diverged, NothingMeasured
from kdbench.generators.base import Generator, sample
from kdbench.generators.build import build_generator, build_network, load_network, load_task
from kdbench.keys import load_key, published_weights, resolved_params, sample_key
from kdbench.metrics.features.base import watch_extractors
from kdbench.record import Split as SplitName
from kdbench.seeds import seed as derive_seed
from kdbench.spec import Pair, content_key
from kdbench.store import Store
from kdbench.tasks.base import Task
from kdbench.training.checkpoint import network_bytes
from kdbench.training.ledger import CountedTeacher, Ledger
from kdbench.training.method import Method, Setting
from kdbench.training.trainer import Trainer
from kdbench.weights import cards, find_weights

Progress = Callable[[str, int, int], None]
"""`progress(stage, done, total)`."""

SPLITS: tuple[SplitName, ...] = ("validation", "held-out")

AGAIN = 1_000_000
"""Added to the replicate whose latents are drawn again: no run has so large a seed."""


@dataclass(frozen=True, eq=False)
class Stages:
    """Does stages for one store and device, and remembers nothing else."""

    store: Store
    device: str = "cpu"
    retrain: bool = False
    retry: bool = False
    progress: Progress = field(default=lambda stage, done, total: None)

    def network(self, pair: Pair, *, seed: int) -> LoadedNetwork:
        """The pair's network of one seed, published, from the store, or trained now.

        Raises:
            Diverged: its training diverged, now or earlier (unless `retry`).
            WeightsError: published weights are missing or damaged.
        """
        task = shared_task(pair.task)
        key = load_key(pair, task, seed=seed, device=self.device, retrain=self.retrain)
        published = None if self.retrain else published_weights(pair, seed)
        if published is not None:
            path = find_weights(published)
            sha256 = cards.load(published).sha256
            return LoadedNetwork(key, path, sha256, published, origin="published")
        done = self.store.stage(key)
        if done is None or ("diverged" in done and self.retry):
            done = self._train(pair, task, key, seed)
        if "diverged" in done:
            raise Diverged(done["diverged"])
        artifact = done["artifacts"][0]
        return LoadedNetwork(
            key,
            self.store.artifact(artifact),
            artifact.partition(".")[0],
            f"{pair.id}#{seed}",
            origin="trained",
            training=done["training"],
        )

    def _train(self, pair: Pair, task: Task, key: str, seed: int) -> dict[str, Any]:
        if pair.method is None or pair.budget is None:
            raise BadSpec(f"The pair {pair.name} has no method to train it with.")
        chain: dict[str, float] = {}
        teacher = self._prerequisite(pair.teacher, seed, chain)
        start = self._prerequisite(pair.start, seed, chain)
        trainer, method = self._prepare(pair, task, key, seed, teacher, start)
        try:
            with watch_extractors() as judges:
                method.prepare(trainer.student, trainer.teacher)
                method.fit(trainer)
        except Diverged as error:
            done: dict[str, Any] = {"diverged": str(error)}
        else:
            artifact = self.store.put_artifact(network_bytes(trainer.ema.network), "safetensors")
            ledger = trainer.ledger
            training = {
                "seconds": ledger.seconds,
                "steps": trainer.step,
                "macs": ledger.macs,
                "chain": {**chain, key: ledger.macs},
                "images_seen": ledger.images_seen,
                "real_images_touched": (ledger.images_seen if "real images" in method.uses else 0),
                "teacher_nfe": ledger.teacher_nfe,
                "networks_seen": [n.id for n in (teacher, start) if n] + sorted(judges),
                "uses": list(method.uses),
                "restarts": ledger.restarts,
                "curve": trainer.curve,
            }
            done = {"artifacts": [artifact], "training": training}
        self.store.finish_stage(key, done)
        self.store.unfinished(key).unlink(missing_ok=True)
        return done

    def _prerequisite(
        self, name: str | None, seed: int, chain: dict[str, float]
    ) -> LoadedNetwork | None:
        """Another pair's network; what its training cost is added to `chain`."""
        if name is None:
            return None
        pair = registry.pairs.load(name)
        try:
            loaded = self.network(pair, seed=seed)
        except Diverged as error:
            raise Diverged(f"It needs {name}, which diverged: {error}") from error
        if loaded.training:
            chain |= loaded.training["chain"]
        return loaded

    def _prepare(
        self,
        pair: Pair,
        task: Task,
        key: str,
        seed: int,
        teacher: LoadedNetwork | None,
        start: LoadedNetwork | None,
    ) -> tuple[Trainer, Method]:
        assert pair.method is not None
        assert pair.budget is not None
        assert pair.network is not None
        device = torch.device(self.device)
        torch.manual_seed(derive_seed("init", task.id, pair.network.name, seed))
        student = build_network(pair, task)
        if start is not None:
            student.load_state_dict(load_file(start.path))
        ledger = Ledger()
        counted = None
        if teacher is not None and pair.teacher is not None:
            network = load_network(registry.pairs.load(pair.teacher), task, teacher.path)
            counted = CountedTeacher(network.to(device), ledger)
        setting = Setting(
            task=task,
            seed=derive_seed("train", task.id, pair.name, seed),
            batch=pair.budget.batch,
            device=device,
            ledger=ledger,
            teacher_sha256=teacher.sha256 if teacher else None,
            cached=self._cache(ledger, family_sha256(registry.methods.module(pair.method.name))),
        )
        method_class: type[Method] = registry.methods.load(pair.method.name)
        method = method_class(setting, method_class.Params(**resolved_params(pair)))
        trainer = Trainer(
            student=student.to(device),
            teacher=counted,
            budget=pair.budget,
            setting=setting,
            checkpoint=self.store.unfinished(key),
            progress=lambda step, steps: self.progress("train", step, steps),
        )
        return trainer, method

    def _cache(
        self, ledger: Ledger, code: str
    ) -> Callable[[str, dict[str, Any], Callable[[], dict[str, Tensor]]], dict[str, Tensor]]:
        """Tensors made once for all runs of an identity; every run is charged for the making."""

        def cached(
            what: str, identity: dict[str, Any], make: Callable[[], dict[str, Tensor]]
        ) -> dict[str, Tensor]:
            self.progress(what, 0, 1)
            key = content_key({"what": what, "device": self.device, "code": code, **identity})
            with self.store.stage_lock(key):
                done = self.store.stage(key)
                if done is None:
                    own = Ledger()
                    nfe_before = ledger.teacher_nfe
                    with own.counting():
                        tensors = make()
                    artifact = self.store.put_artifact(save(tensors), "safetensors")
                    spent = {"macs": own.macs, "teacher_nfe": ledger.teacher_nfe - nfe_before}
                    ledger.teacher_nfe = nfe_before
                    done = {"artifacts": [artifact], **spent}
                    self.store.finish_stage(key, done)
            ledger.macs += done["macs"]
            ledger.teacher_nfe += done["teacher_nfe"]
            return load_file(self.store.artifact(done["artifacts"][0]))

        return cached

    # ---------------------------------------------------------------- sample

    def samples(self, pair: Pair, *, arm: str, seed: int) -> Samples:
        """An arm's images of both splits, as they are measured, from the store or drawn now."""
        task = shared_task(pair.task)
        loaded = None if pair.generator else self.network(pair, seed=seed)
        load = (
            loaded.key
            if loaded
            else load_key(pair, task, seed=seed, device=self.device, retrain=self.retrain)
        )
        key = sample_key(load, pair, task, arm=arm, seed=seed, device=self.device)
        done = self.store.stage(key)
        if done is None:
            spec = build_spec(pair, arm, loaded.path if loaded else None, self.device)
            generator, _ = build_generator(spec)
            done = self._draw(generator, task, key, seed)
        tensors = load_file(self.store.artifact(done["artifacts"][0]))
        return Samples(
            key=key,
            images={split: tensors[split] for split in SPLITS},
            labels={split: tensors[f"{split}.labels"] for split in SPLITS},
            n_failed=done["n_failed"],
            nfe=done["nfe"],
            network=loaded,
        )

    def drawn_again(self, pair: Pair, *, arm: str, seed: int) -> tuple[Tensor, Tensor]:
        """An arm's held-out images and labels from other latents, from the store or drawn now.

        Every set of one arm and seed has the same labels; what differs is the noise alone, so two
        of them show how far an arm is from itself.
        """
        task, first = shared_task(pair.task), self.samples(pair, arm=arm, seed=seed)
        key = content_key({"again": AGAIN, "sample": first.key})
        done = self.store.stage(key)
        if done is None:
            loaded = None if pair.generator else self.network(pair, seed=seed)
            spec = build_spec(pair, arm, loaded.path if loaded else None, self.device)
            inputs = task.inputs(task.n, split="held-out", replicate=AGAIN + seed)
            images = sample(build_generator(spec)[0], inputs)
            tensors = {"images": task.finish(torch.nan_to_num(images)), "labels": inputs.labels}
            artifact = self.store.put_artifact(save(tensors), "safetensors")
            done = {"artifacts": [artifact], "n_failed": count_failed(images)}
            self.store.finish_stage(key, done)
        if done["n_failed"]:
            raise NothingMeasured(f"{done['n_failed']} of the teacher's images are not finite.")
        tensors = load_file(self.store.artifact(done["artifacts"][0]))
        return tensors["images"], tensors["labels"]

    def _draw(self, generator: Generator, task: Task, key: str, seed: int) -> dict[str, Any]:
        tensors: dict[str, Tensor] = {}
        n_failed: dict[SplitName, int] = {}
        for number, split in enumerate(SPLITS):
            self.progress("sample", number, len(SPLITS))
            inputs = task.inputs(task.n, split=split, replicate=seed)
            images = sample(generator, inputs)
            n_failed[split] = count_failed(images)
            tensors[split] = task.finish(torch.nan_to_num(images)).contiguous()
            labels_of = getattr(generator, "labels_of", None)
            tensors[f"{split}.labels"] = labels_of(inputs) if labels_of else inputs.labels
        artifact = self.store.put_artifact(save(tensors), "safetensors")
        done = {"artifacts": [artifact], "n_failed": n_failed, "nfe": generator.nfe}
        self.store.finish_stage(key, done)
        return done


@dataclass(frozen=True)
class LoadedNetwork:
    """A network on disk and how it came to be."""

    key: str
    path: Path
    sha256: str
    name: str
    origin: str
    training: dict[str, Any] | None = None

    @property
    def id(self) -> str:
        """`name:sha256`."""
        return f"{self.name}:{self.sha256}"


@dataclass(frozen=True, eq=False)
class Samples:
    """What an arm drew, ready to be measured."""

    key: str
    images: dict[SplitName, Tensor]
    labels: dict[SplitName, Tensor]
    n_failed: dict[SplitName, int]
    """Images with a non-finite value, or with one value everywhere."""
    nfe: int
    network: LoadedNetwork | None


@cache
def shared_task(name: str) -> Task:
    """One instance of a task for the whole process."""
    return load_task(registry.tasks.resolve(name))


def build_spec(pair: Pair, arm: str, weights: Path | None, device: str) -> dict[str, Any]:
    """What `build_generator` needs, as plain data for a fresh process."""
    return {
        "pair": pair.model_dump(mode="json"),
        "arm": arm,
        "weights": str(weights) if weights else None,
        "device": device,
    }


def count_failed(images: Tensor) -> int:
    """How many images are non-finite somewhere, or constant (of more than one pixel)."""
    flat = images.flatten(1)
    broken = ~torch.isfinite(flat).all(1)
    if images.shape[2] * images.shape[3] > 1:
        broken |= (flat == flat[:, :1]).all(1)
    return int(broken.sum())
