"""Where decoded images wait for each other."""

from __future__ import annotations

from collections import Counter
from threading import Lock

import numpy as np
import torch
from torch import Tensor

from kdbench.reading.decode import Pixels

GREY = "grey among colour ones: repeated in three channels."


class OverFull(Exception):
    """There is more than may be held."""


class Gathered:
    """Pixels of `n` images, added in any order by any thread.

    Those of the first one's size are written to their final place at once, so that a set of one
    size is never held twice; others are kept one by one.
    """

    def __init__(self, n: int, most: int) -> None:
        """`most` is the bytes that may be held."""
        self._n, self._most, self._held = n, most, 0
        self._whole: Pixels | None = None
        self._others: dict[int, Pixels] = {}
        self._channels: Counter[int] = Counter()
        self._grey: set[int] = set()
        self._lock = Lock()

    def add(self, i: int, pixels: Pixels) -> None:
        """Keep image `i`, (C, H, W).

        Raises:
            OverFull: there is more than may be held.
        """
        if len(pixels) == 1:
            self._grey.add(i)
        whole = self._place(pixels)
        fits = whole is not None and whole.shape[2:] == pixels.shape[1:]
        if whole is not None and fits and whole.shape[1] >= len(pixels):
            whole[i] = pixels
        else:
            self._others[i] = np.array(pixels, order="C")

    def _place(self, pixels: Pixels) -> Pixels | None:
        """Where images of one size go, made when there is room for all at this size."""
        with self._lock:
            self._held += pixels.size
            self._channels[len(pixels)] += 1
            if self._held > self._most:
                raise OverFull
            if self._whole is None and self._n * pixels.size <= self._most:
                self._whole = np.empty((self._n, *pixels.shape), np.uint8)
            return self._whole

    def images(self) -> Tensor | list[Tensor]:
        """All of them: (N, C, H, W), or a list of (C, H, W) where sizes differ."""
        if self._whole is not None and not self._others:
            return torch.from_numpy(self._whole)
        channels = max(self._channels)
        found = [torch.from_numpy(self._one(i)) for i in range(self._n)]
        found = [image.expand(channels, -1, -1) for image in found]
        if len({image.shape for image in found}) == 1:
            return torch.stack(found)
        return [image.contiguous() for image in found]

    def _one(self, i: int) -> Pixels:
        if i in self._others or self._whole is None:
            return self._others[i]
        own: Pixels = self._whole[i]
        return own

    def widened(self) -> frozenset[int]:
        """Positions of grey images that were given three channels."""
        return frozenset(self._grey) if len(self._channels) > 1 else frozenset()

    def treatments(self) -> Counter[str]:
        """Grey images that were given three channels."""
        widened = self.widened()
        return Counter({GREY: len(widened)}) if widened else Counter()
