"""What makes images: anything that maps a task's inputs to a batch of images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Inputs:
    """What every row of a table is given: the same latents and labels for all.

    Latents are standard normal, one generator an image, so image i is the same whatever the
    batch size.
    """

    latents: Tensor
    """(N, C, H, W), float32, standard normal."""
    labels: Tensor
    """(N,), int64."""
    index: Tensor
    """(N,), int64: each input's number in its set, from 0."""

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, chosen: Tensor | slice) -> Inputs:
        """The inputs at some places."""
        return Inputs(self.latents[chosen], self.labels[chosen], self.index[chosen])

    def to(self, device: torch.device | str) -> Inputs:
        """The same inputs on another device."""
        return Inputs(self.latents.to(device), self.labels.to(device), self.index.to(device))


@runtime_checkable
class Generator(Protocol):
    """`(inputs) -> images`: (N, C, H, W), float32 in [0, 1] (points of the plane: unbounded).

    `nfe` is the number of network evaluations an image, 0 where there is no network. A generator
    with a network holds it as `network`, so that it can be counted, moved and timed.
    """

    @property
    def nfe(self) -> int:
        """Network evaluations per image."""
        ...

    def __call__(self, inputs: Inputs) -> Tensor:
        """Draw one image for each input."""
        ...


def sample(generator: Generator, inputs: Inputs, *, chunk: int = 250) -> Tensor:
    """Images of all inputs, drawn in chunks of one size.

    The last chunk is padded by repeating its last input, so that the arithmetic, and on CPU every
    bit, is the same whatever the number of images.

    Returns:
        (N, C, H, W), float32, on the CPU.
    """
    images = []
    with torch.inference_mode():
        for start in range(0, len(inputs), chunk):
            places = torch.arange(start, start + chunk).clamp(max=len(inputs) - 1)
            n = min(chunk, len(inputs) - start)
            # A copy: a generator may write its next images into the same storage.
            images.append(generator(inputs.take(places))[:n].float().cpu().clone())
    return torch.cat(images)


def quantise(images: Tensor) -> Tensor:
    """uint8 images, round(clip(x, 0, 1)·255), once and for all metrics.

    Args:
        images: (N, C, H, W), float, finite; the caller counts non-finite ones first.

    >>> quantise(torch.tensor([-0.1, 0.5, 1.0])).tolist()
    [0, 128, 255]
    """
    return (images.clamp(0, 1) * 255).round().to(torch.uint8)
