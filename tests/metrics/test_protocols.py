"""Named protocols against the whole pipelines of the libraries whose numbers they are.

Both sides read the same files of random weights and the same few images, and run every step from
uint8 pixels to the printed number.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from torch import Tensor, nn

from kdbench import registry
from kdbench.cli import main
from kdbench.errors import UnknownName
from kdbench.metrics import image_sets, kid_subsets
from kdbench.metrics.collection import measure_images
from kdbench.metrics.features import base, clip
from kdbench.metrics.features.base import shared_extractor
from kdbench.metrics.features.inception import Inception, load_inception
from kdbench.metrics.features.resize import tf1_bilinear
from kdbench.metrics.measure import extract
from kdbench.metrics.naming import measured_name, parse_use, shared_metric
from kdbench.metrics.protocols import PROTOCOLS, protocol_metrics
from kdbench.store import sha256_file

sys.path.insert(0, str(Path(__file__).parent / "features"))

from random_weights import clip_archive, clip_state, inception_state, pickled, vgg16_state

pytestmark = pytest.mark.filterwarnings(
    "ignore:Metric .* will save all extracted features:UserWarning",
    "ignore:The `disp` argument is deprecated:DeprecationWarning",
    "ignore:Matrix is singular",
)

SIDE = 24
"""Pixels; the networks' own sizes are what takes the time."""


def images(n: int, seed: int) -> Tensor:
    """Smooth random pictures, uint8 (n, 3, SIDE, SIDE); those of later seeds are darker."""
    coarse = torch.rand(n, 3, 5, 5, generator=torch.Generator().manual_seed(seed))
    smooth = nn.functional.interpolate(coarse, SIDE, mode="bicubic").clamp(0, 1)
    return (smooth ** (1 + seed) * 255).round().byte()


GENERATED, REAL = images(20, 0), images(6, 1)
SUBSET = 6
"""Images of a subset of KID, instead of 1,000."""


class Files:
    """Files of random weights, by the name of the weights they stand for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.known: dict[str, Path] = {}

    def add(self, name: str, data: bytes) -> Path:
        """Write a file once and let extractors find it."""
        if name not in self.known:
            path = self.folder / name
            path.write_bytes(data)
            self.known[name] = path
        return self.known[name]

    def id(self, name: str) -> str:
        """As `weights_id`."""
        return f"{name}:{sha256_file(self.known[name])}"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Files]:
    """Where extractors find weights in this module; chunks are no larger than the sets here."""
    found = Files(tmp_path_factory.mktemp("weights"))
    shared_extractor.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        for module in (base, clip):
            patch.setattr(module, "find_weights", found.known.__getitem__)
        patch.setattr(base, "weights_id", found.id)
        patch.setattr(image_sets, "extract", lambda *given, chunk: extract(*given, chunk=2))
        yield found
    shared_extractor.cache_clear()


@pytest.fixture(scope="module")
def inception(files: Files) -> Path:
    """FID's network."""
    return files.add("inception-v3-compat", pickled(inception_state()))


@pytest.fixture
def small_subsets(monkeypatch: pytest.MonkeyPatch) -> None:
    """KID over subsets of few images."""
    monkeypatch.setattr(kid_subsets, "SIZE", SUBSET)


def ours(*metrics: str, generated: Tensor = GENERATED, real: Tensor = REAL) -> list[float]:
    """Values in the order of the names."""
    found = measure_images(metrics, generated, others={"reference": real})
    values = [estimate.value for estimate in found.values() if estimate.value is not None]
    assert len(values) == len(metrics), [estimate.reason for estimate in found.values()]
    return values


class Pictures(torch.utils.data.Dataset[Tensor]):
    """What torch-fidelity takes."""

    def __init__(self, held: Tensor) -> None:
        self.held = held

    def __len__(self) -> int:
        return len(self.held)

    def __getitem__(self, i: int) -> Tensor:
        return self.held[i]


def torch_fidelity(generated: Tensor, real: Tensor, weights: Path, **wanted: Any) -> dict[str, Any]:
    from torch_fidelity import calculate_metrics

    found: dict[str, Any] = calculate_metrics(
        input1=Pictures(generated),
        input2=Pictures(real),
        feature_extractor_weights_path=str(weights),
        cuda=False,
        cache=False,
        verbose=False,
        save_cpu_ram=True,
        batch_size=2,
        **wanted,
    )
    return found


# ---------------------------------------------------------------- torch-fidelity


def test_fid_kid_and_inception_score_are_torch_fidelitys(
    inception: Path, small_subsets: None
) -> None:
    theirs = torch_fidelity(
        GENERATED, REAL, inception, fid=True, isc=True, kid=True, kid_subset_size=SUBSET
    )
    names = protocol_metrics("torch-fidelity")[:3]
    fid, kid, score = ours(*names)
    # Its eigenvalues of a singular product have rounding noise, and its kernel is in float32.
    assert fid == pytest.approx(theirs["frechet_inception_distance"], rel=1e-5)
    assert kid == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-4)
    assert score == pytest.approx(theirs["inception_score_mean"], rel=1e-9)


def test_precision_and_recall_are_torch_fidelitys(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = files.add("vgg16", pickled(vgg16_state()))
    for draw in ("kaiming_uniform_", "kaiming_normal_", "normal_"):  # the peer's first weights
        monkeypatch.setattr(nn.init, draw, lambda tensor, *_, **__: tensor)
    generated, real = GENERATED[:6], torch.cat([GENERATED[:3], GENERATED[6:9] // 3])
    theirs = torch_fidelity(generated, real, weights, prc=True)
    found = ours(*protocol_metrics("torch-fidelity")[3:], generated=generated, real=real)
    assert found == pytest.approx([theirs["precision"], theirs["recall"]], rel=1e-6)  # float32
    assert 0 < found[1] < found[0]


# ---------------------------------------------------------------- clean-fid


FEW = GENERATED[:8]
DIMENSIONS = 64
"""Features that are compared: clean-fid's matrix root takes 10 seconds with all 2,048."""


@pytest.fixture
def folders(tmp_path: Path) -> tuple[str, str]:
    """The real and the generated images as PNG files."""
    found = []
    for name, held in (("real", REAL), ("generated", FEW)):
        (tmp_path / name).mkdir()
        for i, image in enumerate(held):
            Image.fromarray(image.permute(1, 2, 0).numpy()).save(tmp_path / name / f"{i:03}.png")
        found.append(str(tmp_path / name))
    return found[0], found[1]


def test_fid_and_kid_are_clean_fids(
    inception: Path, small_subsets: None, folders: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of its code but the TorchScript file, for which the same network stands in."""
    peer = pytest.importorskip("cleanfid.fid")
    layers: Any = load_inception("any@1", resize=tf1_bilinear).network.layers
    forward = Inception.forward
    monkeypatch.setattr(
        Inception, "forward", lambda *given: (forward(*given)[0][:, :DIMENSIONS], None)
    )
    seen: list[Any] = []

    def network(x: Tensor) -> Tensor:  # the lines of its InceptionV3W.forward
        features: Tensor = layers((x - 128) / 128).flatten(1)
        return features[:, :DIMENSIONS]

    def keep(*given: Any, **settings: Any) -> Any:
        seen.append(genuine(*given, **settings))
        return seen[-1]

    genuine = peer.get_folder_features
    monkeypatch.setattr(peer, "get_folder_features", keep)
    fid = peer.compute_fid(
        *folders, custom_feat_extractor=network, num_workers=0, device="cpu", verbose=False
    )
    np.random.seed(2020)
    kid = peer.kernel_distance(*seen, max_subset_size=SUBSET)
    found = ours(*protocol_metrics("clean-fid")[:2], generated=FEW)
    assert found == [pytest.approx(fid, rel=1e-5), pytest.approx(kid, rel=1e-4)]


def test_clip_distance_is_clean_fids(
    files: Files, folders: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of its code, with a small tower in the place of OpenAI's package and of ours."""
    shape = clip.tower(size=224, patch=32, width=64, depth=1, features=16)
    state = clip_state(shape)
    monkeypatch.setattr(clip, "VIT_B32", shape)
    files.add("clip-vit-b32", clip_archive(state))
    theirs: Any = ModuleType("clip")
    model: Any = nn.Identity()
    model.encode_image = clip.clip_tower(state, shape)
    theirs.load = lambda name, device: (model, None)
    monkeypatch.setitem(sys.modules, "clip", theirs)
    peer = pytest.importorskip("cleanfid.fid")
    expected = peer.compute_fid(
        *folders, model_name="clip_vit_b_32", num_workers=0, device="cpu", verbose=False
    )
    (found,) = ours(protocol_metrics("clean-fid")[2], generated=FEW)
    assert found == pytest.approx(expected, rel=1e-5)


# ---------------------------------------------------------------- torchmetrics


class Part(nn.Module):
    """One output of a network that sees each image once for all metrics."""

    def __init__(self, outputs: Callable[[Tensor], tuple[Tensor, ...]], part: int) -> None:
        super().__init__()
        self.outputs, self.part = outputs, part
        self.num_features = 2048

    def forward(self, held: Tensor) -> Tensor:
        return self.outputs(held)[self.part]


def test_fid_kid_and_inception_score_are_torchmetrics(inception: Path, small_subsets: None) -> None:
    peer = pytest.importorskip("torchmetrics.image")
    module = pytest.importorskip("torchmetrics.image.fid")
    layers = ["2048", "logits_unbiased"]
    network = module.NoTrainInceptionV3("inception-v3-compat", layers, str(inception))
    known: dict[int, tuple[Tensor, ...]] = {}

    def outputs(held: Tensor) -> tuple[Tensor, ...]:
        if len(held) not in known:
            known[len(held)] = network._torch_fidelity_forward(held)
        return known[len(held)]

    fid = peer.FrechetInceptionDistance(feature=Part(outputs, 0))
    kid = peer.KernelInceptionDistance(feature=Part(outputs, 0), subset_size=SUBSET)
    score = peer.InceptionScore(feature=Part(outputs, 1))
    for metric in (fid, kid):
        metric.update(REAL, real=True)
        metric.update(GENERATED, real=False)
    score.update(GENERATED)
    expected = [float(fid.compute())]
    for metric in (kid, score):
        torch.manual_seed(2020)
        expected.append(float(metric.compute()[0]))
    found = ours(*protocol_metrics("torchmetrics"))
    assert found[0] == pytest.approx(expected[0], rel=1e-5)
    assert found[1] == pytest.approx(expected[1], rel=1e-4)
    assert found[2] == pytest.approx(expected[2], rel=1e-6)


# ---------------------------------------------------------------- names


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_metric_of_a_protocol_can_be_asked_for(name: str) -> None:
    for metric in protocol_metrics(name):
        use = parse_use(metric, n=1)
        assert measured_name(shared_metric(use.metric), use) == f"{metric}@1"
        registry.extractors.resolve(use.extractor or str(shared_metric(use.metric).extractor))


def test_a_protocol_says_whose_numbers_it_gives() -> None:
    assert list(PROTOCOLS) == ["clean-fid", "torch-fidelity", "torchmetrics"]
    for name, protocol in PROTOCOLS.items():
        assert protocol.name == name
        assert re.fullmatch(rf"{name} \d+\.\d+\.\d+", protocol.package)
        assert protocol.deviations
    described = json.loads(CliRunner().invoke(main, ["list", "protocols", "--json"]).stdout)
    assert [one["name"] for one in described] == [*PROTOCOLS, "matlab-y", "ntire", "rgb"]
    assert {"summary", "package", "settings", "metrics", "deviations"} < set(described[0])


@pytest.mark.parametrize(
    ("name", "close"),
    [("torchfidelity", "'torch-fidelity'"), ("torch-metrics", "'torchmetrics'"), ("fid", "")],
)
def test_an_unknown_protocol_gets_the_closest_names(name: str, close: str) -> None:
    with pytest.raises(UnknownName, match="kdbench list protocols") as caught:
        protocol_metrics(name)
    assert f"Did you mean {close}" in str(caught.value) or not close
    assert caught.value.exit_code == 2
