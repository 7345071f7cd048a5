"""Costs of a run: measured once a program, kept in its record, with everything beside them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kdbench.store import Store

PAIR = """
name = "tiny"
task = "toy@1"
family = "toy-diffusion"
summary = "A few updates: what matters is that it can be timed."
beside = "toy-edm"

[network]
name = "resmlp@1"
args = { width = 8, depth = 1 }

[method]
name = "denoising@1"

[budget]
steps = 5
batch = 16

[arms.euler-2]
role = "scratch"
sampling = { sampler = "euler@1", args = { steps = 2 } }
"""


@pytest.fixture(scope="module")
def run(
    kdbench: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Callable[[], dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("costs")
    pair = folder / "tiny.toml"
    pair.write_text(PAIR)
    out = folder / "runs"

    def again() -> dict[str, Any]:
        done = kdbench("run", pair, "--seeds", "0", "--out", out, "--json")
        assert done.returncode == 0, done.stderr
        said: dict[str, Any] = json.loads(done.stdout)
        return said

    again()
    return out, again


def test_record_has_costs_with_their_conditions(run: tuple[Path, Any]) -> None:
    (record,) = Store(run[0]).records()
    nfe, macs = record.cost("nfe"), record.cost("macs", 1)
    assert nfe is not None
    assert nfe.value == 2
    assert macs is not None
    assert macs.value is not None
    latency, throughput = record.cost("latency_ms", 1), record.cost("throughput_img_s", 64)
    assert latency is not None
    assert latency.value is not None
    assert latency.value > 0
    assert latency.boundary == "e2e"
    assert latency.n is not None
    assert throughput is not None
    assert throughput.value is not None
    memory = record.cost("peak_memory_mib", 64)
    assert memory is not None
    assert all(cost.config_key for cost in record.costs)
    assert {c.details["measured_on"] for c in record.costs} == {"tiny/euler-2 seed 0"}


def test_nothing_is_measured_twice(run: tuple[Path, Any]) -> None:
    out, again = run
    before = [path.read_bytes() for path in sorted((out / "records").rglob("*.json"))]
    assert [o["did"] for o in again()["runs"]] == ["nothing"]
    assert [path.read_bytes() for path in sorted((out / "records").rglob("*.json"))] == before
