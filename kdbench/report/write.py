"""A report on disk: one page, tables as CSV, plots, and images from the same latents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from kdbench.record import Record
from kdbench.report.comparison_table import ComparisonTables, tabulate
from kdbench.report.comparisons import compare, named_comparisons
from kdbench.report.escape import file_name
from kdbench.report.facts import TaskFacts, read_facts
from kdbench.report.family_plots import families_to_draw, plot_family
from kdbench.report.grid import NEIGHBOURS, Grid, make_grid
from kdbench.report.leaderboard import Leaderboard, make_leaderboard
from kdbench.report.page import Picture, Section, write_page
from kdbench.report.plots import plot_quality_latency, plot_quality_nfe, save
from kdbench.report.rows import Row, group_rows
from kdbench.report.table import to_csv
from kdbench.report.topics import MEMORISATION
from kdbench.spec import Comparison, Suite
from kdbench.store import write_atomically

_Files = dict[str, bytes]


@dataclass(frozen=True)
class _Task:
    """One task's rows with what the suite named for them."""

    facts: TaskFacts
    rows: tuple[Row, ...]
    comparisons: tuple[Comparison, ...]
    prefix: str


def write_report(
    records: Sequence[Record],
    *,
    out: Path,
    artifacts: Path,
    suite: Suite | None = None,
    facts: Sequence[TaskFacts] | None = None,
) -> list[Path]:
    """Render everything that records say; the same records give the same files.

    Args:
        records: one a run; each task becomes a section.
        out: folder of the report, made if it is not there.
        artifacts: the store's folder of content-addressed files, for galleries.
        suite: whose named comparisons are printed; None prints none.
        facts: main metric, margin and direction of each task; read from the records if None.

    Returns:
        The files written, the page first.

    Raises:
        StoreError: records contradict one another, or the folder cannot be written.
    """
    known = {one.task: one for one in (read_facts(records) if facts is None else facts)}
    tasks = _tasks(group_rows(records), suite, known)
    rendered = [_render(task, artifacts) for task in tasks]
    page = write_page(
        [section for section, _ in rendered], title=_title(suite), notes=_unmatched(tasks, suite)
    )
    files = {"leaderboard.md": page.encode()}
    for _, own in rendered:
        files |= own
    for name, data in files.items():
        write_atomically(out / name, data)
    return [out / name for name in files]


def _title(suite: Suite | None) -> str:
    return f"Leaderboard: {suite.id}" if suite else "Leaderboard"


def _tasks(
    rows: Sequence[Row], suite: Suite | None, facts: dict[str, TaskFacts]
) -> tuple[_Task, ...]:
    names = sorted({row.identity.task for row in rows})
    tasks = []
    for name in names:
        own = tuple(row for row in rows if row.identity.task == name)
        prefix = f"{file_name(name)}-" if len(names) > 1 else ""
        tasks.append(_Task(facts[name], own, named_comparisons(own, suite), prefix))
    return tuple(tasks)


def _unmatched(tasks: Sequence[_Task], suite: Suite | None) -> list[str]:
    matched = [comparison for task in tasks for comparison in task.comparisons]
    missing = [c.student for c in (suite.comparisons if suite else ()) if c not in matched]
    return [f"Named for comparison and not among these records: {name}." for name in missing]


def _render(task: _Task, artifacts: Path) -> tuple[Section, _Files]:
    """One task's section, and the files beside the page by name."""
    leaderboard = make_leaderboard(task.rows, task.facts)
    comparisons = _compare(task)
    grid = make_grid(task.rows, artifacts)
    near = make_grid(task.rows, artifacts, NEIGHBOURS)
    plots, plot_files = _plots(task)
    picture, grid_files = _grid(task, grid, "grid", "Images from the same latents")
    pairs, pair_files = _grid(
        task, near, "neighbours", "Images that lie closest to a training image, above that image"
    )
    files = {f"{task.prefix}leaderboard.csv": to_csv(leaderboard.table).encode()}
    if comparisons is not None:
        files[f"{task.prefix}comparisons.csv"] = to_csv(comparisons.table).encode()
    section = Section(
        facts=task.facts,
        leaderboard=leaderboard,
        comparisons=comparisons,
        plots=plots,
        grid=picture,
        neighbours=pairs,
        notes=grid.notes,
        neighbour_notes=near.notes if pairs or _shows_memorisation(leaderboard) else (),
    )
    return section, files | plot_files | grid_files | pair_files


def _shows_memorisation(leaderboard: Leaderboard) -> bool:
    """Whether scores are shown that mean nothing without the neighbours themselves."""
    return MEMORISATION in {topic for topic, _ in leaderboard.topics}


def _compare(task: _Task) -> ComparisonTables | None:
    if not task.comparisons:
        return None
    return tabulate(compare(task.rows, task.comparisons, task.facts), task.facts)


def _plots(task: _Task) -> tuple[tuple[Picture, ...], _Files]:
    pictures: list[Picture] = []
    files: _Files = {}
    for name, caption, figure in _figures(task):
        if figure is not None:
            stem = f"{task.prefix}{name}"
            pictures.append(Picture(f"{stem}.png", f"{caption}, {task.facts.task}"))
            files |= {f"{stem}.png": save(figure, "png"), f"{stem}.pdf": save(figure, "pdf")}
    return tuple(pictures), files


def _figures(task: _Task) -> Iterator[tuple[str, str, Figure | None]]:
    """File name, caption and figure of every plot."""
    rows, facts = task.rows, task.facts
    yield "quality-latency", "Quality against latency", plot_quality_latency(rows, facts)
    calls = "Quality against number of calls"
    yield "quality-nfe", calls, plot_quality_nfe(rows, facts)
    for family in families_to_draw(rows, facts):
        figure = plot_family(rows, facts, family)
        yield f"quality-nfe-{file_name(family)}", f"{calls}, family {family}", figure


def _grid(task: _Task, grid: Grid, stem: str, caption: str) -> tuple[Picture | None, _Files]:
    if grid.figure is None:
        return None, {}
    name = f"{task.prefix}{stem}.png"
    return Picture(name, f"{caption}, {task.facts.task}"), {name: save(grid.figure, "png")}
