"""The index and the pages as files: all that there are, and none of methods that are gone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from kdbench_baselines.cards.card import Card
from kdbench_baselines.cards.index import write_index
from kdbench_baselines.cards.page import MADE, write_page
from kdbench_baselines.cards.published import Published

from kdbench.store import write_atomically


def make_pages(
    cards: Sequence[Card], published: Sequence[Published], folder: Path
) -> dict[Path, str]:
    """Every file and its text: a page a method in `folder`, and the index `folder`.md."""
    index = folder.with_suffix(".md")
    pages = {
        folder / f"{card.method}.md": write_page(card, published, index=index.name)
        for card in cards
    }
    return {**pages, index: write_index(cards, published, folder=folder.name)}


def stale_pages(pages: Mapping[Path, str], folder: Path) -> list[Path]:
    """Pages in `folder` that an earlier command made and this one does not."""
    others = (path for path in sorted(folder.glob("*.md")) if path not in pages)
    return [path for path in others if path.read_text("utf-8").startswith(MADE)]


def write_files(pages: Mapping[Path, str], folder: Path) -> None:
    """Replace each file or leave it as it was, the index after its pages; then remove stale ones.

    Raises:
        StoreError: the folder cannot be written or the disk is full.
    """
    for path, text in pages.items():
        write_atomically(path, text.encode())
    for path in stale_pages(pages, folder):
        path.unlink()
