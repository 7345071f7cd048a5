"""The leaderboard of all tasks as one Markdown page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kdbench.report.comparison_table import ComparisonTables
from kdbench.report.escape import escape_markdown
from kdbench.report.facts import TaskFacts
from kdbench.report.leaderboard import Leaderboard
from kdbench.report.table import Table, to_markdown

_PLOTS = (
    "Bars are 95 % intervals over training seeds. Lines go through the best row at each number of "
    "calls. Points with nearly equal x stand side by side around their place. Of a task with many "
    "students the plots of all families show the best row of each family at each number of calls, "
    "by the same held-out scores. Plots of one family show every row of it, and the anchors of its "
    "students."
)

_NEAREST = (
    "Scores of memorisation cannot tell a copy from a good fit: look. Real images of one kind are "
    "alike too; a copy repeats what two writers would not."
)


@dataclass(frozen=True)
class Picture:
    """A file beside the page, and what it shows in words."""

    file: str
    caption: str


@dataclass(frozen=True)
class Section:
    """What the page says of one task."""

    facts: TaskFacts
    leaderboard: Leaderboard
    comparisons: ComparisonTables | None
    plots: tuple[Picture, ...]
    grid: Picture | None
    neighbours: Picture | None
    notes: tuple[str, ...]
    neighbour_notes: tuple[str, ...]


def write_page(sections: Sequence[Section], *, title: str, notes: Sequence[str]) -> str:
    """The whole page."""
    parts = [f"# {escape_markdown(title)}", _list(notes), *map(_section, sections)]
    return "\n\n".join(part.strip("\n") for part in parts if part) + "\n"


def _section(section: Section) -> str:
    facts = section.facts
    kind = f": {escape_markdown(facts.kind)}" if facts.kind else ""
    direction = "higher" if facts.higher_is_better else "lower"
    parts = [
        f"## {escape_markdown(facts.task)}{kind}",
        f"Main metric: {escape_markdown(facts.main)}, {direction} is better; differences below "
        f"{facts.margin:g} do not matter.",
        *map(_picture, section.plots),
        *([_PLOTS] if section.plots else []),
        "### Quality",
        to_markdown(section.leaderboard.quality),
        *(
            part
            for topic, table in section.leaderboard.topics
            for part in _table(f"### {topic}", table)
        ),
        *(
            part
            for topic, table in section.leaderboard.costs
            for part in _table(f"### {topic}", table)
        ),
        *_table("### What each row used", section.leaderboard.used),
        _list(section.leaderboard.notes),
        *_comparisons(section.comparisons),
        *(["### Images", _picture(section.grid)] if section.grid else []),
        _list(section.notes),
        *(_nearest(section.neighbours) if section.neighbours else []),
        _list(section.neighbour_notes),
    ]
    return "\n\n".join(part.strip("\n") for part in parts if part)


def _table(heading: str, table: Table | None) -> list[str]:
    return [] if table is None else [heading, to_markdown(table)]


def _comparisons(tables: ComparisonTables | None) -> list[str]:
    if tables is None:
        return []
    parts = [f"### {title}\n\n{to_markdown(table)}" for title, table in tables.parts]
    return [*parts, _list(tables.notes)]


def _nearest(picture: Picture) -> list[str]:
    return ["### Nearest training images", _picture(picture), _NEAREST]


def _picture(picture: Picture) -> str:
    return f"![{escape_markdown(picture.caption)}]({picture.file})"


def _list(lines: Sequence[str]) -> str:
    return "\n".join(f"- {escape_markdown(line)}" for line in lines)
