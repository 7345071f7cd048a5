"""FID's network against torch-fidelity, torchmetrics and clean-fid on one file of weights."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from random_weights import publish
from torch import Tensor

from kdbench.errors import BadSpec
from kdbench.metrics.features.base import Extractor
from kdbench.metrics.features.inception import (
    WEIGHTS,
    Inception,
    inception_v3_compat,
    inception_v3_compat_antialias,
    inception_v3_compat_clean,
    published_layers,
)
from kdbench.store import sha256_file


@pytest.fixture(scope="module")
def weights(inception_file: Path) -> Iterator[Path]:
    """The file that our extractors, and the peers, read."""
    with pytest.MonkeyPatch.context() as patch:
        publish(patch, WEIGHTS, inception_file)
        yield inception_file


@pytest.fixture(scope="module")
def compat(weights: Path) -> Extractor:
    return inception_v3_compat()


@pytest.fixture(scope="module")
def fidelity(weights: Path) -> Any:
    """torch-fidelity's own extractor."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    layers = ["2048", "logits_unbiased"]
    return FeatureExtractorInceptionV3("inception-v3-compat", layers, str(weights))


def test_features_and_logits_are_torch_fidelitys(
    compat: Extractor, fidelity: Any, photos: Tensor
) -> None:
    features, logits = compat(photos)
    expected_features, expected_logits = fidelity(photos)
    assert torch.equal(features, expected_features)
    assert logits is not None
    assert torch.equal(logits, expected_logits)
    assert features.shape == (2, 2048)
    assert logits.shape == (2, 1008)
    assert (features[0] - features[1]).abs().max() > 0.01  # two pictures are told apart


def test_antialias_is_torchmetrics(weights: Path, photos: Tensor) -> None:
    fid = pytest.importorskip("torchmetrics.image.fid")
    metric = fid.FrechetInceptionDistance(feature=2048, feature_extractor_weights_path=str(weights))
    assert torch.equal(inception_v3_compat_antialias()(photos)[0], metric.inception(photos))


@pytest.mark.usefixtures("weights")
def test_clean_is_clean_fids_resize_in_the_same_network(photos: Tensor) -> None:
    resizer = pytest.importorskip("cleanfid.resize").build_resizer("clean")
    resized = torch.stack(
        [torch.from_numpy(resizer(image.permute(1, 2, 0).numpy())) for image in photos]
    )
    extractor = inception_v3_compat_clean()
    assert isinstance(extractor.network, Inception)
    pixels = (resized.permute(0, 3, 1, 2).contiguous() - 128) / 128
    expected = extractor.network.layers(pixels).flatten(1)
    assert torch.equal(extractor(photos)[0], expected)


def test_one_file_and_three_names(weights: Path) -> None:
    ids = [
        make().id
        for make in (inception_v3_compat, inception_v3_compat_clean, inception_v3_compat_antialias)
    ]
    names, hashes = zip(*(found.split(":") for found in ids), strict=True)
    assert names == (
        "inception-v3-compat@1",
        "inception-v3-compat-clean@1",
        "inception-v3-compat-antialias@1",
    )
    assert set(hashes) == {sha256_file(weights)}


def test_grey_images_are_their_three_equal_channels(compat: Extractor, photos: Tensor) -> None:
    grey = photos[:1, :1]
    assert torch.equal(compat(grey)[0], compat(grey.repeat(1, 3, 1, 1))[0])


def test_without_torch_fidelity_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    with pytest.raises(BadSpec, match="need torch-fidelity"):
        published_layers()
