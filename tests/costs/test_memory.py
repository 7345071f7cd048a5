"""Peak memory of calls that allocate a known amount."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from cost_subjects import Recorder, Squares, subject

from kdbench.costs import memory
from kdbench.costs.boundary import inputs_for

INPUTS = inputs_for(Squares(), (1,)).take(slice(4))

linux = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc")


@linux
def test_a_transient_allocation_is_the_increment() -> None:
    peak = memory.host_peak(lambda: torch.ones(64 * 2**18) is None)
    assert peak.peak_mib - peak.baseline_mib == pytest.approx(64, abs=2)


@linux
def test_an_earlier_peak_is_forgotten() -> None:
    torch.ones(128 * 2**18)
    peak = memory.host_peak(lambda: None)
    assert peak.peak_mib - peak.baseline_mib < 2


@linux
def test_cost_tells_baseline_and_increment_apart() -> None:
    class Greedy(Recorder):
        def __call__(self, inputs: object) -> torch.Tensor:
            block = torch.ones(32 * 2**18)
            return super().__call__(inputs) * block[0]  # type: ignore[arg-type]

    cost = memory.peak_memory(subject(Greedy()), INPUTS, config_key="k")
    baseline, increment = cost.details["baseline_mib"], cost.details["increment_mib"]
    assert isinstance(baseline, float)
    assert increment == pytest.approx(32, abs=2)
    assert cost.value == pytest.approx(baseline + 32, abs=2)
    assert cost.batch == 4


def test_without_proc_there_is_a_reason_and_no_value(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(memory, "_PROC", tmp_path / "absent")
    cost = memory.peak_memory(subject(Recorder()), INPUTS, config_key="k")
    assert cost.value is None
    assert cost.reason is not None
    assert "cannot be read" in cost.reason
