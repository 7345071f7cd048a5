"""What a device can do: honest work stays below it, and times of no work do not."""

from __future__ import annotations

import subprocess
import sys
from time import perf_counter

import pytest
import torch
from cost_subjects import CPU
from torch import nn

from kdbench.costs.plausible import (
    CACHED_BYTES,
    TOLERANCE,
    Ceiling,
    ceiling,
    check_speedup,
    plausible_marks,
)

MEASURED = ceiling(CPU, torch.float32, 1)
EVEN = Ceiling(macs_per_s=1e9, bytes_per_s=1e9)


def fastest_ms(network: nn.Module, x: torch.Tensor) -> float:
    """Of ten calls: what comes nearest to the ceiling."""
    times = []
    with torch.inference_mode():
        for _ in range(10):
            start = perf_counter()
            network(x)
            times.append((perf_counter() - start) * 1e3)
    return min(times)


def test_the_ceiling_is_that_of_a_computer_of_these_years() -> None:
    assert 1e9 < MEASURED.macs_per_s < 1e14
    assert 1e9 < MEASURED.bytes_per_s < 1e13


def test_it_is_measured_once_and_leaves_the_threads_alone() -> None:
    threads, start = torch.get_num_threads(), perf_counter()
    assert ceiling(CPU, torch.float32, 1) is MEASURED
    assert perf_counter() - start < 0.1
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize(
    ("network", "x", "macs"),
    [
        (nn.Conv2d(64, 64, 3, padding=1), torch.randn(4, 64, 64, 64), 4 * 64 * 64 * 64 * 64 * 9),
        (nn.Linear(1024, 1024), torch.randn(1024, 1024), 1024**3),
    ],
)
def test_honest_work_is_plausible_and_a_fiftieth_of_its_time_is_not(
    network: nn.Module, x: torch.Tensor, macs: int
) -> None:
    ms = fastest_ms(network, x)
    again = ceiling.__wrapped__(CPU, torch.float32, 1)  # the machine may have been busy before
    best = Ceiling(max(MEASURED.macs_per_s, again.macs_per_s), again.bytes_per_s)
    assert plausible_marks(ms, macs, 0, best) == []
    assert plausible_marks(ms / 50, macs, 0, best) == ["implausible"]


@pytest.mark.slow
def test_honest_reading_of_large_weights_is_plausible() -> None:
    layer, x = nn.Linear(8192, 4096), torch.randn(1, 8192)
    size = 4 * 8192 * 4096
    ms = fastest_ms(layer, x)
    assert plausible_marks(ms, 0, size, MEASURED) == []
    assert plausible_marks(ms / 50, 0, size, MEASURED) == ["implausible"]


def test_arithmetic_has_a_tolerance() -> None:
    assert plausible_marks(1.0, 0.99e6 * TOLERANCE, 0, EVEN) == []
    assert plausible_marks(1.0, 1.01e6 * TOLERANCE, 0, EVEN) == ["implausible"]


def test_weights_that_a_cache_may_hold_have_no_floor() -> None:
    assert plausible_marks(1.0, 0, CACHED_BYTES, EVEN) == []
    assert plausible_marks(1.0, 0, CACHED_BYTES + 1, EVEN) == ["implausible"]


def test_weights_are_read_in_each_evaluation() -> None:
    size = CACHED_BYTES + 1
    once_ms = size / 1e9 / TOLERANCE * 1e3
    assert plausible_marks(1.01 * once_ms, 0, size, EVEN) == []
    assert plausible_marks(1.01 * once_ms, 0, size, EVEN, evaluations=2) == ["implausible"]
    assert plausible_marks(2.02 * once_ms, 0, size, EVEN, evaluations=2) == []


def test_a_speedup_beyond_the_operations_saved_is_marked() -> None:
    assert check_speedup(1.49 * 35, 35) == []
    assert check_speedup(1.51 * 35, 35) == ["faster_than_macs"]
    assert check_speedup(0.5, 4) == []


def test_it_is_known_without_torch() -> None:
    code = "import sys, kdbench.costs.plausible; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
