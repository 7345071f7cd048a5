"""What measuring one metric gives, before it is written down."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from kdbench.metrics.base import Estimate


@dataclass(frozen=True, eq=False)
class Found:
    """An estimate with the conditions that it holds under."""

    estimate: Estimate
    n: int
    n_reference: int | None = None
    reference: str | None = None
    """SHA-256 of what was compared with."""
    protocol: str = ""
    values: Tensor | None = None
    """(N,), one number an image, of metrics that give them."""
