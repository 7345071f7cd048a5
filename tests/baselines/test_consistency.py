"""The consistency function at its boundary, and its sampler on trajectories that are known."""

from __future__ import annotations

import copy

import pytest
import torch
from kdbench_baselines.diffusion.consistency import consistency, pseudo_huber, same_dropout
from kdbench_baselines.diffusion.consistency_sampler import ConsistencySampler, fresh_noise
from kdbench_baselines.diffusion.precondition import Denoiser
from kdbench_baselines.diffusion.resmlp import resmlp
from scipy import stats
from torch import Tensor, nn

from kdbench import registry
from kdbench.generators.build import load_task
from kdbench.keys import resolved_params

from .conftest import MEAN, STD, ExactConsistency, Gaussian, Oracle, exact_map

SIGMA_MIN = 0.02
BOUNDARY = {"sigma_min": SIGMA_MIN, "sigma_data": STD}


class Wild(nn.Module):
    """F(x) is large and has nothing to do with x."""

    def forward(self, x: Tensor, noise: Tensor, labels: Tensor) -> Tensor:
        return 1e3 * torch.sin(7 * x) + noise.view(-1, 1, 1, 1)


def test_f_is_the_identity_at_the_boundary_whatever_the_weights() -> None:
    torch.manual_seed(0)
    x, labels = torch.randn((64, 1, 2, 2)), torch.zeros(64, dtype=torch.int64)
    sigma = torch.full((64,), SIGMA_MIN)
    network = Denoiser(Wild(), STD)
    assert torch.equal(consistency(network, x, sigma, labels, **BOUNDARY), x)
    assert not torch.allclose(consistency(network, x, 2 * sigma, labels, **BOUNDARY), x, atol=1)


def test_f_has_the_coefficients_of_the_paper() -> None:
    torch.manual_seed(0)
    x, labels = torch.randn((64, 1, 2, 2)).double(), torch.zeros(64, dtype=torch.int64)
    sigma = torch.logspace(-1, 1, 64).double()
    s = sigma.view(-1, 1, 1, 1)
    inner = Wild()((s**2 + STD**2) ** -0.5 * x, sigma.log() / 4, labels)
    skip = STD**2 / ((s - SIGMA_MIN) ** 2 + STD**2)
    out = STD * (s - SIGMA_MIN) / (s**2 + STD**2) ** 0.5
    found = consistency(Denoiser(Wild(), STD), x, sigma, labels, **BOUNDARY)
    torch.testing.assert_close(found, skip * x + out * inner)


def test_without_a_lowest_level_f_is_the_denoiser() -> None:
    torch.manual_seed(0)
    x, labels = 5 * torch.randn((64, 1, 2, 2)), torch.zeros(64, dtype=torch.int64)
    sigma = torch.logspace(-2, 1, 64)
    found = consistency(Oracle(), x, sigma, labels, sigma_min=0.0, sigma_data=STD)
    torch.testing.assert_close(found, Oracle()(x, sigma, labels))


def test_the_distance_is_square_near_zero_and_absolute_far_away() -> None:
    near, far = torch.full((1, 1, 2, 2), 1e-3).double(), torch.full((1, 1, 2, 2), 1e3).double()
    assert float(pseudo_huber(near, 0.5)) == pytest.approx(4e-6 / 2, rel=1e-3)  # ‖v‖² / 2c, c = 1
    assert float(pseudo_huber(far, 0.5)) == pytest.approx(2e3 - 1, rel=1e-3)


def test_two_calls_see_one_dropout_mask() -> None:
    torch.manual_seed(0)
    dropout, x = nn.Dropout(0.5), torch.ones((8, 1, 2, 2))
    with same_dropout(x):
        first = dropout(x)
    assert torch.equal(first, dropout(x))
    assert not torch.equal(first, dropout(x))


# ---------------------------------------------------------------- the sampler


def latents(n: int) -> Tensor:
    return torch.randn((n, 1, 2, 2), generator=torch.Generator().manual_seed(0))


def test_one_call_lands_where_the_trajectory_ends() -> None:
    z, labels = latents(64), torch.zeros(64, dtype=torch.int64)
    images = ConsistencySampler([20.0], **BOUNDARY)(ExactConsistency(SIGMA_MIN), z, labels)
    torch.testing.assert_close(images, exact_map(20 * z, 20.0, SIGMA_MIN), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("second", [0.1, 0.6, 3.0])
def test_two_calls_keep_the_distribution(second: float) -> None:
    """Noise that were not independent of the first image would change the spread."""
    z, labels = latents(100_000), torch.zeros(100_000, dtype=torch.int64)
    sampler = ConsistencySampler([20.0, second], **BOUNDARY)
    images = sampler(ExactConsistency(SIGMA_MIN), z, labels)
    spread = (STD**2 + SIGMA_MIN**2) ** 0.5
    shares = [spread / (STD**2 + sigma**2) ** 0.5 for sigma in (20.0, second)]
    off = -MEAN * shares[0] * shares[1]  # 20·z has the mean 0, not that of data with noise
    assert float(images.mean()) == pytest.approx(MEAN + off, abs=0.003)
    assert float(images.std()) == pytest.approx(spread, rel=0.003)
    first = ConsistencySampler([20.0], **BOUNDARY)(ExactConsistency(SIGMA_MIN), z, labels)
    kept = float(torch.corrcoef(torch.stack([images.flatten(), first.flatten()]))[0, 1])
    assert kept == pytest.approx(shares[1], abs=0.005)


@pytest.mark.parametrize("sigmas", [[20.0], [20.0, 0.8]])
def test_an_image_depends_on_its_own_latent_alone(sigmas: list[float]) -> None:
    z, labels = latents(16), torch.arange(16) % 2
    sampler = ConsistencySampler(sigmas, **BOUNDARY)
    together = sampler(Oracle(), z, labels)
    order = torch.randperm(16, generator=torch.Generator().manual_seed(1))
    torch.manual_seed(5)  # the global generator plays no part
    assert torch.equal(sampler(Oracle(), z[order], labels[order]), together[order])
    alone = [sampler(Oracle(), z[i : i + 1], labels[i : i + 1]) for i in range(16)]
    assert torch.equal(torch.cat(alone), together)


@pytest.mark.parametrize("sigmas", [[20.0], [20.0, 0.8]])
def test_calls_are_counted(sigmas: list[float]) -> None:
    oracle, sampler = Oracle(), ConsistencySampler(sigmas)
    sampler(oracle, latents(2), torch.zeros(2, dtype=torch.int64))
    assert oracle.calls == sampler.nfe == len(sigmas)


@pytest.mark.parametrize("sigmas", [[], [20.0, 2.0, 0.2]])
def test_other_numbers_of_calls_are_refused(sigmas: list[float]) -> None:
    with pytest.raises(TypeError, match="one or two calls"):
        ConsistencySampler(sigmas)


def test_fresh_noise_is_standard_normal_and_independent_of_its_latent() -> None:
    z = torch.randn((1_000_000,), generator=torch.Generator().manual_seed(3))
    noise = fresh_noise(z)
    assert stats.kstest(noise.numpy(), "norm").pvalue > 0.01
    pairs = [(z, noise), (z.abs(), noise.abs()), (z, noise.abs()), (z.abs(), noise)]
    pairs += [(noise[1:], noise[:-1]), (noise[1:].abs(), noise[:-1].abs())]
    for one, other in pairs:
        assert abs(float(torch.corrcoef(torch.stack([one, other]))[0, 1])) < 0.004
    near = (z.abs() - 1).abs() < 0.01  # and within a narrow slice of the latent
    assert stats.kstest(noise[near].numpy(), "norm").pvalue > 0.01


def test_fresh_noise_is_finite_at_the_centre_and_in_the_tails() -> None:
    assert bool(fresh_noise(torch.tensor([0.0, -0.0, 6.0, -6.0, 40.0, -40.0])).isfinite().all())


def test_samplings_of_pairs_have_the_boundary_of_their_training() -> None:
    checked = 0
    for name in registry.pairs:
        pair = registry.pairs.load(name)
        for arm in pair.arms.values():
            if arm.sampling.sampler != "consistency@1":
                continue
            args, params = arm.sampling.args, resolved_params(pair)
            assert args.get("sigma_min", 0.0) == params.get("sigma_min", 0.0)
            assert not args.get("sigma_min") or (
                args["sigma_data"] == load_task(pair.task).sigma_data
            )
            assert args["sigmas"][0] <= params.get("sigma_max", args["sigmas"][0])
            checked += 1
    assert checked >= 8


def test_a_network_of_the_house_can_be_called() -> None:
    torch.manual_seed(0)
    network = resmlp(Gaussian(), width=8, depth=1)
    before = copy.deepcopy(network.state_dict())
    images = ConsistencySampler([20.0, 0.8], **BOUNDARY)(
        network, latents(4), torch.zeros(4, dtype=torch.int64)
    )
    assert images.shape == (4, 1, 2, 2)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
