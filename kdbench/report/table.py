"""One table, drawn as Markdown, CSV or on a terminal."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Literal

from rich.table import Table as RichTable
from rich.text import Text

from kdbench.report.escape import escape_csv, escape_markdown, printable
from kdbench.report.formats import MISSING, format_estimate, format_number
from kdbench.statistics import Estimated

Kind = Literal["text", "number", "estimate"]


@dataclass(frozen=True)
class Column:
    """A column: its name in files, its heading for readers, and what its cells hold."""

    key: str
    title: str
    kind: Kind = "text"
    """An estimate has `_low`, `_high` and `_n` columns beside it in CSV."""


@dataclass(frozen=True)
class Cell:
    """What readers see, what CSV holds, and why something is missing."""

    text: str = ""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    note: str | None = None
    """Printed below the table and referred to from the cell."""
    strong: bool = False
    marks: tuple[str, ...] = ()
    """The marks of a cost that its note begins with."""


@dataclass(frozen=True)
class Group:
    """Rows under one heading."""

    title: str
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class Table:
    """Columns, and rows in groups."""

    columns: tuple[Column, ...]
    groups: tuple[Group, ...]

    def __post_init__(self) -> None:
        if any(len(row) != len(self.columns) for group in self.groups for row in group.rows):
            raise ValueError("every row has one cell a column")

    @property
    def rows(self) -> tuple[tuple[Cell, ...], ...]:
        """All rows without their headings."""
        return tuple(row for group in self.groups for row in group.rows)

    @property
    def marks(self) -> tuple[str, ...]:
        """The distinct marks of all cells, sorted."""
        return tuple(sorted({mark for row in self.rows for cell in row for mark in cell.marks}))

    @property
    def notes(self) -> tuple[str, ...]:
        """The distinct notes in the order in which readers meet them."""
        return tuple(dict.fromkeys(cell.note for row in self.rows for cell in row if cell.note))

    def select(self, keys: Collection[str]) -> Table:
        """The columns named in `keys`, in the table's own order."""
        kept = [i for i, column in enumerate(self.columns) if column.key in keys]
        return Table(
            columns=tuple(self.columns[i] for i in kept),
            groups=tuple(
                replace(group, rows=tuple(tuple(row[i] for i in kept) for row in group.rows))
                for group in self.groups
            ),
        )


def missing_cell(reason: str) -> Cell:
    """A dash with its reason below the table."""
    return Cell(text=MISSING, note=reason)


def estimate_cell(
    estimate: Estimated, *, form: Callable[[Estimated], str] = format_estimate
) -> Cell:
    """A value with its interval, or a dash with the reason."""
    if estimate.value is None:
        return missing_cell(estimate.reason or "not measured")
    return Cell(
        text=form(estimate),
        value=estimate.value,
        low=estimate.low,
        high=estimate.high,
        n=estimate.n,
        note=estimate.reason,
    )


def number_cell(
    value: float | None, *, reason: str = "not known", form: Callable[[float], str] = format_number
) -> Cell:
    """A value that has no interval, or a dash with the reason."""
    return missing_cell(reason) if value is None else Cell(text=form(value), value=value)


def to_markdown(table: Table) -> str:
    """A GitHub table, its group headings as rows, its notes as a numbered list below."""
    marks = {note: number for number, note in enumerate(table.notes, start=1)}
    rules = ["---" if column.kind == "text" else "---:" for column in table.columns]
    lines = [_pipe([escape_markdown(column.title) for column in table.columns]), _pipe(rules)]
    for group in table.groups:
        if group.title:
            heading = f"**{escape_markdown(group.title)}**"
            lines.append(_pipe([heading, *[""] * (len(table.columns) - 1)]))
        lines.extend(_pipe([_markdown_cell(cell, marks) for cell in row]) for row in group.rows)
    if marks:
        lines.append("")
        lines.extend(f"{number}. {escape_markdown(note)}" for note, number in marks.items())
    return "\n".join(lines) + "\n"


def to_csv(table: Table) -> str:
    """RFC 4180 with numbers at full precision; notes in a last column, empty where there is none.

    A missing number is an empty field.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*(name for c in table.columns for name in _csv_names(c)), "notes"])
    for row in table.rows:
        pairs = list(zip(table.columns, row, strict=True))
        notes = "; ".join(f"{column.key}: {cell.note}" for column, cell in pairs if cell.note)
        fields = [field for column, cell in pairs for field in _csv_fields(column, cell)]
        writer.writerow([*fields, escape_csv(notes)])
    return out.getvalue()


_NAMES = ("row",)
"""Columns whose cells a reader copies: whole even where the terminal is narrow."""


def to_rich(table: Table, *, title: str | None = None) -> RichTable:
    """A table for `rich.print`; names are literal text, never markup."""
    marks = {note: number for number, note in enumerate(table.notes, start=1)}
    caption = "\n".join(f"[{number}] {printable(note)}" for note, number in marks.items())
    drawn = RichTable(
        title=Text(printable(title)) if title else None,
        caption=Text(caption) if caption else None,
        caption_justify="left",
    )
    for column in table.columns:
        justify: Literal["left", "right"] = "left" if column.kind == "text" else "right"
        drawn.add_column(
            Text(printable(column.title)),
            justify=justify,
            no_wrap=column.key in _NAMES,
            overflow="fold",
        )
    for group in table.groups:
        if group.title:
            drawn.add_section()
            drawn.add_row(Text(printable(group.title), style="bold"))
        for row in group.rows:
            drawn.add_row(*(_rich_cell(cell, marks) for cell in row))
    return drawn


def _pipe(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _markdown_cell(cell: Cell, marks: dict[str, int]) -> str:
    text = escape_markdown(cell.text)
    if cell.strong and text:
        text = f"**{text}**"
    return f"{text}<sup>{marks[cell.note]}</sup>" if cell.note else text


def _rich_cell(cell: Cell, marks: dict[str, int]) -> Text:
    text = Text(printable(cell.text), style="bold" if cell.strong else "")
    return text.append(f" [{marks[cell.note]}]") if cell.note else text


def _csv_names(column: Column) -> list[str]:
    suffixes = ("", "_low", "_high", "_n") if column.kind == "estimate" else ("",)
    return [column.key + suffix for suffix in suffixes]


def _csv_fields(column: Column, cell: Cell) -> list[str]:
    if column.kind == "text":
        return [escape_csv("" if cell.text == MISSING else cell.text)]
    numbers = (cell.value, cell.low, cell.high, cell.n)
    kept = numbers if column.kind == "estimate" else numbers[:1]
    return ["" if number is None else repr(number) for number in kept]
