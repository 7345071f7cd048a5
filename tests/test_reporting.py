"""Publishing: records travel with their galleries, and nothing damaged gets in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kdbench.errors import NothingMeasured, StoreError
from kdbench.reporting import publish, render
from kdbench.store import Store


@pytest.fixture(scope="module")
def means(kdbench: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the cheapest pair with pictures."""
    out = tmp_path_factory.mktemp("means") / "runs"
    done = kdbench("run", "digits-mean", "--seeds", "0-1", "--out", out, "--json")
    assert done.returncode == 0, done.stderr
    return Path(out)


def test_publish_copies_records_and_galleries_and_can_be_repeated(
    means: Path, tmp_path: Path
) -> None:
    assert publish((means,), tmp_path) == 2
    assert publish((means,), tmp_path) == 2
    published = Store(tmp_path)
    assert [r.key for r in published.records()] == [r.key for r in Store(means).records()]
    assert all(published.sound(r.artifacts["gallery"]) for r in published.records())
    page = render(None, out=tmp_path, to=tmp_path / "page")[0]
    assert "digits-mean" in page.read_text()


def test_one_record_file_can_be_published(means: Path, tmp_path: Path) -> None:
    file = next((means / "records").rglob("seed-1-*.json"))
    assert publish((file,), tmp_path) == 1
    assert [r.identity.train_seed for r in Store(tmp_path).records()] == [1]


def test_a_damaged_gallery_stops_everything(means: Path, tmp_path: Path) -> None:
    store = Store(means)
    gallery = store.artifact(store.records()[0].artifacts["gallery"])
    sound = gallery.read_bytes()
    try:
        gallery.write_bytes(sound[:-1])
        with pytest.raises(StoreError, match="damaged"):
            publish((means,), tmp_path)
        assert not (tmp_path / "records").exists()
    finally:
        gallery.write_bytes(sound)


def test_nothing_recorded_is_said_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NothingMeasured, match="kdbench run quick"):
        render(None, out=tmp_path, to=None)
