"""The digest of tensors: what it depends on, and that it takes no second copy of them."""

from __future__ import annotations

import hashlib
import tracemalloc

import numpy as np
import pytest
import torch
from torch import Tensor

from kdbench.digest import sha256_of


@pytest.mark.parametrize(
    "tensor",
    [
        torch.arange(24, dtype=torch.uint8).reshape(2, 3, 4),
        torch.arange(6.0).reshape(2, 3).T,
        torch.zeros(0, 3),
        torch.tensor(2.5, dtype=torch.float64),
        torch.tensor([True, False]),
        torch.tensor([1.0], dtype=torch.float16),
    ],
    ids=lambda tensor: f"{tuple(tensor.shape)}-{tensor.dtype}",
)
def test_it_is_that_of_shape_type_and_bytes(tensor: Tensor) -> None:
    head = f"{tuple(tensor.shape)}{tensor.dtype}".encode()
    said = hashlib.sha256(head + np.ascontiguousarray(tensor.numpy()).tobytes()).hexdigest()
    assert sha256_of(tensor) == said


def test_it_is_the_same_on_every_machine() -> None:
    found = sha256_of(torch.arange(4, dtype=torch.uint8), torch.zeros(0))
    assert found == "b33197032af06a7d689e1711d5b6d4db5a73871e7fe978fea74978d16d2991aa"


def test_it_copies_nothing() -> None:
    images = torch.zeros(8_000_000, dtype=torch.uint8)
    tracemalloc.start()
    sha256_of(images)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 1_000_000
