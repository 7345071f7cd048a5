"""Tensors on disk by content: found again, never confused, never believed when damaged."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch

from kdbench.metrics.cache import Cache

A = {"features": torch.arange(12, dtype=torch.float32).reshape(4, 3)}


class Counter:
    """Makes the same tensors and counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self) -> dict[str, torch.Tensor]:
        self.asked += 1
        return A


def test_what_was_made_is_found_again(tmp_path: Path) -> None:
    make = Counter()
    for _ in range(2):
        found = Cache(tmp_path).tensors("images", "extractor", make=make)
        assert torch.equal(found["features"], A["features"])
    assert make.asked == 1


def test_nothing_is_kept_without_a_folder() -> None:
    make = Counter()
    for _ in range(2):
        Cache(None).tensors("images", "extractor", make=make)
    assert make.asked == 2


@pytest.mark.parametrize(
    "other", [("image", "sextractor"), ("images",), ("images", "extractor", "")]
)
def test_other_contents_are_other_files(tmp_path: Path, other: tuple[str, ...]) -> None:
    make = Counter()
    Cache(tmp_path).tensors("images", "extractor", make=make)
    Cache(tmp_path).tensors(*other, make=make)
    assert make.asked == 2


def test_one_flipped_bit_is_noticed(tmp_path: Path) -> None:
    make = Counter()
    Cache(tmp_path).tensors("images", make=make)
    (path,) = tmp_path.iterdir()
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    found = Cache(tmp_path).tensors("images", make=make)
    assert make.asked == 2
    assert torch.equal(found["features"], A["features"])


def test_a_pickle_is_not_opened(tmp_path: Path) -> None:
    make = Counter()
    Cache(tmp_path).tensors("images", make=make)
    (path,) = tmp_path.iterdir()
    mark = tmp_path / "executed"
    path.write_bytes(pickle.dumps(_Evil(mark)))
    Cache(tmp_path).tensors("images", make=make)
    assert make.asked == 2
    assert not mark.exists()


class _Evil:
    """Creates a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.mark,)
