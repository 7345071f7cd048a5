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

MOST_WIDE = 1000
"""Characters that no row of a table needs."""

WIDE = 200
"""Characters of a line where nobody's terminal says how many there are: in a file or a pipe."""

BETTER = {True: "↑", False: "↓", None: ""}
"""Which direction is better."""
WORST = {True: "p5", False: "p95"}
"""The percentile that 5 % of images are worse than, by which direction is better."""

TAIL = "worst 5 %"
DIFFERENCE = "student \N{MINUS SIGN} teacher"
DETAILS = ("median", TAIL, "shuffled", "teacher", DIFFERENCE)
"""Of metrics of pairs, shown beside the mean where there are some."""

MEANS = ("floor", "generated", "reference")
"""Of distances between values of single images, shown where there are all of them."""


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
    apart = [score for score in measured if "floor" in score.details]
    others = [score for score in measured if score not in (*pairs, *apart)]
    for scores in (pairs, others, apart):
        if scores:
            click.echo()
            _print(console, scores)
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


def _print(console: Console, scores: Sequence[EvaluationScore]) -> None:
    """One table, or two below each other where one is too wide to be read."""
    named = DETAILS if any(map(_is_paired, scores)) else MEANS
    details = [name for name in named if any(_detail(score, name) for score in scores)]
    whole = _table(scores, details)
    free = console.options.update(width=MOST_WIDE)
    if details and console.measure(whole, options=free).maximum > console.width:
        console.print(_table(scores, ()))
        console.print()
        console.print(_table(scores, details, values=False))
    else:
        console.print(whole)


def _table(
    scores: Sequence[EvaluationScore], details: Sequence[str], *, values: bool = True
) -> Table:
    table = Table(box=None, pad_edge=False)
    longest = max(len(name) for name in ("metric", *map(_short, scores)))
    table.add_column("metric", overflow="fold", min_width=min(longest, NAME_WIDTH))
    table.add_column("")
    paired = any(map(_is_paired, scores))
    beside = not paired and any(score.n_reference is not None for score in scores)
    counted = ("n", "against") if beside else ("n",)
    headings = [*(("value", "95 % interval") if values else ()), *details]
    for heading in [*headings, *(counted if values else ())]:
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("unit", overflow="fold")
    for score in scores:
        row = [_short(score), BETTER[score.higher_is_better]]
        row += [_number(score.value), _interval(score)] if values else []
        row += [_detail(score, name) or MISSING for name in details]
        counts = (score.n, score.n_reference)[: len(counted)]
        row += [*map(_count, counts)] if values else []
        table.add_row(*map(Text, [*row, score.unit or ""]))
    return table


def _detail(score: EvaluationScore, name: str) -> str | None:
    """A detail, or None; of the worst images the percentile that 5 % of them are beyond."""
    details = score.details
    if name == TAIL:
        better = score.higher_is_better
        name = "" if better is None else WORST[better]
    if name == DIFFERENCE:
        ends = [details.get(f"difference{end}") for end in ("", "_low", "_high")]
        return _with_ends(*ends)
    if name in MEANS and "floor" not in details:
        return None
    value = details.get(name)
    return None if value is None else format_number(value)


def _with_ends(value: float | None, low: float | None, high: float | None) -> str | None:
    if value is None:
        return None
    ends = "" if low is None or high is None else f" ({_number(low)} to {_number(high)})"
    return f"{_number(value)}{ends}"


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
        said = {"test": page.key.test, "wrote": wrote, "notes": page.notes}
        click.echo(json.dumps(said, indent=1))
        return
    against = " and ".join(f"{printable(n)} ({role})" for role, n in page.key.others.items())
    count = len(page.key.trials)
    click.echo(f"{count:,} comparisons of {printable(page.key.student)} with {against}.")
    for role in _at_random(page.key):
        click.echo(f"Mind: images of the {role} have other names: shown at random.")
    for note in page.notes:
        click.echo(f"Mind: {note}")
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
