"""What a person sees of an evaluation: bars while it works, then tables."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from kdbench.blind.answers import Preferences
from kdbench.blind.make import KEY, PAGE, Page
from kdbench.blind.trials import Key
from kdbench.evaluating.evaluation import Evaluation, EvaluationScore, Given
from kdbench.reading.names import printable
from kdbench.report.formats import MISSING, format_number, format_p

MOST_ROWS = 30
"""Images that are shown one by one; more are in `--json`."""

NAME_WIDTH = 30
"""Characters of a metric's name that are kept on one line."""

WIDE = 200
"""Characters of a line where nobody's terminal says how many there are: in a file or a pipe."""

BETTER = {True: "↑", False: "↓", None: ""}
"""Which direction is better."""
WORST = {True: "p5", False: "p95"}
"""The percentile that 5 % of images are worse than, by which direction is better."""

TAIL = "worst 5 %"
DETAILS = ("median", TAIL, "shuffled", "teacher")
"""Of metrics of pairs, shown beside the mean where there are some."""


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
    hidden = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=hidden) as bars:

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
    console = _console()
    click.echo("\n".join(_what(found)))
    measured = [score for score in found.scores if score.value is not None]
    pairs = [score for score in measured if _is_paired(score)]
    for scores in (pairs, [score for score in measured if score not in pairs]):
        if scores:
            click.echo()
            console.print(_table(scores))
    if pairs and len(found.per_image) <= MOST_ROWS:
        click.echo()
        console.print(_images_table(found, [score.metric for score in pairs]))
    elif found.per_image:
        click.echo("The numbers of each image: --json.")
    remarks = list(_remarks(found.scores))
    if remarks:
        click.echo("\n" + "\n".join(remarks))


def _console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=WIDE)


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
            yield from (f"{'':11}{note}" for note in given.notes)  # names in it are printable
    for protocol in found.protocol:
        yield f"{'protocol:':11}{protocol}"


def _images(given: Given) -> str:
    if given.n is None:
        return "of how many images is not known"
    failed = f", of which {given.n_failed:,} failed" if given.n_failed else ""
    return f"{given.n:,} image{'' if given.n == 1 else 's'}{failed}"


def _table(scores: Sequence[EvaluationScore]) -> Table:
    paired = any(map(_is_paired, scores))
    details = [n for n in DETAILS if paired and any(_detail(s, n) is not None for s in scores)]
    table = Table(box=None, pad_edge=False)
    longest = max(len(name) for name in ("metric", *map(_short, scores)))
    table.add_column("metric", overflow="fold", min_width=min(longest, NAME_WIDTH))
    table.add_column("")
    beside = not paired and any(score.n_reference is not None for score in scores)
    counted = ("n", "against") if beside else ("n",)
    for heading in ("value", "95 % interval", *details, *counted):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("unit", overflow="fold")
    for score in scores:
        more = [_number(_detail(score, name)) for name in details]
        counts = [_count(n) for n in (score.n, score.n_reference)[: len(counted)]]
        name = _short(score), BETTER[score.higher_is_better]
        row = [*name, _number(score.value), _interval(score), *more, *counts, score.unit or ""]
        table.add_row(*map(Text, row))
    return table


def _detail(score: EvaluationScore, name: str) -> float | None:
    """A detail; of the worst images the percentile that 5 % of them are beyond."""
    if name == TAIL:
        better = score.higher_is_better
        return None if better is None else score.details.get(WORST[better])
    return score.details.get(name)


def _short(score: EvaluationScore) -> str:
    """A metric without its version, which is in the record."""
    return score.metric.partition("@")[0]


def _is_paired(score: EvaluationScore) -> bool:
    return "median" in score.details and score.n_reference is not None


def _number(value: float | None) -> str:
    return MISSING if value is None else format_number(value)


def _count(n: int | None) -> str:
    return MISSING if n is None else f"{n:,}"


def _interval(score: EvaluationScore) -> str:
    found = score.interval
    return f"{_number(found.low)} to {_number(found.high)}" if found else MISSING


def _images_table(found: Evaluation, names: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("image", overflow="fold")
    for name in names:
        table.add_column(Text(name.partition("@")[0]), justify="right")
    for image in found.per_image:
        numbers = [image[name] for name in names]
        cells = [format_number(v) if isinstance(v, float) else MISSING for v in numbers]
        table.add_row(*map(Text, [printable(str(image["name"])), *cells]))
    return table


def _remarks(scores: Sequence[EvaluationScore]) -> Iterator[str]:
    """What must be known of values, and why some are missing; metrics of one remark together."""
    marks = [(mark, score) for score in scores for mark in score.marks]
    reasons = [(score.reason, score) for score in scores if score.reason]
    measured = sum(score.value is not None for score in scores)
    yield from _grouped("Mind", marks, measured)
    yield from _grouped("No interval", [(r, s) for r, s in reasons if s.value is not None])
    yield from _grouped("Not measured", [(r, s) for r, s in reasons if s.value is None])


def _grouped(
    heading: str, said: Sequence[tuple[str, EvaluationScore]], measured: int = 0
) -> Iterator[str]:
    together: dict[str, list[str]] = {}
    for words, score in said:
        together.setdefault(words, []).append(_short(score))
    for words, names in together.items():
        text = words.removeprefix(f"{heading}: ").removeprefix(f"{heading} ")
        which = "all" if 3 < measured == len(names) else ", ".join(names)
        yield f"{heading}: {which}: {text}"


def show_page(page: Page, *, as_json: bool) -> None:
    """Where a blinded page is, and what to do with it."""
    wrote = [str(page.folder / name) for name in (PAGE, KEY)]
    if as_json:
        click.echo(json.dumps({"test": page.key.test, "wrote": wrote}, indent=1))
        return
    against = " and ".join(f"{printable(n)} ({role})" for role, n in page.key.others.items())
    count = len(page.key.trials)
    click.echo(f"{count:,} comparisons of {printable(page.key.student)} with {against}.")
    for role in _at_random(page.key):
        click.echo(f"Mind: images of the {role} have other names or sizes: shown at random.")
    click.echo(f"wrote {wrote[0]}: open it in a browser, answer, and save; it can be given away.")
    click.echo(
        f"wrote {wrote[1]}: whose side is whose, without which no answer can be scored; keep it, "
        "and from who answers."
    )
    click.echo(f"Next: kdbench eval --blind {page.folder} --answers answers.json")


def _at_random(key: Key) -> list[str]:
    """Whose images could not be shown beside the student's of the same name."""
    apart = {one.against for one in key.trials.values() if one.student_image != one.other_image}
    return sorted(apart - {"reference"})


def show_preferences(found: Preferences, *, as_json: bool) -> None:
    """What people preferred."""
    if as_json:
        click.echo(found.model_dump_json(indent=1))
        return
    people = f"{found.people} {'person' if found.people == 1 else 'people'}"
    click.echo(f"How often {printable(found.student)} was preferred, by {people}:")
    table = Table(box=None, pad_edge=False)
    table.add_column("against", overflow="fold")
    for heading in ("share", "95 % interval", "for it", "of", "ties", "unanswered", "p"):
        table.add_column(heading, justify="right")
    for one in found.comparisons:
        share = MISSING if one.share is None else f"{one.share:.0%}"
        ends = f"{one.interval.low:.0%} to {one.interval.high:.0%}" if one.interval else MISSING
        counts = map(str, (one.preferred, one.n, one.ties, one.unanswered))
        name = f"{printable(one.name)} ({one.against})"
        table.add_row(*map(Text, [name, share, ends, *counts, format_p(one.p)]))
    _console().print(table)
    click.echo("Ties are left out of share and interval; p is for 50 %, two-sided.")
    for mark in found.marks:
        click.echo(f"Mind: {mark}.")
