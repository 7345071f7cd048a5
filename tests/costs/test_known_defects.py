"""Defects that were seen in other tools that measure or count, each as a test that ours passes.

1. Times of steps leak from one call into the next: `test_what_follows_a_network_is_not_in_it`.
2. The parent spins, trusts a predictable file, unpickles it, and its child always ends with 0:
   `test_a_parent_that_waits_uses_no_processor_and_believes_no_exit_code`; see also `test_run.py`.
3. A stop rule that reads the clock without waiting for the device: `test_no_time_is_read_early`.
4. Rows that get lost, times rounded to 0: `test_a_short_time_is_no_zero`,
   `test_what_fails_keeps_its_row`.
5. Perceptual path length that fails on NumPy 2.4 and later: `test_path_length_needs_no_old_numpy`.
6. Transposed convolutions counted on the larger grid: `test_transposed_convolutions_by_hand`.
7. One thread whatever the machine has, and not said: `test_threads_are_said_and_so_set`.
8. The old checkpoint deleted before the new one is written: `test_a_full_disk_leaves_a_checkpoint`.
9. torch and torchvision built for different devices: `test_doctor_sees_builds_that_do_not_match`.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from cost_subjects import CPU, Convolver, Decoded, Recorder, Squares, pool, subject
from torch import Tensor, nn

from kdbench import doctor
from kdbench.costs import timing
from kdbench.costs.boundary import Core, EndToEnd
from kdbench.costs.config import config_key, config_of
from kdbench.costs.effort import Effort
from kdbench.costs.latency import latency
from kdbench.costs.macs import count_macs
from kdbench.costs.profiles import GLANCE
from kdbench.costs.run import Outcome, measure_figure
from kdbench.costs.session import Program, Session
from kdbench.costs.timing import time_rounds
from kdbench.costs.variant import Variant
from kdbench.errors import StoreError
from kdbench.metrics.path_length import path_length
from kdbench.training import checkpoint

SHORT = Effort(
    warmup_min_s=0, warmup_max_s=0.05, rounds_min=20, measure_min_s=0.05, measure_max_s=0.3
)


def test_what_follows_a_network_is_not_in_it() -> None:
    core = Core(Decoded(calls=4, decode_ms=20), Squares(), CPU)
    rounds = time_rounds(core, pool(boundary=core), 1, SHORT)
    cost = latency(core, rounds, batch=1, config_key="k")
    assert cost.value is not None
    assert cost.value < 5
    assert cost.details["p90"] < 5  # type: ignore[operator]


def test_a_parent_that_waits_uses_no_processor_and_believes_no_exit_code() -> None:
    before = time.process_time()
    ends = [sys.executable, "-c", "import time; time.sleep(1)"]
    outcome = measure_figure(
        {"figure": "latency", "build": {}, "machine": "h:1"}, timeout_s=60, command=ends
    )
    assert time.process_time() - before < 0.2
    assert (outcome.status, outcome.reason) == ("failed", "the process ended without a result")


def test_no_time_is_read_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that works off its queue only when it is waited for: 1,000 ns a call."""
    clock = [0]
    queued = [0]

    class Queue(EndToEnd):
        def synchronise(self) -> None:
            clock[0] += 1000 * queued[0]
            queued[0] = 0

        def __call__(self, given: object) -> Tensor:
            queued[0] += 1
            return super().__call__(given)  # type: ignore[arg-type]

    monkeypatch.setattr(timing, "perf_counter_ns", lambda: clock[0])
    effort = Effort(
        warmup_min_s=0, warmup_max_s=2e-5, rounds_min=10**6, rounds_max=10**6,
        measure_min_s=0, measure_max_s=1e-4,
    )  # fmt: skip
    rounds = time_rounds(Queue(Recorder(), Squares(), CPU), pool(), 1, effort)
    assert set(rounds.wall_ns) == set(rounds.warmup_ns) == {1000}
    assert len(rounds.wall_ns) == 100
    assert rounds.elapsed_ns == 1000 * (100 + len(rounds.warmup_ns))


def test_a_short_time_is_no_zero() -> None:
    quick = subject(Convolver(calls=1, nfe=1))
    cost = latency(quick, time_rounds(quick, pool(), 1, SHORT), batch=1, config_key="k")
    assert cost.value is not None
    assert 0.001 < cost.value < 0.5
    assert cost.value != round(cost.value, 3)


def test_what_fails_keeps_its_row() -> None:
    def measure(job: dict[str, Any], **_: object) -> Outcome:
        return Outcome("failed", "KeyError: 'x'")

    costs = Session(Program(build={}, machine="h:1"), GLANCE, measure=measure).costs()
    assert {"latency_ms", "peak_memory_mib"} <= {cost.metric for cost in costs}
    assert {cost.reason for cost in costs} == {"failed: KeyError: 'x'"}


def test_path_length_needs_no_old_numpy() -> None:
    estimate: Any = path_length(torch.arange(1.0, 1001.0))  # type: ignore[operator]
    assert estimate.value == pytest.approx(500.5)


def test_transposed_convolutions_by_hand() -> None:
    """Each input pixel meets each weight once, whatever the stride."""
    layer = nn.ConvTranspose2d(8, 4, kernel_size=4, stride=2, padding=1)
    images = torch.zeros(3, 8, 5, 5)
    assert layer(images).shape == (3, 4, 10, 10)
    assert count_macs(lambda: layer(images)).total == 3 * 5 * 5 * 8 * 4 * 4 * 4


def test_threads_are_said_and_so_set() -> None:
    """That they are set is tested with the process that they are set in."""
    one, two = (
        config_of(Recorder(), Squares(), machine="h:1", threads=n, variant=Variant())  # type: ignore[arg-type]
        for n in (1, 2)
    )
    keys = {config_key(config, batch=1, boundary="e2e") for config in (one, two)}
    assert (one.threads, two.threads, len(keys)) == (1, 2, 2)


def test_a_full_disk_leaves_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state"
    checkpoint.save_checkpoint(path, {"x": torch.ones(3)}, {"step": 1})
    there: list[bool] = []

    def full(_: int) -> None:
        there.append(path.exists())
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StoreError, match="disk is full"):
        checkpoint.save_checkpoint(path, {"x": torch.zeros(3)}, {"step": 2})
    assert there == [True]
    loaded = checkpoint.load_checkpoint(path)
    assert loaded is not None
    assert (float(loaded[0]["x"].sum()), loaded[1]["step"]) == (3, 1)
    assert [p.name for p in tmp_path.iterdir()] == ["state"]


@pytest.mark.parametrize(
    ("torch_version", "torchvision_version", "fits"),
    [
        ("2.14.1+cpu", "0.29.0+cpu", True),
        ("2.14.1", "0.29.0", True),
        ("2.14.1+cpu", "0.29.0+cu128", False),
        ("2.14.1+cpu", "0.29.0", False),
    ],
)
def test_doctor_sees_builds_that_do_not_match(
    torch_version: str, torchvision_version: str, fits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = {"torch": torch_version, "torchvision": torchvision_version}
    monkeypatch.setattr(doctor, "package_version", lambda name: versions.get(name, "1.0"))
    said = [finding for finding in doctor.examine() if finding.what == "torch and torchvision"]
    assert [finding.ok for finding in said] == [fits]
    assert fits or "one index" in said[0].advice
