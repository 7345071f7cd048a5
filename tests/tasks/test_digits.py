"""The task digits: its splits for good, its judges as their cards say."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from itertools import chain

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from kdbench import registry
from kdbench.metrics.features.base import Extractor
from kdbench.metrics.features.digits import digits_aux, digits_cnn
from kdbench.metrics.features.recipe import accuracy, make_judge
from kdbench.tasks.digits import Digits, _splits
from kdbench.weights import cards, weights_id

SHA256 = {
    "train": "36147f42bec3be83421c404effabf05750142aeb7a89db96134df0ca5dc6b861",
    "validation": "d7e7abf689b2096bbb20b9709704f3c2da5d6c5434f9cc2bb8d893e4f0fc8b51",
    "held-out": "0f16ba3a5817d1e3887ec19943a4155b022132e0c04dcb6ae16c4a15f26a9a9c",
}
"""Published numbers hang on these: another split is another task version."""


def names(split: str) -> list[str]:
    return [
        hashlib.sha256(image.numpy().tobytes()).hexdigest()
        for image in Digits().split(split).images
    ]


@pytest.mark.parametrize(
    ("split", "size"), [("train", 1000), ("validation", 297), ("held-out", 500)]
)
def test_sizes_types_and_ranges(split: str, size: int) -> None:
    found = Digits().split(split)
    assert found.images.shape == (size, 1, 8, 8)
    assert found.images.dtype == torch.uint8
    assert found.labels.shape == (size,)
    assert found.labels.dtype == torch.int64
    assert (int(found.images.min()), int(found.images.max())) == (0, 255)
    assert sorted(set(found.labels.tolist())) == list(range(10))


@pytest.mark.parametrize("split", SHA256)
def test_splits_are_fixed(split: str) -> None:
    assert Digits().split(split).sha256 == SHA256[split]


def test_splits_are_the_same_every_time() -> None:
    before = {split: Digits().split(split).sha256 for split in SHA256}
    _splits.cache_clear()
    assert {split: Digits().split(split).sha256 for split in SHA256} == before


def test_no_image_is_in_two_splits_and_none_is_lost() -> None:
    of_splits = {split: names(split) for split in SHA256}
    sets = [set(found) for found in of_splits.values()]
    assert not sets[0] & sets[1] | sets[0] & sets[2] | sets[1] & sets[2]
    data = np.asarray(load_digits().images)
    everything = [
        hashlib.sha256(np.round(image / 16 * 255).astype(np.uint8).tobytes()).hexdigest()
        for image in data
    ]
    assert Counter(chain.from_iterable(of_splits.values())) == Counter(everything)


def test_labels_belong_to_their_images() -> None:
    data = load_digits()
    of_image = {
        np.round(image / 16 * 255).astype(np.uint8).tobytes(): int(label)
        for image, label in zip(data.images, data.target, strict=True)
    }
    for split in SHA256:
        found = Digits().split(split)
        expected = [of_image[image.numpy().tobytes()] for image in found.images]
        assert found.labels.tolist() == expected


def test_the_stated_spread_is_that_of_the_encoded_data() -> None:
    task = Digits()
    encoded = task.encode(task.split("train").images).double()
    assert float(encoded.std()) == pytest.approx(task.sigma_data, abs=0.005)
    assert (float(encoded.min()), float(encoded.max())) == (-1, 1)


# ---------------------------------------------------------------- judges


@pytest.mark.parametrize(
    ("judge", "name"), [(digits_cnn, "digits-cnn"), (digits_aux, "digits-aux")]
)
def test_judges_are_as_good_as_their_cards_say(judge: Callable[[], Extractor], name: str) -> None:
    extractor, split = judge(), Digits().split("held-out")
    stated = cards.load(name).figures["held_out_accuracy"]
    assert accuracy(extractor.network, split.images, split.labels) == pytest.approx(
        stated, abs=1e-9
    )
    assert stated > 0.95
    assert extractor.id == f"{name}@1:{weights_id(name).partition(':')[2]}"
    assert not extractor.network.training
    assert not any(p.requires_grad for p in extractor.network.parameters())


def test_the_evaluator_is_not_what_methods_may_use() -> None:
    task = Digits()
    assert task.extractor is not None
    assert task.auxiliary is not None
    evaluator, auxiliary = (registry.extractors.load(n)() for n in (task.extractor, task.auxiliary))
    assert evaluator.id != auxiliary.id
    assert type(evaluator.network) is not type(auxiliary.network)


def test_the_recipe_is_deterministic_and_starts_to_learn() -> None:
    split = Digits().split("held-out")
    one, two = (make_judge("digits-aux", steps=60) for _ in range(2))
    for ours, theirs in zip(one.state_dict().values(), two.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)
    assert accuracy(one, split.images, split.labels) > 0.6


@pytest.mark.slow
@pytest.mark.parametrize("name", ["digits-aux", "digits-cnn"])
def test_the_recipe_makes_a_judge_as_good_as_the_published_one(name: str) -> None:
    split = Digits().split("held-out")
    again = accuracy(make_judge(name), split.images, split.labels)
    assert again == pytest.approx(cards.load(name).figures["held_out_accuracy"], abs=0.01)
