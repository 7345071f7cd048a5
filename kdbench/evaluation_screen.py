"""What a person sees of an evaluation: bars while it works, then tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from kdbench.evaluating.evaluation import Evaluation, Given, Measured
from kdbench.reading.names import printable
from kdbench.report.formats import MISSING, format_estimate, format_number
from kdbench.statistics import Estimated

MOST_ROWS = 30
"""Images that are shown one by one; more are in `--json`."""

BETTER = {True: "higher", False: "lower", None: MISSING}
DETAILS = ("median", "p5", "shuffled", "teacher", "difference")
"""Of metrics of images, shown beside the mean where there are some."""


@contextmanager
def progress_on(console: Console) -> Iterator[Callable[[str, int, int], None]]:
    """`progress(stage, done, total)` as one bar for each stage, on a terminal only."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    known = {}
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bars:

        def show(stage: str, done: int, total: int) -> None:
            if stage not in known:
                known[stage] = bars.add_task(stage, total=total)
            bars.update(known[stage], completed=done, total=total)

        yield show


def show(found: Evaluation, *, as_json: bool) -> None:
    """An evaluation as tables, or as JSON for machines."""
    if as_json:
        click.echo(found.to_json(), nl=False)
        return
    console = Console()
    for line in _what(found):
        console.print(Text(line))
    measured = [score for score in found.scores if score.value is not None]
    if measured:
        console.print(_table(measured))
    if found.per_image:
        _show_images(found, console)
    for line in _remarks(found.scores):
        console.print(Text(line))


def _what(found: Evaluation) -> Iterator[str]:
    """What was measured against what, and how files were treated."""
    sides = {
        "student": found.student,
        "teacher": found.teacher,
        "targets": found.targets,
        "reference": found.reference,
    }
    for side, given in sides.items():
        if given is not None:
            yield f"{side + ':':11}{printable(given.name)}, {_images(given)}"
            yield from (f"{'':11}{printable(note)}" for note in given.notes)
    for protocol in found.protocol:
        yield f"{'protocol:':11}{protocol}"


def _images(given: Given) -> str:
    if given.n is None:
        return "of how many images is not known"
    failed = f", of which {given.n_failed:,} failed" if given.n_failed else ""
    return f"{given.n:,} image{'' if given.n == 1 else 's'}{failed}"


def _table(scores: Sequence[Measured]) -> Table:
    details = [name for name in DETAILS if any(name in score.details for score in scores)]
    table = Table(box=None, pad_edge=False)
    table.add_column("metric", overflow="fold")
    for heading in ("value (95 %)", *details, "n", "against"):
        table.add_column(heading, justify="right")
    for heading in ("unit", "better"):
        table.add_column(heading)
    for score in scores:
        shown = [format_number(v) if v is not None else MISSING for v in _of(score, details)]
        counts = [f"{n:,}" if n is not None else MISSING for n in (score.n, score.n_reference)]
        facts = [score.unit or "", BETTER[score.higher_is_better]]
        table.add_row(*map(Text, [score.metric, _value(score), *shown, *counts, *facts]))
    return table


def _of(score: Measured, details: Iterable[str]) -> list[float | None]:
    return [score.details.get(name) for name in details]


def _value(score: Measured) -> str:
    low, high = (score.interval.low, score.interval.high) if score.interval else (None, None)
    return format_estimate(Estimated(score.value, low, high))


def _show_images(found: Evaluation, console: Console) -> None:
    if len(found.per_image) > MOST_ROWS:
        console.print(Text(f"The numbers of all {len(found.per_image):,} images: --json."))
        return
    table = Table(box=None, pad_edge=False)
    names = [name for name in found.per_image[0] if name != "name"]
    table.add_column("image", overflow="fold")
    for name in names:
        table.add_column(Text(name), justify="right")
    for image in found.per_image:
        numbers = [image[name] for name in names]
        cells = [format_number(v) if isinstance(v, float) else MISSING for v in numbers]
        table.add_row(*map(Text, [printable(str(image["name"])), *cells]))
    console.print()
    console.print(table)


def _remarks(scores: Sequence[Measured]) -> Iterator[str]:
    """What must be known of values, and why some are missing; metrics of one remark together."""
    marks = [(mark, score) for score in scores for mark in score.marks]
    reasons = [(score.reason, score) for score in scores if score.reason]
    yield from _grouped("Mind", marks)
    yield from _grouped("No interval", [(r, s) for r, s in reasons if s.value is not None])
    yield from _grouped("Not measured", [(r, s) for r, s in reasons if s.value is None])


def _grouped(heading: str, said: Sequence[tuple[str, Measured]]) -> Iterator[str]:
    together: dict[str, list[str]] = {}
    for words, score in said:
        together.setdefault(words, []).append(score.metric.partition("@")[0])
    for words, names in together.items():
        text = words.removeprefix(f"{heading}: ").removeprefix(f"{heading} ")
        yield f"{heading}: {', '.join(names)}: {text}"
