"""Small pieces of Markdown that all parts of the pages of cards are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kdbench.report.escape import escape_markdown
from kdbench.report.formats import MISSING
from kdbench.report.table import Cell, Column, Group, Table, to_markdown


def bullets(lines: Sequence[str]) -> str:
    """A list, its lines taken literally."""
    return "\n".join(f"- {escape_markdown(line)}" for line in lines)


def literal(text: str) -> str:
    """Lines as they are, indented, because nothing in them can end an indented block."""
    return "\n".join(f"    {line}" for line in text.strip("\n").splitlines())


def listed(heading: str, lines: Sequence[str]) -> list[str]:
    """A section with a list, or nothing where there is no line."""
    return [f"## {heading}", bullets(lines)] if lines else []


def text_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of text, taken literally; an empty cell is a dash."""
    columns = tuple(Column(title, title) for title in titles)
    cells = tuple(tuple(Cell(text or MISSING) for text in row) for row in rows)
    return to_markdown(Table(columns, (Group("", cells),)))


def write_value(value: Any) -> str:
    """A parameter as a reader writes it.

    >>> write_value({"steps": 4, "sigma_max": 5.0}), write_value(0.0005), write_value([20.0, 4.0])
    ('steps = 4, sigma_max = 5', '5e-4', '[20, 4]')
    >>> write_value(34000), write_value(None), write_value("adamw")
    ('34,000', 'none', 'adamw')
    """
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        mantissa, _, exponent = f"{value:g}".partition("e")
        if not exponent and 0 < abs(value) < 0.01:
            mantissa, _, exponent = f"{value:e}".partition("e")
        return f"{float(mantissa):g}" + (f"e{int(exponent)}" if exponent else "")
    if isinstance(value, Mapping):
        return ", ".join(f"{key} = {write_value(own)}" for key, own in value.items()) or "none"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(write_value, value))}]"
    return str(value)
