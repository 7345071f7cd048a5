"""A classifier on the bottleneck of a denoiser: real or generated, at any noise level.

Yin et al. 2024, arXiv:2405.14867, section 4.3. Three convolutions, two of them down to one pixel,
as in the official code; the losses are the non-saturating ones.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

GROUPS = 8


class Head(nn.Module):
    """Features (B, C, H, H) to one logit an image, (B,); H is even."""

    def __init__(self, channels: int, height: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, channels, 4, stride=2, padding=1),
            nn.GroupNorm(GROUPS, channels),
            nn.SiLU(),
            nn.Conv2d(channels, channels, height // 2),
            nn.GroupNorm(GROUPS, channels),
            nn.SiLU(),
            nn.Conv2d(channels, 1, 1),
        )

    def forward(self, features: Tensor) -> Tensor:
        """One logit an image; positive is real."""
        logits: Tensor = self.layers(features)
        return logits.flatten()


class JudgedScore(nn.Module):
    """A denoiser and the classifier on what its module `path` gives."""

    def __init__(self, score: nn.Module, path: str, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.score, self.path = score, path
        device = next(score.parameters()).device
        inputs = (torch.zeros(1, *shape), torch.ones(1), torch.zeros(1, dtype=torch.int64))
        with torch.no_grad():
            features = features_at(score, path, *(value.to(device) for value in inputs))
        self.head = Head(*features.shape[1:3])

    def logits(self, noisy: Tensor, sigma: Tensor, labels: Tensor) -> Tensor:
        """The classifier's opinion of noisy images, (B,)."""
        opinion: Tensor = self.head(features_at(self.score, self.path, noisy, sigma, labels))
        return opinion


class _Reached(Exception):
    """The features, on their way past the rest of the network."""

    def __init__(self, features: Tensor) -> None:
        super().__init__()
        self.features = features


def features_at(network: nn.Module, path: str, *inputs: Tensor) -> Tensor:
    """What the module `path` of a network gives for `inputs`; what comes after it is not run."""

    def leave(module: nn.Module, arguments: tuple[Tensor, ...], output: Tensor) -> None:
        raise _Reached(output)

    hook = network.get_submodule(path).register_forward_hook(leave)
    try:
        network(*inputs)
    except _Reached as reached:
        return reached.features
    finally:
        hook.remove()
    raise ValueError(f"the network does not pass through its module {path}")


def judge_loss(on_real: Tensor, on_fake: Tensor) -> Tensor:
    """E softplus(−h(real)) + E softplus(h(fake)): the classifier's cross-entropy."""
    return F.softplus(-on_real).mean() + F.softplus(on_fake).mean()


def student_loss(on_fake: Tensor) -> Tensor:
    """E softplus(−h(fake)), non-saturating: the student's images shall pass for real."""
    return F.softplus(-on_fake).mean()
