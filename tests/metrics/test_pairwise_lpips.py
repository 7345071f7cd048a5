"""Pairwise LPIPS against a loop over pairs through the package lpips, on one random trunk."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from kdbench.errors import NothingMeasured, WeightsError
from kdbench.metrics import pairwise_lpips as module
from kdbench.metrics.base import ImageSet, Use
from kdbench.metrics.features.base import Extractor
from kdbench.metrics.features.lpips import ALEX, build, linear_weights
from kdbench.metrics.measure import measure
from kdbench.metrics.pairwise import CHUNK

lpips = pytest.importorskip("lpips")

pytestmark = pytest.mark.filterwarnings("ignore:.*weights.*:UserWarning:torchvision")

overall: Any = module.pairwise_lpips
within: Any = module.pairwise_lpips_within
ratio: Any = module.pairwise_lpips_ratio
within_ratio: Any = module.pairwise_lpips_within_ratio


@pytest.fixture(scope="module")
def peer() -> Any:
    torch.manual_seed(5)
    return lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)


@pytest.fixture
def asked(peer: Any, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of all batches that the extractor, which has the peer's trunk, was asked for."""
    trunk = {f"features.{n.split('.', 1)[1]}": v for n, v in peer.net.state_dict().items()}
    network = build(
        ALEX, trunk, torch.load(linear_weights(ALEX), map_location="cpu", weights_only=True)
    )
    sizes: list[int] = []

    class Watched(torch.nn.Module):
        def forward(self, images: Tensor) -> Any:
            sizes.append(len(images))
            return network(images)

    extractor = Extractor("lpips-alex@1:random", Watched())
    monkeypatch.setattr(
        module, "shared_extractor", lambda name: {module.EXTRACTOR: extractor}[name]
    )
    return sizes


def pictures(n: int, *, channels: int = 3, side: int = 32, seed: int = 1) -> Tensor:
    """Blurred noise, uint8."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.rand(n, channels, side // 4, side // 4, generator=generator)
    smooth = torch.nn.functional.interpolate(noise, size=side, mode="bilinear")
    return (255 * smooth).to(torch.uint8)


def pair_loop(peer: Any, images: Tensor, labels: Tensor | None = None) -> float:
    """Mean LPIPS over pairs, of one label if labels are given; one call a pair."""
    x = images.float() / 127.5 - 1
    by_label: dict[int, list[float]] = {}
    with torch.inference_mode():
        for i, j in torch.combinations(torch.arange(len(x))).tolist():
            if labels is None or labels[i] == labels[j]:
                key = 0 if labels is None else int(labels[i])
                by_label.setdefault(key, []).append(float(peer(x[i], x[j])))
    return float(np.mean([np.mean(values) for values in by_label.values()]))


LABELS = torch.tensor([0, 0, 0, 0, 0, 2, 2, 2, 7, 1, 1, 1])


@pytest.mark.parametrize("channels", [1, 3])
def test_equals_the_loop_over_pairs(peer: Any, asked: list[int], channels: int) -> None:
    images = pictures(12, channels=channels)[torch.randperm(12)]
    generated = ImageSet(images, LABELS)
    assert overall(generated).value == pytest.approx(pair_loop(peer, images), rel=1e-5)
    assert within(generated).value == pytest.approx(pair_loop(peer, images, LABELS), rel=1e-5)


def test_ratios_and_one_pass_for_all_four(asked: list[int]) -> None:
    teacher_images = pictures(60)
    student = ImageSet(teacher_images // 2 + 60, torch.arange(60) % 3)
    teacher = ImageSet(teacher_images, student.labels)
    own, of_teacher, both = overall(student), overall(teacher), ratio(student, teacher)
    assert both.value == own.value / of_teacher.value
    assert both.details["teacher"] == of_teacher.value
    assert both.interval.low < both.value < both.interval.high
    assert within_ratio(student, teacher).value == pytest.approx(
        within(student).value / within(teacher).value
    )
    # Four chunks a set; the teacher's once under its own name and once as "generated".
    assert asked == [CHUNK] * 12


def test_collapse_is_zero(asked: list[int]) -> None:
    images = pictures(1).expand(50, -1, -1, -1)
    assert overall(ImageSet(images, torch.arange(50) % 2)).value == pytest.approx(0, abs=1e-12)


def test_measured_like_any_metric(asked: list[int]) -> None:
    labels = torch.arange(40) % 2
    sets = ImageSet(pictures(40), labels), ImageSet(pictures(40, seed=2), labels)
    use = Use("pairwise-lpips-within-ratio@1", n=40)
    found = measure(within_ratio, use=use, generated=sets[0], others={"teacher": sets[1]})
    assert found.interval is not None
    assert found.interval.method == "jackknife"


def test_refusals(asked: list[int]) -> None:
    labels = torch.zeros(4, dtype=torch.int64)
    with pytest.raises(NothingMeasured, match="31 x 31"):
        overall(ImageSet(pictures(4, side=28), labels))
    with pytest.raises(NothingMeasured, match="points"):
        overall(ImageSet(torch.zeros(4, 2, 1, 1), labels))
    with pytest.raises(NothingMeasured, match="at least 2"):
        overall(ImageSet(pictures(1), labels[:1]))


def test_missing_weights_surface(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Extractor:
        raise WeightsError(f"The weights of {name} are missing.")

    monkeypatch.setattr(module, "shared_extractor", missing)
    with pytest.raises(WeightsError, match="lpips-alex@1 are missing"):
        overall(ImageSet(pictures(4), torch.zeros(4, dtype=torch.int64)))


def test_names() -> None:
    found = [overall, within, ratio, within_ratio]
    suffixes = ["", "-within", "-ratio", "-within-ratio"]
    assert [metric.id for metric in found] == [f"pairwise-lpips{s}@1" for s in suffixes]
    assert all(metric.extractor == "lpips-alex@1" for metric in found)
    assert not any(metric.needs_features for metric in found)
