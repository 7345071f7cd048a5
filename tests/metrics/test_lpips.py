"""LPIPS of pairs against the package lpips, on one random trunk of each kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from kdbench.errors import NothingMeasured
from kdbench.metrics import lpips as module
from kdbench.metrics.base import ImageSet, Use
from kdbench.metrics.collection import measure_images
from kdbench.metrics.features.base import Extractor, read_state, shared_extractor
from kdbench.metrics.features.lpips import ALEX, SQUEEZE, VGG, Trunk, build, linear_weights
from kdbench.metrics.measure import measure
from kdbench.metrics.naming import shared_metric

lpips = pytest.importorskip("lpips")

pytestmark = pytest.mark.filterwarnings("ignore:.*weights.*:UserWarning:torchvision")

TRUNKS = {trunk.name: trunk for trunk in (ALEX, VGG, SQUEEZE)}


class Judge:
    """The package's network, our extractor with the same weights, and what it was asked for."""

    def __init__(self, trunk: Trunk) -> None:
        torch.manual_seed(5)
        self.peer = lpips.LPIPS(net=trunk.name, pnet_rand=True, verbose=False)
        state = {
            f"features.{n.partition('.')[2]}": v for n, v in self.peer.net.state_dict().items()
        }
        network = build(trunk, state, read_state(linear_weights(trunk)))
        self.sizes: list[int] = []
        network.register_forward_pre_hook(lambda _, given: self.sizes.append(len(given[0])))
        self.extractor = Extractor(f"lpips-{trunk.name}@1:random", network)

    def distances(self, images: Tensor, targets: Tensor) -> Tensor:
        x, y = (side.expand(-1, 3, -1, -1).float() / 127.5 - 1 for side in (images, targets))
        with torch.inference_mode():
            found: Tensor = self.peer(x, y).flatten()
        return found


@pytest.fixture(scope="module", params=list(TRUNKS))
def judge(request: pytest.FixtureRequest) -> Judge:
    return Judge(TRUNKS[request.param])


@pytest.fixture
def own(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The metric, in the judge's random trunk."""
    name = judge.extractor.id.partition("@")[0]
    monkeypatch.setattr(module, "shared_extractor", {f"{name}@1": judge.extractor}.__getitem__)
    judge.sizes.clear()
    return shared_metric(f"{name}@1")


def pairs(n: int, *, channels: int = 3, height: int = 32, width: int = 32) -> tuple[Tensor, Tensor]:
    """Smooth pictures and the same with noise of 0 to 60 grey levels."""
    draw = torch.Generator().manual_seed(n)
    coarse = torch.rand(n, channels, 4, 4, generator=draw)
    smooth = 255 * torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")
    level = torch.linspace(0, 60, n)[:, None, None, None]
    noise = level * torch.randn(smooth.shape, generator=draw)
    return (smooth + noise).clamp(0, 255).byte(), smooth.byte()


@pytest.mark.parametrize("shape", [(3, 32, 32), (3, 64, 40), (1, 33, 49)], ids=str)
def test_equals_the_package(judge: Judge, own: Any, shape: tuple[int, int, int]) -> None:
    channels, height, width = shape
    images, targets = pairs(6, channels=channels, height=height, width=width)
    found = own(images, targets)
    assert found.dtype == torch.float64
    assert found.tolist() == pytest.approx(judge.distances(images, targets).tolist(), abs=1e-6)
    assert found[0] == 0  # equal images
    assert found[-1] > 0.01


def test_chunks_hold_a_fixed_amount_and_change_nothing(
    judge: Judge, own: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, targets = pairs(12)
    whole = own(images, targets)
    length = judge.extractor(images[:1])[0].shape[1]
    judge.sizes.clear()
    monkeypatch.setattr(module, "ELEMENTS", 5 * length)
    assert own(images, targets).tolist() == pytest.approx(whole.tolist(), abs=1e-7)
    assert judge.sizes == [1, 1, 5, 5, 5, 5, 1, 1]  # both sides of each chunk, once


def test_measured_like_any_metric(judge: Judge, own: Any) -> None:
    images, targets = (ImageSet(x, torch.arange(8)) for x in pairs(8))
    found = measure(own, use=Use(own.id, n=8), generated=images, targets=targets)
    assert found.value == pytest.approx(
        float(judge.distances(images.images, targets.images).mean()), abs=1e-6
    )
    assert found.interval is not None
    assert found.interval.low <= found.value <= found.interval.high
    assert (found.details["shuffled"] or 0) > found.value
    assert sum(judge.sizes) == 4 * 8  # twice what one evaluation asks for


def test_refusals(own: Any) -> None:
    small = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
    with pytest.raises(NothingMeasured, match="pixels or more: these are 8 x 8"):
        own(small, small)
    planes = torch.zeros(2, 1, 64, 64, dtype=torch.float64)
    with pytest.raises(NothingMeasured, match="uint8"):
        own(planes, planes)


def test_without_weights_the_reason_stands_where_the_value_would(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("KDBENCH_WEIGHTS", "KDBENCH_CACHE", "XDG_CACHE_HOME", "TORCH_HOME", "HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    shared_extractor.cache_clear()
    images, targets = pairs(2)
    found = measure_images(["lpips-squeeze", "psnr"], images, targets=targets)
    assert found["lpips-squeeze@1"].value is None
    assert "squeezenet1_1-b8a52dc0.pth" in (found["lpips-squeeze@1"].reason or "")
    assert found["psnr@1"].value is not None


@pytest.mark.parametrize("name", TRUNKS)
def test_names(name: str) -> None:
    found = shared_metric(f"lpips-{name}")
    assert (found.id, found.extractor) == (f"lpips-{name}@1", f"lpips-{name}@1")
    assert (found.kind, found.higher_is_better, found.needs_features) == ("paired", False, False)
