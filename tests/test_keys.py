"""What makes a stage another one, and what does not: nothing is trained again without a reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kdbench import environment, keys, registry
from kdbench.errors import BadSpec
from kdbench.keys import load_key, published_weights, resolved_params, sample_key, score_key
from kdbench.metrics.base import Use
from kdbench.metrics.points import wasserstein2
from kdbench.spec import Pair
from kdbench.tasks.base import Split, Task
from kdbench.tasks.toy import Toy

TASK = Toy()


@pytest.fixture(autouse=True)
def _forget_pairs() -> Iterator[None]:
    yield
    registry.pairs.added.clear()


def luhman(**changes: Any) -> Pair:
    """The pair toy-luhman with some fields changed, and checked again."""
    facts = registry.pairs.load("toy-luhman").model_dump(mode="json")
    for place, value in changes.items():
        inner = facts
        *path, last = place.split("__")
        for step in path:
            inner = inner[step]
        inner[last] = value
    return Pair.model_validate(facts)


def key(pair: Pair, *, task: Task = TASK, seed: int = 0, device: str = "cpu") -> str:
    return load_key(pair, task, seed=seed, device=device, retrain=False)


# ---------------------------------------------------------------- load


@pytest.mark.parametrize(
    "changes",
    [
        {"budget__steps": 1001},
        {"budget__lr": 4e-3},
        {"method__params__pairs": 4999},
        {"method__name": "progressive@1", "method__params": {"calls": 1, "finest": 8}},
        {"network__args__width": 33},
        {"teacher": "toy-denoiser"},
        {"start": "toy-denoiser"},
    ],
    ids=str,
)
def test_what_changes_weights_changes_their_key(changes: dict[str, Any]) -> None:
    assert key(luhman(**changes)) != key(luhman())


@pytest.mark.parametrize(
    "changes",
    [
        {"summary": "Other words."},
        {"arms__student__sampling__args__steps": 2},
        {"controls": []},
        {"expected_seconds": 99.0},
        {"tuning": {"trials": 7}},
        {"method__params__sigma_max": 20.0},  # the default, passed
    ],
    ids=str,
)
def test_what_does_not_change_weights_leaves_their_key(changes: dict[str, Any]) -> None:
    assert luhman(**changes) != luhman()
    assert key(luhman(**changes)) == key(luhman())


def test_seed_and_device_are_in_the_key() -> None:
    assert len({key(luhman()), key(luhman(), seed=1), key(luhman(), device="cuda")}) == 3


class OtherToy(Toy):
    """The toy with fewer training points."""

    def split(self, name: str) -> Split:
        whole = super().split(name)
        return Split(whole.images[:100], whole.labels[:100])


def test_training_data_are_in_the_key() -> None:
    assert key(luhman(), task=OtherToy()) != key(luhman())


def test_a_teacher_is_in_the_key_by_its_weights(
    write_pair: Callable[..., Path], tmp_path: Path
) -> None:
    text = registry.pairs.path("toy-edm").read_text().partition("family")[2].partition("\n")[2]
    text = text.partition("\n")[2]  # without its summary, too
    for name, weights in (("same", "toy-edm-0"), ("other", "toy-edm-1")):
        lines = [line for line in text.splitlines() if not line.startswith("weights")]
        path = write_pair(tmp_path, name, "\n".join([f'weights = ["{weights}"]', *lines]))
        registry.pairs.add(path)
    assert key(luhman(teacher="same")) == key(luhman(teacher="toy-edm"))
    assert key(luhman(teacher="other")) != key(luhman(teacher="toy-edm"))


def test_code_is_in_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    before = key(luhman())
    whole = environment.family_sha256
    modules = (
        registry.methods.module("luhman"),
        registry.networks.module("resmlp"),
        "kdbench.training.trainer",
        "kdbench.training.ema",
    )
    for changed in modules:
        monkeypatch.setattr(
            keys, "family_sha256", lambda m, changed=changed: "x" if m == changed else whole(m)
        )
        assert key(luhman()) != before, changed
    monkeypatch.setattr(keys, "family_sha256", lambda m: "x" if "metrics" in m else whole(m))
    assert key(luhman()) == before


def test_published_weights_are_known_by_their_hash_alone() -> None:
    teacher = registry.pairs.load("toy-edm")
    assert key(teacher) == key(teacher, seed=2) == key(teacher, device="cuda")
    assert key(teacher) != key(teacher, seed=1)
    assert [published_weights(teacher, seed) for seed in range(3)] == [
        "toy-edm-0", "toy-edm-1", "toy-edm-0",
    ]  # fmt: skip
    retrained = load_key(teacher, TASK, seed=0, device="cpu", retrain=True)
    assert retrained != key(teacher)
    assert published_weights(luhman(), 0) is None


# ---------------------------------------------------------------- parameters


def test_parameters_get_their_defaults() -> None:
    pair = luhman(method__params={"pairs": 5000})
    resolved = resolved_params(pair)
    assert resolved["pairs"] == 5000
    assert resolved["sigma_max"] == 20.0
    assert resolved_params(luhman(method__params={}))["pairs"] != 5000


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"pears": 3}, ["toy-luhman", "'pears'", "luhman@1"]),
        ({"pairs": "many"}, ["toy-luhman", "'pairs'", "integer"]),
        ({"sigma_max": float("nan")}, ["'sigma_max'", "finite"]),
    ],
)
def test_wrong_parameters_are_named(params: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(BadSpec) as caught:
        resolved_params(luhman(method__params=params))
    assert all(word in str(caught.value) for word in words), str(caught.value)


# ---------------------------------------------------------------- sample and score


def drawn(pair: Pair, *, load: str = "load", seed: int = 0) -> str:
    return sample_key(load, pair, TASK, arm="student", seed=seed, device="cpu")


def test_images_depend_on_weights_sampler_and_inputs() -> None:
    others = [
        drawn(luhman(), load="other"),
        drawn(luhman(), seed=1),
        drawn(luhman(arms__student__sampling__args__steps=2)),
        drawn(luhman(arms__student__sampling={"sampler": "heun@1", "args": {"steps": 1}})),
    ]
    assert len({drawn(luhman()), *others}) == 5
    assert drawn(luhman(summary="Other words.")) == drawn(luhman())


def scored(**changes: Any) -> str:
    facts = {
        "metric": wasserstein2, "use": Use("wasserstein2@1", n=10), "sample": "s",
        "reference": "r", "extractor": None, "protocol": "p", **changes,
    }  # fmt: skip
    return score_key(facts.pop("metric"), facts.pop("use"), **facts)


def test_values_depend_on_metric_images_reference_judge_and_protocol() -> None:
    others = [
        scored(metric=replace(wasserstein2, version=2)),
        scored(use=Use("wasserstein2@1", n=11)),
        scored(use=Use("wasserstein2@1", n=10, blocks=2)),
        scored(sample="t"),
        scored(reference=None),
        scored(extractor="e"),
        scored(protocol="q"),
    ]
    assert len({scored(), *others}) == 8
    assert scored() == scored()
