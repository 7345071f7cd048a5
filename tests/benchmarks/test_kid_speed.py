"""The kernel distance over all pairs, against the customary subsets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from material import image_set

from kdbench.metrics.naming import shared_metric


def test_kernel_distance(race: Any) -> None:
    subsets = pytest.importorskip("torch_fidelity.metric_kid").kid_features_to_metric
    peers = pytest.importorskip("torchmetrics.image.kid")
    x, y = image_set(10_000, seed=1), image_set(10_000, seed=2)
    kid = shared_metric("kid")

    def with_torchmetrics() -> list[float]:
        """Its `compute` on features that are there: 100 subsets of 1,000."""
        found = []
        for _ in range(100):
            parts = [z.features[torch.randperm(len(z))[:1000]] for z in (x, y)]  # type: ignore[index]
            found.append(float(peers.poly_mmd(*parts)))
        return found

    race(
        lambda: kid(*map(replace, (x, y))),  # sets that nothing is remembered of
        peers={
            "torch-fidelity, 100 subsets of 1,000": lambda: subsets(
                x.features, y.features, verbose=False
            ),
            "torchmetrics, 100 subsets of 1,000": with_torchmetrics,
        },
        what="KID, 10,000 × 2,048 against as many",
        goal=2.0,
        note="over all pairs, with its standard error; peers draw subsets",
    )
