"""The conditions of a cost, their key, and what keeps two costs from being divided."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from cost_subjects import Convolver, Recorder, Squares
from torch import nn

from kdbench.costs.config import Config, config_key, config_of, mismatches
from kdbench.costs.variant import Variant
from kdbench.generators.base import Generator

PLAIN = Variant()


def conditions(
    generator: Generator, *, machine: str = "h:1", threads: int = 1, variant: Variant = PLAIN
) -> Config:
    """Of a generator of squares."""
    return config_of(generator, Squares(), machine=machine, threads=threads, variant=variant)


def test_conditions_make_the_key() -> None:
    plain = conditions(Convolver(calls=1, nfe=1))
    key = config_key(plain, batch=1, boundary="e2e")
    assert key == config_key(conditions(Convolver(calls=1, nfe=1)), batch=1, boundary="e2e")
    others = [
        config_key(plain, batch=64, boundary="e2e"),
        config_key(plain, batch=1, boundary="core"),
        config_key(conditions(Recorder(), machine="h:2"), batch=1, boundary="e2e"),
        config_key(conditions(Recorder(), threads=2), batch=1, boundary="e2e"),
        config_key(
            conditions(Recorder(), variant=Variant(compile="default")), batch=1, boundary="e2e"
        ),
    ]
    assert len({key, *others}) == 6


def test_what_can_be_read_is_read() -> None:
    config = conditions(Convolver(calls=1, nfe=1))
    assert (config.device, config.dtype, config.memory_format) == ("cpu", "float32", "contiguous")
    assert (config.compile, config.resolution, config.attention) == ("none", "1x8x8", "any")
    assert not any((config.autocast, config.cuda_graph, config.cudnn_benchmark))
    with torch.autocast("cpu"):
        assert conditions(Recorder()).autocast


def test_rounded_products_are_seen() -> None:
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("highest")
        assert not conditions(Recorder()).tf32
        torch.set_float32_matmul_precision("high")
        assert conditions(Recorder()).tf32
    finally:
        torch.set_float32_matmul_precision(before)


def test_other_precision_or_layout_is_a_mismatch() -> None:
    teacher, student = Convolver(calls=1, nfe=1), Convolver(calls=1, nfe=1)
    student.network = nn.Conv2d(4, 4, 3).to(torch.bfloat16, memory_format=torch.channels_last)  # type: ignore[call-overload]
    configs = conditions(student), conditions(teacher)
    assert mismatches(*configs) == ["mismatch:dtype", "mismatch:memory_format"]
    assert mismatches(configs[0], configs[0]) == []


@pytest.mark.parametrize("network", [nn.Linear(4, 4), nn.Conv2d(4, 4, 1), nn.Conv2d(1, 1, 3)])
def test_weights_that_tell_no_layout_leave_it_to_the_variant(network: nn.Module) -> None:
    student = Convolver(calls=1, nfe=1)
    student.network = network  # type: ignore[assignment]
    assert conditions(student).memory_format == "contiguous"
    variant = Variant(channels_last=True)
    assert conditions(student, variant=variant).memory_format == "channels_last"
    student.network = nn.Conv2d(4, 4, 3)
    assert conditions(student, variant=variant).memory_format == "contiguous"


def test_a_network_that_comes_compiled_is_no_eager_one() -> None:
    student = Convolver(calls=1, nfe=1)
    compiled: Any = torch.compile(nn.Linear(2, 2))
    student.network = nn.Sequential(compiled)  # type: ignore[assignment]
    assert conditions(student).compile == "own"
