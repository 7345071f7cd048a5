"""The whole set of metrics: from images against collected peers, and beside the feature pass."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
import torch
from material import image_set, random_inception, random_lpips
from torch import Tensor

from kdbench.metrics import pairwise_lpips
from kdbench.metrics.base import ImageSet, Metric
from kdbench.metrics.measure import extract
from kdbench.metrics.naming import shared_metric

SET = (
    *("fd", "kid", "precision", "recall", "density", "coverage"),
    *("inception-score", "vendi", "vendi-q2", "feature-distance"),
)
"""What features alone are good for; each with its standard error."""

N, IMAGES, SIDE = 10_000, 200, 64


def measured(generated: ImageSet, reference: ImageSet) -> list[object]:
    metrics: list[Metric] = [shared_metric(name) for name in SET]
    return [metric(generated, *([reference] if metric.sets else [])) for metric in metrics]


class Peers:
    """The same values, most without a standard error, each from the package that has it."""

    def __init__(self) -> None:
        self.fid = pytest.importorskip("torch_fidelity.metric_fid")
        self.kid = pytest.importorskip("torch_fidelity.metric_kid")
        self.isc = pytest.importorskip("torch_fidelity.metric_isc")
        self.prdc = pytest.importorskip("prdc")
        self.vendi = pytest.importorskip("vendi_score.vendi")

    def frechet(self, x: ImageSet, y: ImageSet) -> object:
        parts = [self.fid.fid_features_to_statistics(part.features) for part in (x, y)]
        return self.fid.fid_statistics_to_metric(*parts, verbose=False)

    def kernel(self, x: ImageSet, y: ImageSet) -> object:
        size = min(1000, len(x))
        return self.kid.kid_features_to_metric(
            x.features, y.features, kid_subset_size=size, verbose=False
        )

    def inception_score(self, x: ImageSet) -> object:
        return self.isc.isc_features_to_metric(x.logits)

    def rest(self, x: ImageSet, y: ImageSet) -> list[object]:
        held, other = _held(x), _held(y)
        return [
            self.prdc.compute_prdc(other, held, 5),
            self.vendi.score_dual(held),
            self.vendi.score_dual(held, q=2),
            2 * np.cov(held, rowvar=False).trace(),
        ]

    def everything(self, x: ImageSet, y: ImageSet) -> list[object]:
        return [
            self.frechet(x, y),
            self.kernel(x, y),
            self.inception_score(x),
            *self.rest(x, y),
        ]


def _held(images: ImageSet) -> np.ndarray[Any, Any]:
    assert images.features is not None
    return images.features.numpy()


def test_after_the_features(race: Any, benchmark: Any) -> None:
    peers = Peers()
    pass_s = _seconds_an_image()
    race(
        lambda: measured(image_set(N, seed=1), image_set(N, seed=2)),
        peers={"collected": lambda: peers.everything(image_set(N, seed=1), image_set(N, seed=2))},
        what="Everything after the features, 10,000 × 2,048 against as many",
        goal=None,
        note="ours with standard errors, which for FD and Vendi take 61 eigenvalue problems; "
        "peers without, by `score_dual`",
        rounds=1,
    )
    own = benchmark.stats.stats.median
    benchmark.extra_info["share_of_feature_pass"] = own / (2 * N * pass_s)
    benchmark.extra_info["seconds_an_image"] = pass_s


def _seconds_an_image() -> float:
    """Of Inception-v3 at 299 × 299 on one thread."""
    network, images = random_inception(), torch.zeros(50, 3, SIDE, SIDE, dtype=torch.uint8)
    network(images[:10])
    start = time.perf_counter()
    network(images)
    return (time.perf_counter() - start) / len(images)


def test_from_the_images(race: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    peers, inception, (embedding, peer) = Peers(), random_inception(), random_lpips()
    monkeypatch.setattr(pairwise_lpips, "shared_extractor", lambda name: embedding)
    draw = torch.Generator().manual_seed(3)
    generated, reference = (
        torch.randint(0, 256, (IMAGES, 3, SIDE, SIDE), dtype=torch.uint8, generator=draw)
        for _ in range(2)
    )
    labels = torch.arange(IMAGES) % 10

    def seen(images: Tensor) -> ImageSet:
        return extract(inception, images, labels, chunk=50)

    def own() -> object:
        x = seen(generated)
        return [*measured(x, seen(reference)), pairwise_lpips.pairwise_lpips(x)]

    def lpips_in_batches() -> float:
        x, total = generated.float() / 127.5 - 1, 0.0
        with torch.inference_mode():
            for i in range(IMAGES - 1):
                left = x[i].expand(IMAGES - 1 - i, -1, -1, -1)
                total += float(peer(left, x[i + 1 :]).sum())
        return total

    def one_pass() -> object:
        return [*peers.everything(seen(generated), seen(reference)), lpips_in_batches()]

    def each_by_itself() -> object:
        return [
            peers.frechet(seen(generated), seen(reference)),
            peers.kernel(seen(generated), seen(reference)),
            peers.inception_score(seen(generated)),
            *peers.rest(seen(generated), seen(reference)),
            lpips_in_batches(),
        ]

    race(
        own,
        peers={
            "each metric with its own pass of the network": each_by_itself,
            "one pass that the user keeps": one_pass,
        },
        what=f"Full set from {IMAGES} + {IMAGES} images of {SIDE} × {SIDE}, pairwise LPIPS too",
        goal=3.0,
        against="each metric with its own pass of the network",
        note="FD, KID, IS, precision, recall, density, coverage, Vendi, pairwise LPIPS; peers' "
        "passes go through the same network",
        rounds=1,
    )
