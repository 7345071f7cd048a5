"""Images are taken a few at a time: the same numbers, and little is held beside the images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from kdbench.evaluating import few_at_a_time
from kdbench.evaluating.evaluate import evaluate
from kdbench.evaluating.few_at_a_time import numbers, strangers_by_size
from kdbench.evaluating.image_scores import ImageScores
from kdbench.evaluating.material import gather, look_up
from kdbench.evaluating.question import Question
from kdbench.metrics.base import ImageSet, metric
from kdbench.metrics.cache import Cache
from kdbench.metrics.feature_cosine import feature_cosine
from kdbench.metrics.features.base import Extractor
from kdbench.metrics.paired import psnr
from kdbench.metrics.per_image import image_values, shuffled_values, strangers
from kdbench.metrics.restoration import MATLAB_Y

SIZES = [(16, 20)] * 5 + [(20, 16)] * 4 + [(16, 16)]


@pytest.fixture
def pairs(tmp_path: Path) -> tuple[Path, Path]:
    """Ten pairs of three sizes, of which two are grey; one is alone of its size."""
    draw = np.random.default_rng(0)
    for side in ("own", "targets"):
        (tmp_path / side).mkdir()
        for i, size in enumerate(SIZES):
            shape = size if i in (1, 6) else (*size, 3)
            pixels = draw.integers(0, 256, shape, dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / side / f"{i}.png")
    return tmp_path / "own", tmp_path / "targets"


@pytest.mark.parametrize(
    ("protocols", "metrics"),
    [(["matlab-y"], ["psnr", "ssim"]), ([], ["psnr", "ssim", "l1", "contrast"])],
    ids=["planes", "whole"],
)
def test_values_do_not_depend_on_how_many_are_taken_at_once(
    pairs: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
    protocols: list[str],
    metrics: list[str],
) -> None:
    found = []
    for at_once in (10**9, 2 * 16 * 20 * 3, 1):
        monkeypatch.setattr(few_at_a_time, "AT_ONCE", at_once)
        own, targets = pairs
        given = {"targets": targets, "metrics": metrics, "protocols": protocols}
        found.append(evaluate(own, **given))
    whole, *parts = found
    assert len(whole.per_image) == len(SIZES)
    for part in parts:
        for name in whole.per_image[0].keys() - {"name"}:
            values, due = ([row[name] for row in one.per_image] for one in (part, whole))
            assert values == pytest.approx(due, abs=1e-12, rel=1e-12)
        for score, other in zip(part.scores, whole.scores, strict=True):
            assert score.details == pytest.approx(other.details, abs=1e-12, rel=1e-12)


def test_numbers_are_those_of_the_whole_group(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = torch.Generator().manual_seed(0)
    sides = [torch.randint(256, (9, 3, 12, 14), generator=draw).byte() for _ in range(2)]
    own, other = (
        ImageSet(MATLAB_Y.planes(side, 1), torch.zeros(9, dtype=torch.int64)) for side in sides
    )
    monkeypatch.setattr(few_at_a_time, "AT_ONCE", 3 * 12 * 14 * 4)
    planes = [lambda images: MATLAB_Y.planes(images, 1)]
    assert numbers(psnr, sides, *planes).equal(image_values(psnr, own, other))
    places, strangers = strangers_by_size(sides[0])
    assert places == list(range(9))
    shuffled = numbers(psnr, [sides[0], sides[1][strangers]], *planes)
    assert shuffled.equal(shuffled_values(psnr, own, other))


def test_what_is_made_of_images_does_not_grow_with_their_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[int] = []

    def view(images: Tensor) -> Tensor:
        made.append(images.numel())
        return images.double()

    @metric(kind="per-image", higher_is_better=None)
    def brightness(images: Tensor) -> Tensor:
        return images.mean((1, 2, 3))

    images = torch.arange(100).byte().view(100, 1, 1, 1).expand(-1, 3, 8, 8)
    monkeypatch.setattr(few_at_a_time, "AT_ONCE", 1000)
    found = numbers(brightness, [images], view)
    assert found.tolist() == list(range(100))
    assert max(made) <= 1000
    assert sum(made) == images.numel()
    monkeypatch.setattr(few_at_a_time, "AT_ONCE", 1)  # one image at least
    assert numbers(brightness, [list(images)], view).tolist() == list(range(100))
    assert max(made[-100:]) == 3 * 8 * 8


class Moments(nn.Module):
    """Mean and standard deviation of all values, of images of any size."""

    seen = 0

    def forward(self, images: Tensor) -> tuple[Tensor, None]:
        self.seen += len(images)
        flat = images.float().flatten(1)
        return torch.stack([flat.mean(1), flat.std(1)], 1), None


def test_features_are_seen_once_and_meet_those_of_their_size(pairs: tuple[Path, Path]) -> None:
    for side in pairs:
        (side / "9.png").unlink()  # which is alone of its size
    question = Question(str(pairs[0]), targets=str(pairs[1]))
    material = gather(question, look_up(question), progress=lambda *_: None)
    scores = ImageScores(material, None, None, Cache(None), lambda *_: None)
    judge = Extractor("moments@1:0", network := Moments(), at_once=1)
    found = scores.found(feature_cosine, judge)
    seen = network.seen
    assert seen == 18
    assert scores.found(feature_cosine, judge).values.equal(found.values)
    assert network.seen == seen
    assert material.targets is not None
    pictures = material.targets.pairs.students, material.targets.pairs.targets
    own, other = (torch.cat([Moments()(one[None])[0] for one in side]) for side in pictures)
    assert found.values == pytest.approx(feature_cosine.function(own, other), abs=1e-9)
    shuffled = [
        value
        for part in (slice(0, 5), slice(5, 9))
        for value in feature_cosine.function(own[part], other[part][strangers(len(own[part]))])
    ]
    assert found.estimate.details["shuffled"] == pytest.approx(np.mean(shuffled), abs=1e-9)


@pytest.mark.parametrize(("drop", "said"), [(0, "1 of 10 images has"), (4, "2 of 6 images have")])
def test_a_missing_baseline_is_said(pairs: tuple[Path, Path], drop: int, said: str) -> None:
    for side in pairs:
        for i in range(drop):
            (side / f"{i}.png").unlink()
    own, targets = pairs
    score = evaluate(own, targets=targets, metrics=["l1"]).scores[0]
    assert "shuffled" not in score.details
    assert [mark.partition("no other")[0].strip() for mark in score.marks] == [
        f"no shuffled baseline: {said}"
    ]
    for side in pairs:
        (side / "9.png").unlink()
        if drop:
            (side / "4.png").unlink()
    score = evaluate(own, targets=targets, metrics=["l1"]).scores[0]
    assert score.marks == []
    assert score.details["shuffled"] is not None
