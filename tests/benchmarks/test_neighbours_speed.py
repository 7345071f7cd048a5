"""Precision, recall, density and coverage, against whole distance matrices; and their memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from material import features

from kdbench.metrics.neighbours import neighbours

N, K = 10_000, 5


def test_precision_recall_density_coverage(race: Any, benchmark: Any) -> None:
    prdc = pytest.importorskip("prdc")
    fidelity = pytest.importorskip("torch_fidelity.metric_prc")
    x, y = features(N, seed=1), features(N, seed=2)
    own, peer = neighbours(x, y, ks=(K,))[K], prdc.compute_prdc(y.numpy(), x.numpy(), K)
    for name, value in peer.items():
        assert getattr(own, name) == pytest.approx(float(value), abs=2e-4)
    race(
        lambda: neighbours(x, y, ks=(K,)),
        peers={
            "prdc": lambda: prdc.compute_prdc(y.numpy(), x.numpy(), K),
            "torch-fidelity (precision and recall alone)": lambda: (
                fidelity.calculate_precision_recall_full(x, y, K)
            ),
        },
        what="Precision, recall, density, coverage, 10,000 × 2,048, k = 5",
        goal=2.5,
    )
    benchmark.extra_info["peak_mb"] = {
        name: peak(work)
        for name, work in {
            "kdbench": "from kdbench.metrics.neighbours import neighbours as f; "
            "work = lambda: f(x, y, ks=(5,))",
            "prdc": "from prdc import compute_prdc as f; work = lambda: f(y.numpy(), x.numpy(), 5)",
        }.items()
    }


def peak(work: str) -> float:
    """Megabytes at the peak of `work` beyond what the features themselves take."""
    script = f"""
import sys, re, torch
sys.path.insert(0, {str(Path(__file__).parent)!r})
from material import features
torch.set_num_threads(1)
def status(name):
    return int(re.search(name + r":\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1000
x, y = features({N}, seed=1), features({N}, seed=2)
{work}
open("/proc/self/clear_refs", "w").write("5")
before = status("VmRSS")
work()
print(status("VmHWM") - before)
"""
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    return float(found.stdout.splitlines()[-1])
