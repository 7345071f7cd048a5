"""A second time as an option of the networks: nothing changes without it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from kdbench_baselines.diffusion.precondition import Denoiser
from kdbench_baselines.diffusion.resmlp import resmlp
from kdbench_baselines.diffusion.unet import unet

from kdbench.tasks.digits import Digits

Build = Callable[..., Denoiser]
X, SIGMA, LABELS = torch.randn((4, 1, 8, 8)), torch.tensor([0.1, 1.0, 5.0, 20.0]), torch.arange(4)


def shaken(network: Denoiser) -> Denoiser:
    """The network with other weights than its first, of which the last layer is zero."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.1 * torch.randn(parameter.shape))
    return network.eval()


@pytest.mark.parametrize("build", [resmlp, unet])
def test_without_the_option_nothing_is_drawn_or_added(build: Build) -> None:
    torch.manual_seed(0)
    plain = build(Digits())
    drawn = torch.rand(1)
    torch.manual_seed(0)
    off = build(Digits(), second_time=False)
    assert torch.equal(torch.rand(1), drawn)
    assert list(plain.state_dict()) == list(off.state_dict())
    assert not [name for name in plain.state_dict() if "second" in name]


@pytest.mark.parametrize(
    ("build", "parameters", "weights", "after"),
    [(resmlp, 73_472, 3023.553, 0.5245949), (unet, 215_393, 6454.601, 0.9030018)],
)
def test_first_weights_are_those_of_the_published_networks(
    build: Build, parameters: int, weights: float, after: float
) -> None:
    """Figures of the networks before they had the option (torch 2.13, CPU)."""
    torch.manual_seed(0)
    network = build(Digits())
    assert sum(p.numel() for p in network.parameters()) == parameters
    total = sum(float(p.detach().double().abs().sum()) for p in network.parameters())
    assert total == pytest.approx(weights, rel=1e-5)
    assert float(torch.rand(1)) == pytest.approx(after, rel=1e-6)


@pytest.mark.parametrize("build", [resmlp, unet])
def test_results_are_the_same_bits_where_the_second_time_has_no_weight(build: Build) -> None:
    plain, told = shaken(build(Digits())), build(Digits(), second_time=True).eval()
    told.load_state_dict(plain.state_dict(), strict=False)
    with torch.no_grad():
        for name, parameter in told.named_parameters():
            if "second" in name:
                parameter.zero_()
        assert torch.equal(plain(X, SIGMA, LABELS), told(X, SIGMA, LABELS, torch.rand(4)))


@pytest.mark.parametrize("build", [resmlp, unet])
def test_the_second_time_changes_the_result_and_is_asked_for(build: Build) -> None:
    plain, told = shaken(build(Digits())), shaken(build(Digits(), second_time=True))
    one, other = (told(X, SIGMA, LABELS, torch.full((4,), h)) for h in (0.0, 1.0))
    assert not torch.allclose(one, other)
    with pytest.raises(TypeError, match="second_time"):
        told(X, SIGMA, LABELS)
    with pytest.raises(TypeError, match="second_time"):
        plain(X, SIGMA, LABELS, torch.zeros(4))
