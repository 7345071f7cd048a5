"""A page a method and their index: `python -m kdbench_baselines.cards --write docs/methods`."""

from __future__ import annotations

from pathlib import Path

import click
from kdbench_baselines.cards.card import load_cards
from kdbench_baselines.cards.ours import BASELINES
from kdbench_baselines.cards.published import published_folders, read_published
from kdbench_baselines.cards.write import make_pages, write_files

RESULTS = BASELINES.parent / "results"
DOCS = BASELINES.parent / "docs" / "methods"


@click.command()
@click.option(
    "--write",
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder to write pages to; the index is written beside it, FOLDER.md.",
)
@click.option(
    "--results",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    multiple=True,
    help="A folder with published records, called after its suite; by default all in results/.",
)
def main(write: Path | None, results: tuple[Path, ...]) -> None:
    """Print the cards of all methods with what was measured of them, or write them."""
    folders = results or published_folders(RESULTS)
    published = [task for folder in folders for task in read_published(folder)]
    pages = make_pages(load_cards(), published, write or DOCS)
    if write is None:
        click.echo("\n".join(pages.values()), nl=False)
    else:
        write_files(pages, write)
        click.echo(f"wrote {len(pages)} files: {write}.md and {write}/")


if __name__ == "__main__":
    main()
