"""Feature cosine against scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics.pairwise import paired_cosine_distances

from kdbench.errors import NothingMeasured
from kdbench.metrics import feature_cosine as module

feature_cosine: Any = module.feature_cosine


def test_equals_scikit_learn() -> None:
    x, y = torch.randn(2, 60, 500, generator=torch.Generator().manual_seed(0))
    y = x + 0.5 * y
    expected = 1 - paired_cosine_distances(x.double().numpy(), y.double().numpy())
    np.testing.assert_allclose(feature_cosine(x, y).numpy(), expected, rtol=0, atol=1e-12)


def test_ends_of_the_scale_and_no_length() -> None:
    x = torch.randn(30, 8, generator=torch.Generator().manual_seed(0))
    scales = torch.logspace(-15, 15, 30)[:, None]
    assert feature_cosine(x, scales * x).tolist() == pytest.approx([1.0] * 30)
    assert feature_cosine(x, -x).tolist() == pytest.approx([-1.0] * 30)
    assert feature_cosine(x, x).max() <= 1


def test_what_is_no_pair_of_features_is_refused() -> None:
    x = torch.ones(3, 4)
    images = torch.zeros(3, 1, 8, 8, dtype=torch.uint8)
    for pair in ((images, images), (x, x[:2]), (x, x[:, :3])):
        with pytest.raises(NothingMeasured, match="belong to their targets"):
            feature_cosine(*pair)
    for bad in (0.0, torch.nan, torch.inf):
        broken = x.clone()
        broken[1] = bad
        with pytest.raises(NothingMeasured, match="no direction"):
            feature_cosine(x, broken)
