"""Published weights: found, checked, and explained where they are missing or damaged."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from kdbench.errors import BadSpec, UnknownName, WeightsError
from kdbench.weights import WeightCard, cards, find_weights, weights_id, write_weights

RECIPE = "kdbench run mine --retrain --seeds 0-1"
DATA = b"as good as weights"


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    yield
    cards.added.clear()


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


@pytest.mark.parametrize("damage", [DATA[:-1] + b"?", b""])
def test_damage_after_the_first_look_is_seen(published: Path, damage: bytes) -> None:
    find_weights("mine")
    published.write_bytes(damage)
    with pytest.raises(WeightsError, match="damaged"):
        find_weights("mine")


@pytest.mark.parametrize("also", [{"recipe": "r"}, {"recipe": None, "external": None}])
def test_weights_have_one_origin(also: dict[str, Any]) -> None:
    external = {"file": "f.pth", "url": "https://example.org/f.pth", "licence": "MIT"}
    fields = {"name": "mine", "sha256": "0" * 64, "data": "d", "external": external, **also}
    with pytest.raises(ValidationError, match="either a recipe or an external file"):
        WeightCard.model_validate(fields)


def test_every_shipped_file_is_whole_and_has_a_recipe() -> None:
    shipped = [card for card in map(cards.load, cards) if card.recipe is not None]
    assert {"digits-aux", "digits-cnn", "toy-edm-0", "toy-edm-1"} <= {c.name for c in shipped}
    for card in shipped:
        assert find_weights(card.name).stat().st_size > 1000
        assert str(card.recipe).split()[0] in ("kdbench", "python")
        assert card.figures, card.name


def test_every_external_file_has_its_hash_in_its_published_name() -> None:
    """As PyTorch and OpenAI name them; DINOv2's has none."""
    found = {c.name: c for c in map(cards.load, cards) if c.external is not None}
    assert set(found) == {
        *("alexnet", "vgg16", "squeezenet1_1", "inception-v3-compat"),
        *("clip-vit-b32", "clip-vit-l14-336", "dinov2-vit-l14"),
    }
    for name, card in found.items():
        assert card.external is not None
        assert card.external.url.startswith("https://")
        assert card.external.url.endswith(f"/{card.external.file}")
        assert card.external.licence in ("MIT", "BSD-3-Clause", "Apache-2.0")
        assert card.summary.endswith(".")
        assert card.data
        assert name == "dinov2-vit-l14" or card.sha256[:8] in card.external.url
