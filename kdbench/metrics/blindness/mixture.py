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
    modes: Tensor
    """(N,), int64."""


Failure = Callable[[int, torch.Generator], Sample]
"""`(n, noise)`: n images of a generator that fails in one way."""


def truth(
    n: int, noise: torch.Generator, *, modes: Tensor | None = None, spread: float = SPREAD
) -> Sample:
    """`n` independent draws; `modes` (n,) says which modes instead of drawing them."""
    if modes is None:
        modes = torch.randint(MODES, (n,), generator=noise)
    centres, directions = _world()
    along = torch.randn(n, 1, DIRECTIONS, generator=noise)
    return Sample(centres[modes] + spread * (along @ directions[modes])[:, 0], modes)


def drop(modes: int) -> Failure:
    """The last `modes` modes never come; the others share their place."""
    return lambda n, noise: truth(
        n, noise, modes=torch.randint(MODES - modes, (n,), generator=noise)
    )


def overweight(factor: int) -> Failure:
    """One mode comes `factor` times as often as any other."""

    def draw(n: int, noise: torch.Generator) -> Sample:
        wheel = torch.randint(MODES - 1 + factor, (n,), generator=noise)
        return truth(n, noise, modes=wheel.clamp(max=MODES - 1))

    return draw


def shrink(factor: float) -> Failure:
    """Every mode is narrower by `factor`: what a student with a poor memory does."""
    return lambda n, noise: truth(n, noise, spread=factor * SPREAD)


def outliers(share: float) -> Failure:
    """A share of the images belongs nowhere: three times as far out as the centres."""

    def draw(n: int, noise: torch.Generator) -> Sample:
        good = truth(n, noise)
        wild = torch.rand(n, generator=noise) < share
        far = 3 * torch.randn(n, DIMENSIONS, generator=noise)
        return Sample(torch.where(wild[:, None], far, good.points), good.modes)

    return draw


def noisy(std: float) -> Failure:
    """Every image carries noise in all directions."""

    def draw(n: int, noise: torch.Generator) -> Sample:
        good = truth(n, noise)
        error = std * torch.randn(n, DIMENSIONS, generator=noise)
        return Sample(good.points + error, good.modes)

    return draw


def copies(share: float) -> Failure:
    """A share of the images is the training set's, point for point."""

    def draw(n: int, noise: torch.Generator) -> Sample:
        good, known = truth(n, noise), training(n)
        taken = torch.rand(n, generator=noise) < share
        which = torch.randint(n, (n,), generator=noise)
        return Sample(
            torch.where(taken[:, None], known.points[which], good.points),
            torch.where(taken, known.modes[which], good.modes),
        )

    return draw


def repeats(share: float) -> Failure:
    """A share of the images is another image of the same generator once more."""

    def draw(n: int, noise: torch.Generator) -> Sample:
        good = truth(n, noise)
        again = torch.rand(n, generator=noise) < share
        which = torch.where(again, torch.randint(n, (n,), generator=noise), torch.arange(n))
        return Sample(good.points[which], good.modes[which])

    return draw


def confused(share: float) -> Failure:
    """A share of the images is good and of another mode than was asked for."""

    def draw(n: int, noise: torch.Generator) -> Sample:
        good = truth(n, noise)
        wrong = torch.rand(n, generator=noise) < share
        other = torch.randint(MODES, (n,), generator=noise)
        return Sample(good.points, torch.where(wrong, other, good.modes))

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
    return truth(n, torch.Generator().manual_seed(seed("blindness", "train")))


def seen(sample: Sample) -> ImageSet:
    """The sample as an extractor would show it; each point is its own image."""
    centres, _ = _world()
    logits = -torch.cdist(sample.points, centres).square() / (2 * SPREAD**2)
    return ImageSet(sample.points[:, :, None, None], sample.modes, sample.points, logits)


@cache
def _world() -> tuple[Tensor, Tensor]:
    """Centres (MODES, DIMENSIONS) and directions (MODES, DIRECTIONS, DIMENSIONS), orthonormal."""
    noise = torch.Generator().manual_seed(seed("blindness", "world"))
    centres = torch.randn(MODES, DIMENSIONS, generator=noise)
    directions = torch.randn(MODES, DIMENSIONS, DIRECTIONS, generator=noise)
    return centres, torch.linalg.qr(directions).Q.mT.contiguous()
