"""Costs of a run: measured once a program, kept in its record, with everything beside them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kdbench.cli import main
from kdbench.costs.profiles import PROFILES
from kdbench.plan import make_plan
from kdbench.running import cost_profile
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
) -> tuple[Path, Callable[..., dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("costs")
    pair = folder / "tiny.toml"
    pair.write_text(PAIR)
    out = folder / "runs"

    def again(*words: str) -> dict[str, Any]:
        done = kdbench("run", pair, "--seeds", "0", "--out", out, "--json", *words)
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


def test_images_of_timed_rounds_are_those_that_are_measured(run: tuple[Path, Any]) -> None:
    (record,) = Store(run[0]).records()
    timed = [c for c in record.costs if c.metric in ("latency_ms", "throughput_img_s")]
    checked = [cost for cost in timed if "images_checked" in cost.details]
    assert {cost.metric for cost in checked} == {"latency_ms", "throughput_img_s"}
    assert not any(mark.startswith("output") for cost in checked for mark in cost.marks)


@pytest.mark.parametrize("words", [(), ("--costs", "glance"), ("--costs", "none")])
def test_nothing_is_measured_twice(run: tuple[Path, Any], words: tuple[str, ...]) -> None:
    out, again = run
    before = [path.read_bytes() for path in sorted((out / "records").rglob("*.json"))]
    assert [o["did"] for o in again(*words)["runs"]] == ["nothing"]
    assert [path.read_bytes() for path in sorted((out / "records").rglob("*.json"))] == before


def test_the_command_line_offers_every_profile() -> None:
    assert list(costs_option_choices()) == ["none", *PROFILES]


def costs_option_choices() -> list[str]:
    """What `--costs` takes."""
    (option,) = (p for p in main.commands["run"].params if p.name == "costs")
    return list(option.type.choices)  # type: ignore[attr-defined]


def test_suites_choose_how_thoroughly(run: tuple[Path, Any]) -> None:
    assert cost_profile(make_plan("smoke"), None) is None
    assert cost_profile(make_plan("smoke"), "glance") == PROFILES["glance"]
    assert cost_profile(make_plan("quick"), None) == PROFILES["brief"]
    assert cost_profile(make_plan("quick"), "full") == PROFILES["full"]
    assert cost_profile(make_plan("quick"), "none") is None
