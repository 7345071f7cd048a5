"""Published weights: found, checked, and explained where they are missing or damaged."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from kdbench.errors import BadSpec, UnknownName, WeightsError
from kdbench.weights import WeightCard, cards, find_weights, weights_id, write_weights

RECIPE = "kdbench run mine --retrain --seeds 0-1"
DATA = b"as good as weights"


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    find_weights.cache_clear()
    yield
    cards.added.clear()
    find_weights.cache_clear()


def card(*, data: bytes = DATA) -> WeightCard:
    return WeightCard(
        name="mine",
        sha256=hashlib.sha256(data).hexdigest(),
        recipe=RECIPE,
        data='synthetic, "no terms"\\',
        figures={"accuracy": 0.974, "tiny": 1e-20},
        summary="Of a test.",
    )


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """The path of weights that were just published, and are registered."""
    write_weights(tmp_path, card(), DATA)
    cards.add(tmp_path / "mine.toml")
    return tmp_path / "mine.safetensors"


def test_published_weights_are_found(published: Path) -> None:
    assert find_weights("mine") == published.resolve()
    assert find_weights("mine").read_bytes() == DATA
    assert weights_id("mine") == f"mine:{hashlib.sha256(DATA).hexdigest()}"


def test_a_card_comes_back_as_it_was_written(published: Path) -> None:
    assert cards.load("mine") == card()


def test_missing_weights_say_how_to_make_them(published: Path) -> None:
    published.unlink()
    with pytest.raises(WeightsError, match="missing") as caught:
        find_weights("mine")
    assert RECIPE in str(caught.value)
    assert str(published) in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("damage", [b"", DATA[:-1], DATA[:-1] + b"?"])
def test_damaged_weights_say_how_to_make_them(published: Path, damage: bytes) -> None:
    published.write_bytes(damage)
    with pytest.raises(WeightsError, match="damaged") as caught:
        find_weights("mine")
    assert RECIPE in str(caught.value)
    assert hashlib.sha256(damage).hexdigest()[:12] in str(caught.value)
    assert hashlib.sha256(DATA).hexdigest()[:12] in str(caught.value)
    assert "\n" not in str(caught.value)


def test_publishing_again_replaces_what_was_found_before(published: Path, tmp_path: Path) -> None:
    find_weights("mine")
    write_weights(tmp_path, card(data=b"better"), b"better")
    assert find_weights("mine").read_bytes() == b"better"


def test_unknown_weights_get_the_closest_name() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'digits-cnn'"):
        find_weights("digit-cnn")


def test_a_card_without_a_hash_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('name = "mine"\nsha256 = "abc"\nrecipe = "r"\ndata = "d"\n')
    with pytest.raises(BadSpec, match=r"mine\.toml is not a valid weightcard: sha256"):
        cards.add(path)


def test_every_published_file_is_whole_and_has_a_recipe() -> None:
    names = list(cards)
    assert {"digits-aux", "digits-cnn", "toy-edm-0", "toy-edm-1"} <= set(names)
    for name in names:
        assert find_weights(name).stat().st_size > 1000
        assert cards.load(name).recipe.split()[0] in ("kdbench", "python")
        assert cards.load(name).figures, name
