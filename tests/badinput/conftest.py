"""Lets the tests here import `bad_files`, and gives them a folder of good images."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from bad_files import photo


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder `images` with two good PNGs of one size, `good1.png` and `good2.png`."""
    found = tmp_path / "images"
    found.mkdir()
    for i in (1, 2):
        photo(seed=i).save(found / f"good{i}.png")
    return found
