"""The moving average of weights, against its formula in double precision."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from kdbench.training.ema import Ema


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.999])
def test_the_moving_average_follows_its_formula(decay: float) -> None:
    torch.manual_seed(0)
    network = nn.Linear(2, 1, bias=False)
    ema = Ema(network, decay)
    expected = network.weight.detach().double().clone()
    for step in range(40):
        with torch.no_grad():
            network.weight.normal_()
        ema.update(step)
        keep = min(decay, (1 + step) / (10 + step))
        expected = keep * expected + (1 - keep) * network.weight.detach().double()
    torch.testing.assert_close(ema.network.weight.double(), expected, rtol=1e-5, atol=1e-6)


def test_the_moving_average_copies_statistics_and_is_frozen() -> None:
    network = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5))
    ema = Ema(network, 0.999)
    network(torch.randn(16, 3))
    ema.update(1000)
    for ours, theirs in zip(ema.network.buffers(), network.buffers(), strict=True):
        assert torch.equal(ours, theirs)
    assert not any(parameter.requires_grad for parameter in ema.network.parameters())
    assert not ema.network.training
    assert network.training
