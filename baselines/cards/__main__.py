"""All method cards on one page: `python -m kdbench_baselines.cards --write docs/methods.md`."""

from __future__ import annotations

from pathlib import Path

import click
from kdbench_baselines.cards.card import load_cards
from kdbench_baselines.cards.measured import published_folders, read_published
from kdbench_baselines.cards.ours import BASELINES
from kdbench_baselines.cards.page import write_page

from kdbench.store import write_atomically

RESULTS = BASELINES.parent / "results"


@click.command()
@click.option("--write", type=click.Path(path_type=Path, dir_okay=False), help="The page to write.")
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
    page = write_page(load_cards(), published)
    if write is None:
        click.echo(page)
    else:
        write_atomically(write, page.encode())
        click.echo(f"wrote {write}")


if __name__ == "__main__":
    main()
