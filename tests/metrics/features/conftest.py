"""Lets the tests here import `random_weights`, and gives them files of random weights."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

from random_weights import inception_state, pickled, publish

Publish = Callable[[str, bytes], Path]


@pytest.fixture(scope="session")
def inception_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of random weights in the published layout of FID's network, 95 MB."""
    path = tmp_path_factory.mktemp("inception") / "weights.pth"
    path.write_bytes(pickled(inception_state()))
    return path


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Publish:
    """Publishes bytes under a name for one test, and says where."""

    def write(name: str, data: bytes) -> Path:
        path = tmp_path / f"{name}.pth"
        path.write_bytes(data)
        publish(monkeypatch, name, path)
        return path

    return write


@pytest.fixture
def photos() -> torch.Tensor:
    """Two smooth random pictures, uint8 (2, 3, 40, 40)."""
    torch.manual_seed(1)
    coarse = torch.rand(2, 3, 7, 7)
    return (torch.nn.functional.interpolate(coarse, 40, mode="bilinear") * 255).byte()
