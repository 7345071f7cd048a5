"""A known truth in feature space, and the ways in which a generator can miss it.

Fifty modes of equal weight in 128 dimensions; within a mode, images vary in 8 directions of their
own, as images of one kind do. The classifier is Bayes' own, up to the directions of variation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from kdbench.metrics.base import ImageSet
from kdbench.seeds import seed

MODES = 50
DIMENSIONS = 128
DIRECTIONS = 8
SPREAD = 0.25
"""Standard deviation within a mode, in each of its directions; centres are standard normal."""


@dataclass(frozen=True, eq=False)
class Sample:
    """Points with the mode that each was asked for."""

    points: Tensor
    """(N, DIMENSIONS), float32."""
    asked: Tensor
    """(N,), int64."""


Failure = Callable[[Tensor, torch.Generator], Sample]
"""`(asked, noise)`: images of a generator that fails in one way, asked for modes (n,)."""


def asked(n: int, noise: torch.Generator) -> Tensor:
    """(n,), int64: independent draws, all modes alike."""
    return torch.randint(MODES, (n,), generator=noise)


def truth(asked: Tensor, noise: torch.Generator) -> Sample:
    """Faultless images, each of the mode that was asked for."""
    return made(asked, asked, noise)


def made(modes: Tensor, asked: Tensor, noise: torch.Generator, *, spread: float = SPREAD) -> Sample:
    """Images of `modes` (n,), whatever was asked for."""
    centres, directions = _world()
    along = torch.randn(len(modes), 1, DIRECTIONS, generator=noise)
    return Sample(centres[modes] + spread * (along @ directions[modes])[:, 0], asked)


def drop(modes: int) -> Failure:
    """The last `modes` modes never come; the others share their place."""

    def draw(asked: Tensor, noise: torch.Generator) -> Sample:
        instead = torch.randint(MODES - modes, asked.shape, generator=noise)
        return made(torch.where(asked < MODES - modes, asked, instead), asked, noise)

    return draw


def overweight(factor: int) -> Failure:
    """One mode comes `factor` times as often as any other."""
    share = factor / (MODES - 1 + factor)
    turned = (share - 1 / MODES) / (1 - 1 / MODES)  # of the images asked of another mode

    def draw(asked: Tensor, noise: torch.Generator) -> Sample:
        wrong = torch.rand(asked.shape, generator=noise) < turned
        return made(asked.masked_fill(wrong, MODES - 1), asked, noise)

    return draw


def shrink(factor: float) -> Failure:
    """Every mode is narrower by `factor`: what a student with a poor memory does."""
    return lambda asked, noise: made(asked, asked, noise, spread=factor * SPREAD)


def outliers(share: float) -> Failure:
    """A share of the images belongs nowhere: three times as far out as the centres."""

    def draw(asked: Tensor, noise: torch.Generator) -> Sample:
        good = truth(asked, noise)
        wild = torch.rand(asked.shape, generator=noise) < share
        far = 3 * torch.randn(good.points.shape, generator=noise)
        return Sample(torch.where(wild[:, None], far, good.points), asked)

    return draw


def noisy(std: float) -> Failure:
    """Every image carries noise in all directions."""

    def draw(asked: Tensor, noise: torch.Generator) -> Sample:
        good = truth(asked, noise)
        return Sample(good.points + std * torch.randn(good.points.shape, generator=noise), asked)

    return draw


def copies(share: float) -> Failure:
    """A share of the images is the training set's, point for point."""
    return lambda asked, noise: _partly(truth(asked, noise), training(len(asked)), share, noise)


def repeats(share: float) -> Failure:
    """A share of the images is another image of the same generator once more."""

    def draw(asked: Tensor, noise: torch.Generator) -> Sample:
        good = truth(asked, noise)
        return _partly(good, good, share, noise)

    return draw


def _partly(good: Sample, source: Sample, share: float, noise: torch.Generator) -> Sample:
    """The sample with a share of its points replaced by points of `source` of the same mode."""
    taken = torch.rand(good.asked.shape, generator=noise) < share
    order, counts = source.asked.argsort(stable=True), source.asked.bincount(minlength=MODES)
    place = (torch.rand(good.asked.shape, generator=noise) * counts[good.asked]).long()
    which = order[(counts.cumsum(0) - counts)[good.asked] + place]
    return Sample(torch.where(taken[:, None], source.points[which], good.points), good.asked)


def confused(share: float) -> Failure:
    """A share of the images is good and of another mode than was asked for."""

    def draw(asked: Tensor, noise: torch.Generator) -> Sample:
        wrong = torch.rand(asked.shape, generator=noise) < share
        other = torch.randint(MODES, asked.shape, generator=noise)
        return made(torch.where(wrong, other, asked), asked, noise)

    return draw


FAILURES: dict[str, Failure] = {
    "2 of 50 modes dropped": drop(2),
    "5 of 50 modes dropped": drop(5),
    "25 of 50 modes dropped": drop(25),
    "one mode 5 times": overweight(5),
    "modes narrower, × 0.9": shrink(0.9),
    "modes narrower, × 0.7": shrink(0.7),
    "5 % outliers": outliers(0.05),
    "noise of 0.1": noisy(0.1),
    "20 % training images": copies(0.2),
    "10 % repeated": repeats(0.1),
    "5 % of another class": confused(0.05),
}


@cache
def training(n: int) -> Sample:
    """The training set: independent draws like any other, always the same."""
    noise = torch.Generator().manual_seed(seed("blindness", "train"))
    return truth(asked(n, noise), noise)


def seen(sample: Sample) -> ImageSet:
    """The sample as an extractor would show it; each point is its own image."""
    centres, _ = _world()
    logits = -torch.cdist(sample.points, centres).square() / (2 * SPREAD**2)
    return ImageSet(sample.points[:, :, None, None], sample.asked, sample.points, logits)


@cache
def _world() -> tuple[Tensor, Tensor]:
    """Centres (MODES, DIMENSIONS) and directions (MODES, DIRECTIONS, DIMENSIONS), orthonormal."""
    noise = torch.Generator().manual_seed(seed("blindness", "world"))
    centres = torch.randn(MODES, DIMENSIONS, generator=noise)
    directions = torch.randn(MODES, DIMENSIONS, DIRECTIONS, generator=noise)
    return centres, torch.linalg.qr(directions).Q.mT.contiguous()
