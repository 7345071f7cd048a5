"""What has to be made: a task is one data world with its inputs, splits, judges and protocol."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor

from kdbench.digest import sha256_of
from kdbench.generators.base import Inputs, quantise
from kdbench.metrics.base import Use
from kdbench.record import Split as SplitName
from kdbench.seeds import image_generators, seed


@dataclass(frozen=True, eq=False)
class Split:
    """Images of one split, with their labels and the hash that fixes them."""

    images: Tensor
    """(N, C, H, W), uint8; points of the plane float32."""
    labels: Tensor
    """(N,), int64."""

    def __len__(self) -> int:
        return len(self.images)

    @cached_property
    def sha256(self) -> str:
        """SHA-256 over shape, type, images and labels."""
        return sha256_of(self.images, self.labels)


class Task(ABC):
    """One data world. A third party writes one subclass and registers it as `name@version`.

    Class attributes say how students are measured; methods give the data. Everything is
    deterministic: the same task version has the same splits and inputs everywhere.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    kind: ClassVar[str]
    """`class-conditional generation`, `super-resolution`, …"""
    shape: ClassVar[tuple[int, int, int]]
    """(C, H, W) of an image."""
    classes: ClassVar[int]
    sigma_data: ClassVar[float]
    """Standard deviation of the encoded data, for EDM preconditioning."""
    quantised: ClassVar[bool] = True
    """Whether images become uint8 before anything measures them."""
    main: ClassVar[str]
    """The metric that rows are ranked and compared by."""
    margin: ClassVar[float]
    """The smallest difference of the main metric that matters, in its unit."""
    n: ClassVar[int]
    """Generated images a split."""
    uses: ClassVar[tuple[Use, ...]]
    extractor: ClassVar[str | None] = None
    """The evaluation extractor; no method may touch it."""
    auxiliary: ClassVar[str | None] = None
    """A separate network that methods may use."""

    @property
    def id(self) -> str:
        """`name@version`."""
        return f"{self.name}@{self.version}"

    @abstractmethod
    def split(self, name: str) -> Split:
        """The images of `train`, `validation` or `held-out`."""

    def encode(self, images: Tensor) -> Tensor:
        """Stored images as networks see them: float32, uint8 0…255 to −1…1."""
        return images.float() / 127.5 - 1

    def decode(self, values: Tensor) -> Tensor:
        """What networks make as images in [0, 1]."""
        return (values + 1) / 2

    def finish(self, images: Tensor) -> Tensor:
        """What is measured of a generator's images: uint8, unless the task is not quantised."""
        return quantise(images) if self.quantised else images

    def inputs(self, n: int, *, split: SplitName, replicate: int) -> Inputs:
        """Latents and labels of `n` images, the same for every row of this split and replicate.

        Labels take turns, so every class is asked for equally often in every block of images.
        Replicates are disjoint blocks, so the noise of sampling is in the spread over seeds.
        """
        base = seed("inputs", self.id, split, replicate)
        generators = image_generators(base, 0, n)
        latents = torch.stack([torch.randn(self.shape, generator=g) for g in generators])
        return Inputs(latents, torch.arange(n) % self.classes, torch.arange(n))
