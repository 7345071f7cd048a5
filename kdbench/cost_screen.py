"""What a person sees of costs: each figure as it begins, then a table a variant, then remarks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import click
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from kdbench.cost_sheet import CostSheet
from kdbench.mark_words import explain_mark
from kdbench.record import Cost
from kdbench.report.formats import MISSING, format_count

WIDE = 200
"""Characters of a line where nobody's terminal says how many there are: in a file or a pipe."""


@contextmanager
def telling_on(console: Console) -> Iterator[Callable[[str], None]]:
    """`tell(what)` as one line that changes on a terminal, and as a line each elsewhere.

    Nothing moves by itself: drawing a clock or a wheel would take time from what is measured.
    """
    if not console.is_terminal:
        yield lambda what: console.print(what, markup=False, highlight=False)
        return
    with Live(console=console, auto_refresh=False, transient=True) as live:
        yield lambda what: live.update(Text(f"measuring {what} …"), refresh=True)


def show(sheet: CostSheet) -> None:
    """Everything that was measured, and what must be known before believing it."""
    against = f", against {sheet.against.label}" if sheet.against else ""
    threads = f"{sheet.threads} thread{'' if sheet.threads == 1 else 's'}"
    click.echo(f"{sheet.program.label} ({sheet.program.task}){against}")
    click.echo(f"{sheet.device}, {threads}, profile {sheet.profile.name}")
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDE)
    for name, costs in sheet.variants.items():
        click.echo(f"\n{name}")
        if any(cost.value is not None for cost in costs):
            console.print(_table(costs))
        for remark in (*_images(costs), *_reasons(costs)):
            click.echo(remark)
    marks = list(_marks(cost for costs in sheet.variants.values() for cost in costs))
    if marks:
        click.echo("\n" + "\n".join(marks))


def three_digits(value: float) -> str:
    """Three significant digits, which is what a timing carries.

    >>> [three_digits(v) for v in (0.0123456, 1.5, 99.96, 12345.6, 0.0)]
    ['0.0123', '1.50', '100', '12,300', '0']
    """
    rounded = float(f"{value:.2e}")
    if rounded == 0:
        return "0"
    places = 2 - math.floor(math.log10(abs(rounded)))
    return f"{rounded:.2e}" if places > 6 else f"{rounded:,.{max(0, places)}f}"


def _table(costs: Sequence[Cost]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("metric", "boundary"):
        table.add_column(heading, no_wrap=True)
    for heading in ("batch", "value", "interval", "n"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("unit", no_wrap=True)
    table.add_column("marks", overflow="fold")
    for cost in costs:
        row = [
            cost.metric,
            cost.boundary or "",
            f"{cost.batch:,}" if cost.batch else "",
            _value(cost),
            _interval(cost),
            f"{cost.n:,}" if cost.n else "",
            cost.unit,
            ", ".join(cost.marks),
        ]
        table.add_row(*map(Text, row))
    return table


def _value(cost: Cost) -> str:
    if cost.value is None:
        return MISSING
    return format_count(cost.value) if cost.stat == "count" else three_digits(cost.value)


def _interval(cost: Cost) -> str:
    found = cost.interval
    return f"{three_digits(found.low)} to {three_digits(found.high)}" if found else ""


def _images(costs: Sequence[Cost]) -> Iterator[str]:
    """How far images of timed calls are from what fp32 draws; nothing where none differs."""
    steps = [s for c in costs if isinstance(s := c.details.get("images_max_step"), float)]
    distances = [d for c in costs if isinstance(d := c.details.get("images_psnr_db"), float)]
    if distances:
        yield (
            "Images: those of timed calls differ from those that fp32 draws without a clock: PSNR "
            f"{three_digits(min(distances))} dB or more, no value by more than "
            f"{three_digits(max(steps))}."
        )


def _reasons(costs: Sequence[Cost]) -> Iterator[str]:
    """Why figures are missing, those with one reason together."""
    together: dict[str, list[str]] = {}
    for cost in costs:
        if cost.value is None:
            name = " ".join(filter(None, (cost.metric, cost.boundary)))
            together.setdefault(cost.reason or "no reason was recorded", []).append(name)
    for reason, names in together.items():
        yield f"Not measured: {', '.join(dict.fromkeys(names))}: {reason}"


def _marks(costs: Iterable[Cost]) -> Iterator[str]:
    """One line for each kind of mark that occurs."""
    kinds = dict.fromkeys(mark.partition(":")[0] for cost in costs for mark in cost.marks)
    for kind in kinds:
        yield f"{kind}: {explain_mark(kind) or 'not known to this version of kdbench'}"
