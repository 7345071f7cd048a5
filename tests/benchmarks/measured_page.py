"""Puts what the benchmarks measured into a page of the documentation."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from kdbench.store import write_atomically

_BEGIN, _END = "<!-- measured: begin -->", "<!-- measured: end -->"


def writer(measured: Callable[[dict[str, Any]], str]) -> click.Command:
    """A command `RUN PAGE` that replaces the page's measured part.

    Args:
        measured: makes that part of what `--benchmark-json` wrote.
    """

    @click.command()
    @click.argument("run", type=click.Path(path_type=Path, exists=True, dir_okay=False))
    @click.argument("page", type=click.Path(path_type=Path, exists=True, dir_okay=False))
    def main(run: Path, page: Path) -> None:
        """Put the results in pytest-benchmark's JSON file RUN into PAGE."""
        before, _, rest = page.read_text().partition(_BEGIN)
        _, _, after = rest.partition(_END)
        found = measured(json.loads(run.read_text()))
        write_atomically(page, f"{before}{_BEGIN}\n{found}\n{_END}{after}".encode())
        click.echo(f"wrote {page}")

    return main
