"""The LPIPS embedding against the package lpips, on one random trunk of each kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from kdbench.errors import NothingMeasured, WeightsError
from kdbench.metrics.features import lpips as module
from kdbench.metrics.features.lpips import (
    ALEX,
    SQUEEZE,
    VGG,
    LpipsEmbedding,
    Trunk,
    build,
    linear_weights,
)
from kdbench.store import sha256_file

lpips = pytest.importorskip("lpips")

pytestmark = pytest.mark.filterwarnings("ignore:.*weights.*:UserWarning:torchvision")

TRUNKS = [pytest.param(trunk, id=trunk.name) for trunk in (ALEX, VGG, SQUEEZE)]


@pytest.fixture(scope="module", params=TRUNKS)
def trunk(request: pytest.FixtureRequest) -> Trunk:
    found: Trunk = request.param
    return found


@pytest.fixture(scope="module")
def peer(trunk: Trunk) -> Any:
    """LPIPS with random weights in its trunk and the published linear ones."""
    torch.manual_seed(5)
    return lpips.LPIPS(net=trunk.name, pnet_rand=True, verbose=False)


@pytest.fixture(scope="module")
def published(peer: Any) -> dict[str, Tensor]:
    """Its trunk under torchvision's names, with something of a classifier."""
    state = {  # slice2.3.weight, slice2.3.squeeze.bias
        f"features.{name.partition('.')[2]}": value for name, value in peer.net.state_dict().items()
    }
    return state | {"classifier.6.bias": torch.zeros(1000)}


def linear(trunk: Trunk) -> dict[str, Tensor]:
    path = linear_weights(trunk)
    found: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return found


@pytest.fixture(scope="module")
def embedding(trunk: Trunk, published: dict[str, Tensor]) -> LpipsEmbedding:
    return build(trunk, published, linear(trunk))


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
    "shape", [(3, 31, 31), (3, 64, 64), (3, 48, 32), (3, 71, 33), (1, 40, 40)], ids=str
)
def test_squared_distance_is_lpips(
    peer: Any, embedding: LpipsEmbedding, shape: tuple[int, ...]
) -> None:
    images = pictures(4, *shape)
    phi, logits = embedding(images)
    assert logits is None
    assert phi.dtype == torch.float32
    ours = torch.pdist(phi.double()).square()
    theirs = every_pair(peer, images)
    assert float(theirs.min()) > 0.01
    assert ours.tolist() == pytest.approx(theirs.tolist(), rel=1e-6, abs=0)


def test_length_of_the_embedding(trunk: Trunk, embedding: LpipsEmbedding) -> None:
    """Channels times places of each tap, for 64 x 64 pixels."""
    expected = {
        "alex": 64 * 15**2 + 192 * 7**2 + (384 + 256 + 256) * 3**2,
        "vgg": 64 * 64**2 + 128 * 32**2 + 256 * 16**2 + 512 * 8**2 + 512 * 4**2,
        "squeeze": 64 * 31**2 + 128 * 15**2 + 256 * 7**2 + (384 + 384 + 512 + 512) * 3**2,
    }
    assert embedding(pictures(3, 3, 64, 64))[0].shape == (3, expected[trunk.name])


def test_too_small_images_are_refused_and_not_resized(
    trunk: Trunk, peer: Any, embedding: LpipsEmbedding
) -> None:
    side = trunk.smallest
    short = pictures(3, 3, 40, side - 1)
    with pytest.raises(RuntimeError, match="too small"):
        every_pair(peer, short)
    with pytest.raises(NothingMeasured, match=f"{side} x {side} .*more: these are 40 x {side - 1}"):
        embedding(short)
    assert embedding(pictures(3, 3, 40, side))[0].isfinite().all()


def test_other_channels_are_refused(embedding: LpipsEmbedding) -> None:
    with pytest.raises(NothingMeasured, match="1 or 3 channels: these have 4"):
        embedding(torch.zeros(2, 4, 64, 64, dtype=torch.uint8))


def test_linear_weights_are_the_published_ones(trunk: Trunk) -> None:
    assert sha256_file(linear_weights(trunk)) == trunk.linear_sha256
    assert len(linear(trunk)) == len(trunk.taps)
    assert all(value.min() >= 0 for value in linear(trunk).values())


def test_a_damaged_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "lpips"
    (package / module.LINEAR).mkdir(parents=True)
    (package / "__init__.py").touch()
    monkeypatch.setattr(module, "find_spec", lambda _: Spec(package / "__init__.py"))
    with pytest.raises(WeightsError, match="missing or not the published"):
        linear_weights(ALEX)
    (package / module.LINEAR / "alex.pth").write_bytes(b"other weights")
    with pytest.raises(WeightsError, match="missing or not the published"):
        linear_weights(ALEX)
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    with pytest.raises(WeightsError, match="Python package lpips: install it"):
        linear_weights(ALEX)


class Spec:
    """Where a package would be found."""

    def __init__(self, origin: Path) -> None:
        self.origin = str(origin)


def test_extractor_is_named_by_both_files(
    trunk: Trunk,
    published: dict[str, Tensor],
    embedding: LpipsEmbedding,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "published.pth"
    torch.save(published, path)
    monkeypatch.setattr(module, "find_weights", lambda name: {trunk.weights: path}[name])
    make = getattr(module, f"lpips_{trunk.name}")
    extractor = make()
    name, _, digest = extractor.id.partition(":")
    assert name == f"lpips-{trunk.name}@1"
    assert len(digest) == 64
    assert digest not in (trunk.linear_sha256, sha256_file(path))
    images = pictures(3, 3, 40, 40)
    features, logits = extractor(images)
    assert logits is None
    assert torch.equal(features, embedding(images)[0])

    torch.save(published | {"features.0.bias": published["features.0.bias"] + 1}, path)
    assert make().id != extractor.id


def test_a_trunk_without_a_layer_is_refused(trunk: Trunk, published: dict[str, Tensor]) -> None:
    last = [name for name in published if name.startswith("features.")][-1]
    less = {name: value for name, value in published.items() if name != last}
    with pytest.raises(RuntimeError, match=last.partition(".")[2]):
        build(trunk, less, linear(trunk))
