"""Seeds by name, inputs that do not depend on how they are asked for, and ranges as text."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kdbench.errors import KdbenchError
from kdbench.seeds import image_generators, parse_seeds, seed
from kdbench.tasks.base import Task
from kdbench.tasks.digits import Digits
from kdbench.tasks.toy import Toy

names = st.lists(st.text("abc@1/ ", max_size=5) | st.integers(0, 20), min_size=1, max_size=4)


@given(names, names)
def test_two_purposes_share_no_stream(one: list[str | int], other: list[str | int]) -> None:
    assert (seed(*one) == seed(*other)) == ([*map(repr, one)] == [*map(repr, other)])


@given(names)
def test_seeds_fit_torch(purpose: list[str | int]) -> None:
    assert 0 <= seed(*purpose) < 2**63
    torch.Generator().manual_seed(seed(*purpose))


def test_a_number_and_its_text_differ() -> None:
    assert seed("train", "1") != seed("train", 1)
    assert seed("ab", "c") != seed("a", "bc")


def test_seeds_are_the_same_everywhere() -> None:
    # printf 'str:train\x1fint:0' | sha256sum, first 16 digits, halved
    assert seed("train", 0) == 0x95491EE51CBB47DA >> 1


# ---------------------------------------------------------------- inputs


def drawn(base: int, start: int, stop: int) -> torch.Tensor:
    """Three numbers of each image's generator."""
    return torch.stack([torch.randn(3, generator=g) for g in image_generators(base, start, stop)])


@given(st.integers(0, 30), st.integers(1, 7))
def test_an_image_has_the_same_numbers_in_any_batch(start: int, size: int) -> None:
    assert torch.equal(drawn(5, start, start + size), drawn(5, 0, 40)[start : start + size])


def test_an_image_has_the_same_numbers_in_any_order() -> None:
    backwards = [drawn(5, i, i + 1) for i in reversed(range(6))]
    assert torch.equal(torch.cat(backwards).flip(0), drawn(5, 0, 6))


def test_images_and_sets_differ() -> None:
    numbers = torch.cat([drawn(5, 0, 20), drawn(6, 0, 20)])
    assert len(set(numbers[:, 0].tolist())) == 40


@pytest.mark.parametrize("task", [Toy(), Digits()], ids=["toy", "digits"])
def test_inputs_do_not_depend_on_how_many_are_asked_for(task: Task) -> None:
    few = task.inputs(7, split="held-out", replicate=1)
    many = task.inputs(60, split="held-out", replicate=1)
    assert torch.equal(few.latents, many.latents[:7])
    assert torch.equal(few.labels, many.labels[:7])
    assert few.index.tolist() == list(range(7))
    assert few.latents.shape == (7, *task.shape)


def test_inputs_of_splits_replicates_and_tasks_are_disjoint() -> None:
    sets = [
        task.inputs(20, split=split, replicate=replicate).latents.flatten()
        for task in (Toy(), Digits())
        for split in ("validation", "held-out")
        for replicate in (0, 1)
    ]
    numbers = torch.cat(sets)
    assert len(set(numbers.tolist())) == len(numbers)


def test_latents_are_normal_and_labels_uniform() -> None:
    inputs = Digits().inputs(2000, split="validation", replicate=0)
    assert inputs.latents.mean().abs() < 0.02
    assert abs(float(inputs.latents.std()) - 1) < 0.02
    counts = torch.bincount(inputs.labels, minlength=10)
    assert counts.min() > 150  # 200 expected, standard deviation 13
    assert counts.max() < 250


# ---------------------------------------------------------------- ranges


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("3", (3,)),
        ("0-4", (0, 1, 2, 3, 4)),
        ("0,2,5-7", (0, 2, 5, 6, 7)),
        ("2, 0", (2, 0)),
        ("1,0-2,1", (1, 0, 2)),
        ("4-4", (4,)),
    ],
)
def test_ranges(text: str, seeds: tuple[int, ...]) -> None:
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize(
    "text", ["", "a", "1-", "-1", "1--2", "1..3", "0,,1", "1.5", "0-a", "3-1", "²", "0 1"]
)
def test_anything_else_is_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(KdbenchError, match=r"seeds|Seeds") as caught:
        parse_seeds(text)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)


@given(st.text("0123456789-, ²٣x", max_size=8))
def test_no_text_breaks_the_parser(text: str) -> None:
    try:
        seeds = parse_seeds(text.replace("0", "1")[:6])
    except KdbenchError:
        return
    assert seeds
    assert len(set(seeds)) == len(seeds)
