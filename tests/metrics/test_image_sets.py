"""Each set is seen once by each extractor, and its features are kept by content."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from kdbench.metrics.base import ImageSet
from kdbench.metrics.cache import Cache
from kdbench.metrics.features.base import Extractor
from kdbench.metrics.image_sets import Images, ImageSets


class Counting(nn.Module):
    """Mean and maximum of an image as features; counts its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        self.calls += 1
        flat = images.float().flatten(1)
        features = torch.stack([flat.mean(1), flat.amax(1)], 1)
        return features, features


def images(fill: int) -> Images:
    pixels = torch.arange(10, dtype=torch.uint8)[:, None, None, None].expand(-1, 1, 4, 4) + fill
    return Images(pixels, torch.arange(10) % 2)


def test_an_extractor_sees_a_set_once() -> None:
    network, sets = Counting(), ImageSets(images(0), {"reference": lambda: images(5)})
    extractor = Extractor("counting@1:0", network)
    first = sets.of(("reference",), extractor)
    second = sets.of(("reference",), extractor)
    assert network.calls == 2  # one a set
    assert first[0] is second[0]
    assert first[1]["reference"] is second[1]["reference"]


def test_sets_that_nobody_asks_for_are_not_made() -> None:
    def refuse() -> Images:
        raise AssertionError("made")

    sets = ImageSets(images(0), {"reference": lambda: images(1), "teacher": refuse})
    generated, others = sets.of(("reference",), None)
    assert generated.features is None
    assert set(others) == {"reference"}


def test_features_are_kept_by_content_not_by_name(tmp_path: Path) -> None:
    network, cache = Counting(), Cache(tmp_path)
    extractor = Extractor("counting@1:0", network)
    one = images(0).seen_by(extractor, cache)
    again = images(0).seen_by(extractor, cache)  # other tensors with the same bytes
    assert network.calls == 1
    assert torch.equal(one.features, again.features)  # type: ignore[arg-type]
    other = images(1).seen_by(extractor, cache)
    assert network.calls == 2
    assert not torch.equal(one.features, other.features)  # type: ignore[arg-type]
    images(0).seen_by(Extractor("counting@1:1", network), cache)  # other weights
    assert network.calls == 3


def test_a_buffer_that_is_filled_again_is_another_set(tmp_path: Path) -> None:
    buffer = torch.zeros(4, 1, 4, 4, dtype=torch.uint8)
    extractor = Extractor("counting@1:0", Counting())

    def mean() -> float:
        seen: ImageSet = Images(buffer, torch.zeros(4).long()).seen_by(extractor, Cache(tmp_path))
        assert seen.features is not None
        return float(seen.features[:, 0].mean())

    assert mean() == 0
    buffer.fill_(7)
    assert mean() == 7


def test_statistics_of_lasting_sets_are_kept(tmp_path: Path) -> None:
    extractor, made = Extractor("counting@1:0", Counting()), []

    def make() -> dict[str, Tensor]:
        made.append(1)
        return {"total": torch.ones(1)}

    for judge in (extractor, None):
        made.clear()
        for lasting, expected in ((True, 1), (False, 3)):
            for _ in range(2):
                one = Images(images(0).images, torch.zeros(10).long(), lasting=lasting)
                one.seen_by(judge, Cache(tmp_path)).kept("total@1", make)
            assert len(made) == expected


def test_targets_are_seen_by_the_same_extractor() -> None:
    network, targets = Counting(), images(5)
    sets = ImageSets(images(0), {"teacher": lambda: targets}, targets=targets)
    extractor = Extractor("counting@1:0", network)
    generated, others = sets.of(("teacher",), extractor)
    seen = sets.targets_of(extractor)
    assert seen is others["teacher"]
    assert network.calls == 2
    assert seen.features is not None
    assert torch.equal(seen.features, generated.features + 5)  # type: ignore[operator]
    plain = sets.targets_of(None)
    assert plain is not None
    assert plain.features is None
    assert ImageSets(images(0), {}).targets_of(extractor) is None


def test_labels_do_not_touch_features_but_do_touch_statistics(tmp_path: Path) -> None:
    network = Counting()
    extractor, pixels = Extractor("counting@1:0", network), images(0).images
    made = []
    for labels in (torch.zeros(10).long(), torch.ones(10).long()):
        seen = Images(pixels, labels, lasting=True).seen_by(extractor, Cache(tmp_path))
        seen.kept("n@1", lambda: made.append(1) or {"n": torch.ones(1)})  # type: ignore[func-returns-value]
    assert network.calls == 1
    assert len(made) == 2
