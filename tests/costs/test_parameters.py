"""Stored elements, shared ones once."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from kdbench.costs.parameters import count_parameters


class Tied(nn.Module):
    """A weight under its own name, as a view, as a transpose and as a part."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(6, 4))
        self.view = nn.Parameter(self.weight.data.view(4, 6))
        self.transpose = nn.Parameter(self.weight.data.t())
        self.part = nn.Parameter(self.weight.data[2:])


class Flat(nn.Module):
    """Two parameters side by side in one storage that has room for more."""

    def __init__(self) -> None:
        super().__init__()
        flat = torch.zeros(100)
        self.first = nn.Parameter(flat[:10])
        self.second = nn.Parameter(flat[10:25].view(3, 5))


def test_plain_network() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))
    counted = count_parameters(net)
    assert counted.count == 3 * 8 * 9 + 8 + 8 + 8
    assert counted.bytes == 4 * counted.count
    assert counted.buffer_bytes == 2 * 8 * 4 + 8  # running mean and variance, int64 counter


def test_shared_module_counts_once() -> None:
    layer = nn.Linear(5, 5)
    assert count_parameters(nn.Sequential(layer, nn.ReLU(), layer)).count == 30


def test_tied_weights_count_once() -> None:
    assert count_parameters(Tied()).count == 24


def test_neighbours_in_one_storage_count_each() -> None:
    assert count_parameters(Flat()).count == 25


def test_half_precision_bytes() -> None:
    assert count_parameters(nn.Linear(5, 5).half()).bytes == 60


def test_a_casting_or_compiled_wrapper_adds_nothing() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))
    compiled: Any = torch.compile(net)
    assert count_parameters(compiled) == count_parameters(net)
    halved = count_parameters(nn.Sequential(net).to(torch.bfloat16))
    assert halved.count == count_parameters(net.float()).count
    assert halved.buffer_bytes == 2 * 8 * 2 + 8  # the counter of batches stays an integer
