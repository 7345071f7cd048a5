"""VGG-16's second hidden layer against torch-fidelity on one file of weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from random_weights import pickled, vgg16_state
from torch import Tensor, nn

from kdbench.metrics.features.vgg16 import WEIGHTS, vgg16_fc2

Publish = Callable[[str, bytes], Path]


def test_features_are_torch_fidelitys(
    published: Publish, photos: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch_fidelity.feature_extractor_vgg16 import FeatureExtractorVGG16

    for draw in ("kaiming_uniform_", "kaiming_normal_", "normal_"):  # the peer's first weights
        monkeypatch.setattr(nn.init, draw, lambda tensor, *_, **__: tensor)
    path = published(WEIGHTS, pickled(vgg16_state()))
    expected = FeatureExtractorVGG16("vgg16", ["fc2_relu"], str(path))(photos[:1])[0]
    extractor = vgg16_fc2()
    features, logits = extractor(photos[:1])
    assert torch.equal(features, expected)
    assert features.shape == (1, 4096)
    assert logits is None
    assert 0.1 < (features > 0).float().mean() < 0.9
    assert extractor.id.startswith("vgg16-fc2@1:")
