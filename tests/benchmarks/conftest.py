"""Own code and its peers timed in turn, in one process and one run; nothing is asserted of a time.

`make speed` runs all of it and writes the page of the documentation; see `speed_page.py`.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))  # for `material`

ROUNDS = 3
PACKAGED = (
    *("torch", "numpy", "scipy", "pillow", "torch-fidelity", "torchmetrics", "prdc", "lpips"),
    *("vendi-score", "scikit-image"),
)
PACKAGES = ", ".join(f"{name} {version(name)}" for name in PACKAGED)
Work = Callable[[], object]


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def race(benchmark: Any) -> Callable[..., None]:
    """Time `own` with the benchmark and every peer in turn before each round of it.

    The ratio is to the fastest peer, or to the one that `against` names.
    """

    def run(
        own: Work,
        *,
        peers: dict[str, Work],
        what: str,
        goal: float | None,
        against: str | None = None,
        note: str = "",
        rounds: int = ROUNDS,
    ) -> None:
        times: dict[str, list[float]] = {name: [] for name in peers}

        def in_turn() -> tuple[tuple[()], dict[str, object]]:
            for name, peer in peers.items():
                start = time.perf_counter()
                peer()
                times[name].append(time.perf_counter() - start)
            return (), {}

        benchmark.pedantic(own, setup=in_turn, rounds=rounds, iterations=1)
        medians = {name: statistics.median(found) for name, found in times.items()}
        best = against or min(medians, key=lambda name: medians[name])
        benchmark.extra_info.update(
            what=what,
            peers_s=medians,
            against=best,
            ratio=medians[best] / benchmark.stats.stats.median,
            goal=goal,
            note=note,
            packages=PACKAGES,
        )

    return run
