"""The harness: dispatch by kind, blocks, clear refusals, and padded extraction."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from kdbench.errors import BadSpec, NothingMeasured
from kdbench.metrics import prdc
from kdbench.metrics.base import Estimate, ImageSet, Metric, Use, metric
from kdbench.metrics.classes import class_accuracy
from kdbench.metrics.fd import fd, fd_teacher
from kdbench.metrics.feature_cosine import feature_cosine
from kdbench.metrics.intervals import normal_interval
from kdbench.metrics.measure import extract, measure
from kdbench.metrics.paired import psnr
from kdbench.metrics.prdc import precision, recall


@metric(kind="set", higher_is_better=None, bounds=(0.0, 10.0), sets=())
def first_feature(generated: ImageSet) -> Estimate:
    value = float(generated.features[:, 0].mean())  # type: ignore[index]
    details: dict[str, float | None] = {"n": float(len(generated)), "standard_error": 99.0}
    interval = normal_interval(value, 1.0, "own") if math.isfinite(value) else None
    return Estimate(value, interval, None, details)


@metric(kind="per-image", higher_is_better=None)
def brightness(images: Tensor) -> Tensor:
    return images.double().mean(dim=(1, 2, 3))


def run(metric: Metric, generated: ImageSet, *, n: int, blocks: int = 1, **given: Any) -> Any:
    """`measure` with a `Use` of `n` images a block, and no reference or targets unless given."""
    use = Use(metric.id, n=n, blocks=blocks)
    targets = given.pop("targets", None)
    return measure(metric, use=use, generated=generated, others=given, targets=targets)


def test_one_block_keeps_the_metrics_own_interval_clipped(image_set: Any) -> None:
    estimate: Any = run(first_feature, image_set(torch.ones(20, 1)), n=10)
    assert estimate.value == 1
    assert estimate.details["n"] == 10
    assert estimate.interval.low == 0
    assert estimate.interval.high == pytest.approx(2.96, abs=0.01)


def test_blocks_give_mean_and_t_interval(image_set: Any) -> None:
    features = torch.tensor([1.0, 1, 2, 2, 3, 3, 9, 9])[:, None]
    estimate: Any = run(first_feature, image_set(features), n=2, blocks=3)
    assert estimate.value == pytest.approx(2)
    assert estimate.interval.method == "blocks-t"
    assert (estimate.interval.low, estimate.interval.high) == pytest.approx((0, 4.484), abs=1e-3)
    assert estimate.details == {"n": 2.0, "standard_error": pytest.approx(3**-0.5)}


def test_a_set_metric_equals_itself_called_by_hand(image_set: Any) -> None:
    x, y = image_set(torch.rand(60, 4)), image_set(torch.rand(80, 4))
    by_hand: Any = fd(x.block(0, 50), y)
    assert run(fd, x, n=50, reference=y).value == by_hand.value


def test_a_set_metric_may_need_no_reference(image_set: Any) -> None:
    classified = image_set(logits=torch.eye(10), features=torch.eye(10))
    assert run(class_accuracy, classified, n=10).value == 1


def test_blocks_of_equal_n_meet_the_whole_reference_in_one_pass(
    image_set: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[tuple[int, int]] = []
    genuine = prdc.neighbours

    def counted(x: Tensor, y: Tensor, **settings: Any) -> Any:
        sizes.append((len(x), len(y)))
        return genuine(x, y, **settings)

    monkeypatch.setattr(prdc, "neighbours", counted)
    x, y = image_set(torch.rand(60, 3)), image_set(torch.rand(20, 3))
    precise, recalled = (run(m, x, n=20, blocks=3, reference=y) for m in (precision, recall))
    assert sizes == [(20, 20)] * 3
    real = y.features
    expected = [genuine(x.features[i : i + 20], real)[5] for i in (0, 20, 40)]
    assert precise.value == pytest.approx(sum(e.precision for e in expected) / 3)
    assert recalled.value == pytest.approx(sum(e.recall for e in expected) / 3)
    assert 0 <= recalled.interval.low <= recalled.value <= recalled.interval.high <= 1


@pytest.mark.parametrize("m", [19, 21, 50])
def test_sets_of_unequal_size_are_an_error_and_never_cut(image_set: Any, m: int) -> None:
    x, y = image_set(torch.rand(20, 3)), image_set(torch.rand(m, 3))
    with pytest.raises(NothingMeasured, match=f"reference has {m} images for 20"):
        run(precision, x, n=20, reference=y)


@pytest.mark.parametrize("m", [19, 21])
def test_a_teacher_with_other_inputs_is_refused(image_set: Any, m: int) -> None:
    x, y = image_set(torch.rand(20, 3)), image_set(torch.rand(m, 3))
    with pytest.raises(NothingMeasured, match=f"of the same inputs: there are {m} for 20"):
        run(fd_teacher, x, n=20, teacher=y)


def test_blocks_that_agree_have_no_interval(image_set: Any) -> None:
    estimate: Any = run(first_feature, image_set(torch.ones(20, 1)), n=10, blocks=2)
    assert estimate.interval is None
    assert "same value" in estimate.reason


def test_a_label_that_blocks_do_not_share_is_not_averaged(image_set: Any) -> None:
    @metric(kind="set", higher_is_better=None, sets=())
    def worst_of(generated: ImageSet) -> Estimate:
        value = float(generated.features[0, 0])  # type: ignore[index]
        return Estimate(value, details={"worst": value, "other": value})

    details = run(worst_of, image_set(torch.arange(4.0)[:, None]), n=2, blocks=2).details
    assert (details["worst"], details["other"]) == (None, 1.0)


def test_one_block_without_an_interval_says_why(image_set: Any) -> None:
    estimate: Any = run(
        recall, image_set(torch.rand(20, 3)), n=20, reference=image_set(torch.rand(20, 3))
    )
    assert estimate.interval is None
    assert "two blocks" in estimate.reason


def test_per_image_metrics_get_mean_interval_and_quantiles() -> None:
    levels = torch.arange(100, dtype=torch.uint8)
    images = ImageSet(levels[:, None, None, None].expand(-1, 1, 8, 8), torch.zeros(100).long())
    estimate: Any = run(brightness, images, n=25, blocks=2)
    assert estimate.value == pytest.approx(24.5)
    assert estimate.details["median"] == pytest.approx(24.5)
    assert estimate.details["p5"] == pytest.approx(2.45)
    assert estimate.interval.method == "bootstrap"
    assert estimate.interval.low < 24.5 < estimate.interval.high


def test_paired_metrics_meet_their_own_targets() -> None:
    draw = torch.Generator().manual_seed(0)
    targets = torch.randint(256, (30, 1, 8, 8), generator=draw, dtype=torch.uint8)
    images = ImageSet(targets[:20].clone(), torch.zeros(20).long())
    labels = torch.zeros(30).long()
    exact = run(psnr, images, n=20, targets=ImageSet(targets, labels))
    foreign = run(psnr, images, n=20, targets=ImageSet(targets.flip(0), labels))
    assert exact.value == pytest.approx(58.92, abs=0.01)
    assert foreign.value < 15
    assert exact.details["shuffled"] == pytest.approx(foreign.value, abs=1)


def test_paired_metrics_of_features_are_given_features(image_set: Any) -> None:
    x, y = image_set(torch.randn(40, 8)), image_set(torch.randn(50, 8))
    found = run(feature_cosine, x, n=40, targets=y)
    expected = torch.cosine_similarity(x.features, y.features[:40]).mean()
    assert found.value == pytest.approx(float(expected), abs=1e-6)
    assert found.details["shuffled"] != found.value


def test_missing_pieces_are_named(image_set: Any) -> None:
    plain, x = image_set(n=20), image_set(torch.rand(20, 3))
    short = image_set(n=10)
    cases: list[tuple[dict[str, Any], str]] = [
        ({"metric": fd, "generated": plain, "n": 20, "reference": x}, "needs features"),
        ({"metric": fd, "generated": x, "n": 20}, "not given: reference"),
        ({"metric": fd, "generated": x, "n": 20, "reference": plain}, "reference images have no"),
        ({"metric": fd, "generated": x, "n": 21, "reference": x}, "only 20 were generated"),
        ({"metric": fd, "generated": x, "n": 11, "blocks": 2, "reference": x}, "22 images"),
        ({"metric": fd, "generated": x, "n": 1, "reference": x}, "at least 2"),
        ({"metric": precision, "generated": x, "n": 20, "reference": x.block(0, 9)}, "9 images"),
        ({"metric": psnr, "generated": plain, "n": 20}, "there are none"),
        ({"metric": feature_cosine, "generated": x, "n": 20, "targets": plain}, "needs features"),
        ({"metric": psnr, "generated": plain, "n": 20, "targets": short}, "of one shape"),
        ({"metric": brightness, "generated": plain, "n": 1}, "at least 2"),
    ]
    for arguments, sentence in cases:
        with pytest.raises(NothingMeasured, match=sentence):
            run(**arguments)


def test_values_that_are_not_finite_are_no_measurement(image_set: Any) -> None:
    broken = replace(brightness, function=lambda images: torch.full((len(images),), torch.inf))
    estimate: Any = run(broken, image_set(n=5), n=5)
    assert estimate.value is None
    assert "5 of 5" in estimate.reason
    not_a_number = image_set(torch.full((4, 1), torch.nan))
    for blocks in (1, 2):
        estimate = run(first_feature, not_a_number, n=2, blocks=blocks)
        assert estimate.value is None
        assert "nan" in estimate.reason


def test_functions_that_break_their_kind_are_bad_specs(image_set: Any) -> None:
    scalar = replace(brightness, function=lambda images: images.double().mean())
    one: Any = lambda generated: 1.0  # noqa: E731
    number = replace(first_feature, function=one)
    for wrong in (scalar, number):
        with pytest.raises(BadSpec, match="must return"):
            run(wrong, image_set(n=5), n=5)


class Recorder(nn.Module):
    """A small network that notes how many images it is given at a time."""

    def __init__(self, classes: int | None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(576, 32))
        self.head = None if classes is None else nn.Linear(32, classes)
        self.seen: list[int] = []

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        self.seen.append(len(images))
        features = self.body(images.float() / 255)
        return features, None if self.head is None else self.head(features)


def test_extraction_does_not_depend_on_the_number_of_images() -> None:
    network = Recorder(10)
    images = torch.randint(256, (70, 1, 8, 8), dtype=torch.uint8)
    labels = torch.arange(70) % 10
    whole = extract(network, images, labels, chunk=32)
    for n in (1, 31, 33, 70):
        part = extract(network, images[:n], labels[:n], chunk=32)
        assert part.features.equal(whole.features[:n])  # type: ignore[union-attr,index]
        assert part.logits.equal(whole.logits[:n])  # type: ignore[union-attr,index]
    assert set(network.seen) == {32}
    torch.testing.assert_close(whole.features, network(images)[0].detach())
    assert whole.labels.equal(labels)


def test_extraction_without_a_classifier_or_without_images() -> None:
    images = torch.zeros(3, 1, 8, 8, dtype=torch.uint8)
    found = extract(Recorder(None), images, torch.zeros(3).long())
    assert found.logits is None
    assert found.features.shape == (3, 32)  # type: ignore[union-attr]
    with pytest.raises(NothingMeasured, match="no images"):
        extract(Recorder(None), images[:0], torch.zeros(0).long())
