"""The LPIPS embedding against the package lpips, on one random trunk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from kdbench.errors import NothingMeasured, WeightsError
from kdbench.metrics.features import lpips_alex as module
from kdbench.metrics.features.lpips_alex import (
    LINEAR_SHA256,
    SMALLEST,
    LpipsEmbedding,
    build,
    linear_weights,
    lpips_alex,
)
from kdbench.store import sha256_file

lpips = pytest.importorskip("lpips")

pytestmark = pytest.mark.filterwarnings("ignore:.*weights.*:UserWarning:torchvision")


@pytest.fixture(scope="module")
def peer() -> Any:
    """LPIPS with random weights in its trunk and the published linear ones."""
    torch.manual_seed(5)
    return lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)


@pytest.fixture(scope="module")
def published(peer: Any) -> dict[str, Tensor]:
    """Its trunk under torchvision's names, with something of a classifier."""
    trunk = {}
    for name, value in peer.net.state_dict().items():  # slice2.3.weight
        _, number, kind = name.split(".")
        trunk[f"features.{number}.{kind}"] = value
    return trunk | {"classifier.6.bias": torch.zeros(1000)}


@pytest.fixture(scope="module")
def linear() -> dict[str, Tensor]:
    found: dict[str, Tensor] = torch.load(linear_weights(), map_location="cpu", weights_only=True)
    return found


@pytest.fixture(scope="module")
def embedding(published: dict[str, Tensor], linear: dict[str, Tensor]) -> LpipsEmbedding:
    return build(published, linear)


def pictures(n: int, *shape: int) -> Tensor:
    """Noise, gradients and flat areas, uint8."""
    generator = torch.Generator().manual_seed(sum(shape))
    images = torch.randint(256, (n, *shape), generator=generator, dtype=torch.uint8)
    images[0] = 255
    images[1] = torch.linspace(0, 255, shape[-1]).to(torch.uint8)
    images[2] //= 16
    return images


def every_pair(peer: Any, images: Tensor) -> Tensor:
    """LPIPS of every pair of uint8 images, in the order of `torch.pdist`."""
    x = images.expand(-1, 3, -1, -1).float() / 127.5 - 1
    first, second = torch.triu_indices(len(x), len(x), 1)
    with torch.inference_mode():
        found: Tensor = peer(x[first], x[second]).flatten()
    return found


@pytest.mark.parametrize(
    "shape", [(3, 31, 31), (3, 64, 64), (3, 32, 48), (3, 71, 33), (1, 40, 40)], ids=str
)
def test_squared_distance_is_lpips(
    peer: Any, embedding: LpipsEmbedding, shape: tuple[int, ...]
) -> None:
    images = pictures(6, *shape)
    phi, logits = embedding(images)
    assert logits is None
    assert phi.dtype == torch.float32
    ours = torch.pdist(phi.double()).square()
    assert ours.tolist() == pytest.approx(every_pair(peer, images).tolist(), rel=1e-5)


def test_length_of_the_embedding(embedding: LpipsEmbedding) -> None:
    """64 x 15² + 192 x 7² + (384 + 256 + 256) x 3² numbers for 64 x 64 pixels."""
    assert embedding(pictures(3, 3, 64, 64))[0].shape == (3, 31_872)


def test_too_small_images_are_refused_and_not_resized(peer: Any, embedding: LpipsEmbedding) -> None:
    short = pictures(3, 3, 40, SMALLEST - 1)
    with pytest.raises(RuntimeError, match="too small"):
        every_pair(peer, short)
    with pytest.raises(NothingMeasured, match=r"31 x 31 pixels or more: these are 40 x 30"):
        embedding(short)
    assert embedding(pictures(3, 3, 40, SMALLEST))[0].isfinite().all()


def test_other_channels_are_refused(embedding: LpipsEmbedding) -> None:
    with pytest.raises(NothingMeasured, match="1 or 3 channels: these have 4"):
        embedding(torch.zeros(2, 4, 64, 64, dtype=torch.uint8))


def test_linear_weights_are_the_published_ones(linear: dict[str, Tensor]) -> None:
    assert sha256_file(linear_weights()) == LINEAR_SHA256
    assert all(value.min() >= 0 for value in linear.values())


def test_a_damaged_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "lpips"
    (package / module.LINEAR).parent.mkdir(parents=True)
    (package / "__init__.py").touch()
    monkeypatch.setattr(module, "find_spec", lambda _: Spec(package / "__init__.py"))
    with pytest.raises(WeightsError, match="missing or not the published"):
        linear_weights()
    (package / module.LINEAR).write_bytes(b"other weights")
    with pytest.raises(WeightsError, match="missing or not the published"):
        linear_weights()
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    with pytest.raises(WeightsError, match="Python package lpips: install it"):
        linear_weights()


class Spec:
    """Where a package would be found."""

    def __init__(self, origin: Path) -> None:
        self.origin = str(origin)


@pytest.fixture
def trunk_file(
    published: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A file in the place of the published trunk."""
    path = tmp_path / "alexnet.pth"
    torch.save(published, path)
    monkeypatch.setattr(module, "find_weights", lambda name: {"alexnet": path}[name])
    return path


def test_extractor_is_named_by_both_files(trunk_file: Path, embedding: LpipsEmbedding) -> None:
    extractor = lpips_alex()
    name, _, digest = extractor.id.partition(":")
    assert name == "lpips-alex@1"
    assert len(digest) == 64
    assert digest not in (LINEAR_SHA256, sha256_file(trunk_file))
    images = pictures(3, 3, 40, 40)
    features, logits = extractor(images)
    assert logits is None
    assert torch.equal(features, embedding(images)[0])

    other = torch.load(trunk_file, weights_only=True)
    other["features.0.bias"] += 1
    torch.save(other, trunk_file)
    assert lpips_alex().id != extractor.id


def test_a_trunk_without_a_layer_is_refused(
    published: dict[str, Tensor], linear: dict[str, Tensor]
) -> None:
    less = {name: value for name, value in published.items() if name != "features.6.bias"}
    with pytest.raises(RuntimeError, match=r"features\.6\.bias"):
        build(less, linear)
