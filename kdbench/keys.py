"""The keys of a run's stages: equal keys mean that a finished stage is taken as it is.

A changed metric changes only score keys, so students are measured again and not trained again.
`KEY_VERSION` is the version of these recipes; raising it needs a migration.
"""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from kdbench import registry
from kdbench.environment import family_sha256, package_version
from kdbench.errors import BadSpec
from kdbench.metrics.base import Metric, Use
from kdbench.seeds import INPUT_VERSION
from kdbench.spec import Pair, content_key
from kdbench.tasks.base import Task
from kdbench.training.method import Method
from kdbench.weights import cards

KEY_VERSION = 1

TRAINER_MODULES = (
    "kdbench.training.trainer",
    "kdbench.training.optimiser",
    "kdbench.training.ema",
)


def published_weights(pair: Pair, seed: int) -> str | None:
    """The name of the published weights that replicate `seed` takes, or None."""
    return pair.weights[seed % len(pair.weights)] if pair.weights else None


def resolved_params(pair: Pair) -> dict[str, Any]:
    """The method's parameters with its defaults filled in."""
    if pair.method is None:
        return dict(pair.generator.params) if pair.generator else {}
    method: type[Method] = registry.methods.load(pair.method.name)
    try:
        return method.Params.model_validate(pair.method.params).model_dump(mode="json")
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"]))
        raise BadSpec(
            f"The pair {pair.name} passes {where!r} to {pair.method.name}: {fault['msg']}."
        ) from error


def recipe_key(pair: Pair) -> str:
    """What a row is made by, whatever the seed: network, method, parameters and budget."""
    return content_key(
        {
            "network": pair.network.model_dump(mode="json") if pair.network else None,
            "method": pair.method.name if pair.method else None,
            "generator": pair.generator.model_dump(mode="json") if pair.generator else None,
            "params": resolved_params(pair),
            "budget": pair.budget.model_dump(mode="json") if pair.budget else None,
            "needs": [pair.teacher, pair.start],
        }
    )


def load_key(pair: Pair, task: Task, *, seed: int, device: str, retrain: bool) -> str:
    """The identity of a network: everything that its weights depend on."""
    name = None if retrain else published_weights(pair, seed)
    if name is not None:
        return content_key({"v": KEY_VERSION, "weights": cards.load(name).sha256})
    if pair.generator is not None:
        code = family_sha256(registry.generators.module(pair.generator.name))
        return content_key(
            {"v": KEY_VERSION, "generator": pair.generator.model_dump(), "code": code} | _of(task)
        )
    if pair.method is None or pair.network is None or pair.budget is None:
        raise BadSpec(f"The pair {pair.name} has no method to train it with.")
    needs = {
        role: load_key(registry.pairs.load(other), task, seed=seed, device=device, retrain=retrain)
        for role, other in (("teacher", pair.teacher), ("start", pair.start))
        if other is not None
    }
    modules = (
        registry.methods.module(pair.method.name),
        registry.networks.module(pair.network.name),
        *TRAINER_MODULES,
    )
    return content_key(
        {
            "v": KEY_VERSION,
            "pair": pair.name,
            "method": pair.method.name,
            "params": resolved_params(pair),
            "network": pair.network.model_dump(mode="json"),
            "budget": pair.budget.model_dump(mode="json"),
            "needs": needs,
            "seed": seed,
            "code": [family_sha256(module) for module in modules],
            "device": device,
            "precision": pair.budget.precision,
            "torch": package_version("torch"),
        }
        | _of(task)
    )


def _of(task: Task) -> dict[str, Any]:
    return {"task": task.id, "data": task.split("train").sha256}


def sample_key(load: str, pair: Pair, task: Task, *, arm: str, seed: int, device: str) -> str:
    """The identity of an arm's images of both splits."""
    sampling = pair.arms[arm].sampling
    return content_key(
        {
            "v": KEY_VERSION,
            "load": load,
            "sampler": sampling.model_dump(mode="json"),
            "code": family_sha256(registry.samplers.module(sampling.sampler)),
            "inputs": [INPUT_VERSION, task.id, task.n, seed],
            "device": device,
        }
    )


def score_key(
    metric: Metric,
    use: Use,
    *,
    sample: str,
    reference: str | None,
    extractor: str | None,
    protocol: str,
) -> str:
    """The identity of one value: the same images, reference, judge and protocol."""
    return content_key(
        {
            "v": KEY_VERSION,
            "metric": metric.id,
            "use": [use.n, use.blocks],
            "sample": sample,
            "reference": reference,
            "extractor": extractor,
            "protocol": protocol,
        }
    )
