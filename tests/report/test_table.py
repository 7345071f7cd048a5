"""One table in Markdown, CSV and on a terminal, with hostile names in it."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from kdbench.report.escape import escape_csv, escape_markdown, file_name, printable
from kdbench.report.table import (
    Cell,
    Column,
    Group,
    Table,
    estimate_cell,
    missing_cell,
    number_cell,
    to_csv,
    to_markdown,
    to_rich,
)
from kdbench.statistics import Estimated

HOSTILE = "=cmd|' /C calc'!A0 <img src=x> [x](http://y) \x1b[31m$a$\n| next"

TABLE = Table(
    (Column("name", "name"), Column("kid", "KID", "estimate"), Column("nfe", "calls", "number")),
    (
        Group("1 call", ((Cell("a"), estimate_cell(Estimated(0.1 + 0.2, 0.25, 0.35, 3)),
                          number_cell(1)),)),
        Group("2 calls", ((Cell(HOSTILE, note="seed 1 | diverged"), missing_cell("out of memory"),
                           number_cell(None, reason="out of memory")),)),
    ),
)  # fmt: skip


def draw(table: Table) -> str:
    """What a terminal of 120 columns shows."""
    console = Console(width=120, file=io.StringIO(), force_terminal=True, color_system=None)
    console.print(to_rich(table, title="[bold]digits[/bold]"))
    text = console.file
    assert isinstance(text, io.StringIO)
    return text.getvalue()


def test_markdown_has_headings_marks_and_notes() -> None:
    lines = to_markdown(TABLE).splitlines()
    assert lines[:4] == [
        "| name | KID | calls |",
        "| --- | ---: | ---: |",
        "| **1 call** |  |  |",
        "| a | 0.300 ± 0.050 | 1 |",
    ]
    assert "—<sup>2</sup> | —<sup>2</sup> |" in lines[5]
    assert lines[-2:] == ["1. seed 1 \\| diverged", "2. out of memory"]


def test_every_markdown_row_has_as_many_cells_whatever_the_names() -> None:
    rows = [line for line in to_markdown(TABLE).splitlines() if line.startswith("|")]
    for row in rows:
        assert row.replace("\\|", "").count("|") == 4
    assert "<img" not in "".join(rows)
    assert "\\[x\\](http" in rows[-1]
    assert "\\$a\\$" in rows[-1]


def test_csv_keeps_full_precision_and_leaves_missing_numbers_empty() -> None:
    header, first, second = csv.reader(io.StringIO(to_csv(TABLE)))
    assert header == ["name", "kid", "kid_low", "kid_high", "kid_n", "nfe", "notes"]
    assert float(first[1]) == 0.1 + 0.2
    assert first[2:] == ["0.25", "0.35", "3", "1", ""]
    assert second[1:6] == [""] * 5
    assert second[6] == "name: seed 1 | diverged; kid: out of memory; nfe: out of memory"


def test_csv_disarms_formulas_and_leaves_negative_numbers_alone() -> None:
    table = Table(
        (Column("name", "name"), Column("psnr", "PSNR", "number")),
        (Group("", tuple((Cell(f"{start}1"), number_cell(-1.5)) for start in "=+-@")),),
    )
    rows = list(csv.reader(io.StringIO(to_csv(table))))[1:]
    assert [row[0] for row in rows] == ["'=1", "'+1", "'-1", "'@1"]
    assert {row[1] for row in rows} == {"-1.5"}


def test_terminal_shows_names_literally() -> None:
    text = draw(TABLE)
    assert "[bold]digits[/bold]" in text
    assert "\x1b[31m" not in text
    assert "0.300 ± 0.050" in text
    assert "[2] out of memory" in text


def test_selected_columns_keep_their_order_and_notes() -> None:
    part = TABLE.select({"nfe", "name"})
    assert [column.key for column in part.columns] == ["name", "nfe"]
    assert part.notes == ("seed 1 | diverged", "out of memory")
    assert [group.title for group in part.groups] == ["1 call", "2 calls"]


def test_a_row_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="one cell a column"):
        Table((Column("name", "name"),), (Group("", ((Cell("a"), Cell("b")),)),))


@given(st.text())
def test_escaped_text_stays_in_its_cell(text: str) -> None:
    escaped = escape_markdown(text)
    assert "\n" not in escaped
    assert "<" not in escaped
    assert escaped.replace("\\|", "").count("|") == 0 or "\\\\" in escaped
    assert not escape_csv(text).startswith(("=", "+", "-", "@", "\t", "\r"))
    assert printable(text).isprintable()
    printable(text).encode()


@given(st.text())
def test_file_names_stay_in_their_folder(text: str) -> None:
    name = file_name(text)
    assert name
    assert not name.startswith(".")
    assert not set(name) & set('/\\:*?"<>|')
