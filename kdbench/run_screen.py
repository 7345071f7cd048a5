"""What `plan`, `run` and `report` print."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:  # profiles bring numpy, which a help page does without
    from kdbench.costs.profiles import Profile


def show_plan(made: Any, *, costs: Profile | None, workers: int = 2) -> None:
    """A plan as a table, what is skipped, and how long it takes."""
    rows: dict[tuple[str, str, str, str], list[int]] = {}
    for one in made.runs:
        rows.setdefault((one.task, one.pair, one.arm, one.role), []).append(one.seed)
    table = Table(box=None, pad_edge=False, title=f"Plan: {made.what}", title_justify="left")
    for heading in ("task", "pair", "arm", "role", "seeds"):
        table.add_column(heading)
    for row, seeds in rows.items():
        table.add_row(*row, ", ".join(map(str, seeds)))
    console = Console()
    console.print(table)
    for reason in sorted({skipped.reason for skipped in made.skipped}):
        count = sum(skipped.reason == reason for skipped in made.skipped)
        console.print(f"Skipped {count}: {reason}.", markup=False, highlight=False)
    for reason in dict.fromkeys(made.unrun.values()):
        names = ", ".join(name for name, why in made.unrun.items() if why == reason)
        console.print(f"Unrun ({reason}): {names}.", markup=False, highlight=False)
    if more := dict.fromkeys(name for one in made.runs for name in one.metrics):
        console.print(f"Beside the task's own metrics: {', '.join(more)}.", markup=False)
    programs = len({(one.pair, one.arm) for one in made.runs})
    timed = (
        f"costs ({costs.name}) of at most {programs} programs about {costs.about_s} seconds each; "
        if costs
        else "costs are left out; "
    )
    console.print(
        f"{len(made.runs)} runs. From nothing, {_lasts(made, workers)}, "
        f"{timed}what is already there is taken as it is.",
        highlight=False,
    )


def _lasts(made: Any, workers: int) -> str:
    """How long training and sampling take, of what is known."""
    if not made.expected_seconds:
        return "nobody knows how long training and sampling take"
    minutes = math.ceil(made.expected_seconds / 60 / workers)
    known = " but those of unrun pairs" if made.unrun else ""
    return (
        f"training and sampling{known} take about {minutes} minute{'s' if minutes > 1 else ''} "
        f"with {workers} worker{'s' if workers > 1 else ''}"
    )


def result_as_dict(result: Any) -> dict[str, Any]:
    """What a run did, for `--json`."""
    return {
        "what": result.plan.what,
        "runs": result.outcomes,
        "skipped": [vars(skipped) for skipped in result.plan.skipped],
        "errors": [message for message, _ in result.errors],
        "wrote": [str(path) for path in result.wrote],
        "exit_code": result.exit_code,
    }


def show_result(result: Any) -> None:
    """A run's tables, and where everything was written."""
    from kdbench.report.terminal import summary_tables

    console = Console()
    for table in summary_tables(result.records, result.plan.suite):
        console.print(table)
    say_written(result.wrote)
    if result.wrote:
        click.echo("Next: open leaderboard.md, or read all numbers with kdbench.load_results().")


def say_written(paths: list[Path]) -> None:
    """One line for each file."""
    for path in paths:
        click.echo(f"wrote {path}")
