"""The Vendi score, against the package of its authors."""

from __future__ import annotations

from typing import Any

import pytest
from material import features

from kdbench.metrics.vendi import vendi_score


def test_vendi_score(race: Any) -> None:
    peer = pytest.importorskip("vendi_score.vendi")
    x = features(5_000, seed=1, d=1024)
    single, double = x.numpy(), x.double().numpy()
    assert vendi_score(x) == pytest.approx(peer.score_dual(double), rel=1e-9)
    race(
        lambda: vendi_score(x),
        peers={
            "vendi-score, score_X in float64": lambda: peer.score_X(double),
            "vendi-score, score_X in float32": lambda: peer.score_X(single),
            "vendi-score, score_dual in float64": lambda: peer.score_dual(double),
        },
        what="Vendi score, 5,000 × 1,024",
        goal=50.0,
        against="vendi-score, score_X in float64",
        note="ours is in float64 and takes the smaller of both forms by itself; `score_X` is the "
        "package's function for features, `score_dual` its form for those who know that D < N",
    )
