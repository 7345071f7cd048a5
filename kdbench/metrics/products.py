"""Dot products of all pairs of rows, at the full width of the processor.

torch multiplies ordinary float32 matrices with MKL, which leaves half of an AMD processor's width
unused; oneDNN, which torch has for tensors in a layout of its own, does not.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import linear

PROBED = 32
"""Rows and columns of the product that is looked at; libraries treat tiny ones differently."""


def laid_out(rows: Tensor) -> Tensor:
    """(N, D) rows as `products` takes them: float32 for oneDNN where torch has it."""
    if rows.dtype == torch.float32 and torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return rows.to_mkldnn()
    return rows


def products(x: Tensor, y: Tensor) -> Tensor:
    """(N, M): x·y for rows (N, D) and (M, D) of one type that are laid out.

    >>> x = laid_out(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    >>> products(x, x).tolist()
    [[5.0, 11.0], [11.0, 25.0]]
    """
    return linear(x, y).to_dense()


def float32_is_whole() -> bool:
    """Whether products of float32 rows have all its 24 bits here.

    Autocast, several of torch's settings and an environment variable of oneDNN can each take most
    of them, so a product is made and looked at.

    >>> float32_is_whole()
    True
    """
    one = torch.eye(PROBED)
    next_to_one = one * (1 + torch.finfo(torch.float32).eps)
    found = products(laid_out(next_to_one), laid_out(one))
    return found.dtype == torch.float32 and torch.equal(found, next_to_one)
