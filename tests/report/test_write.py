"""The report on disk, from the same records the same bytes."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from report_records import PLANS, make_cost, make_record
from rich.console import Console

from kdbench.errors import StoreError
from kdbench.record import Interval, Record
from kdbench.report.terminal import summary_tables
from kdbench.report.write import write_report
from kdbench.spec import Suite

FILES = [
    "leaderboard.md",
    "leaderboard.csv",
    "comparisons.csv",
    "quality-latency.png",
    "quality-latency.pdf",
    "quality-nfe.png",
    "quality-nfe.pdf",
    "quality-nfe-diffusion.png",
    "quality-nfe-diffusion.pdf",
    "quality-nfe-gan.png",
    "quality-nfe-gan.pdf",
    "grid.png",
]


@pytest.fixture(scope="module")
def written(
    tmp_path_factory: pytest.TempPathFactory,
    with_galleries: Callable[[Path], list[Record]],
    suite: Suite,
) -> tuple[Path, list[Record], Path]:
    """A report's folder, its records and their artifacts."""
    root = tmp_path_factory.mktemp("report")
    records = with_galleries(root / "artifacts")
    write_report(records, out=root / "out", artifacts=root / "artifacts", suite=suite)
    return root / "out", records, root / "artifacts"


def test_all_files_are_written_and_nothing_else(written: tuple[Path, list[Record], Path]) -> None:
    assert sorted(path.name for path in written[0].iterdir()) == sorted(FILES)


def test_the_same_records_give_the_same_bytes(
    written: tuple[Path, list[Record], Path], tmp_path: Path, suite: Suite
) -> None:
    out, records, artifacts = written
    again = write_report(records[::-1], out=tmp_path, artifacts=artifacts, suite=suite)
    assert [path.name for path in again] == FILES
    for path in again:
        assert path.read_bytes() == (out / path.name).read_bytes(), path.name


def test_the_page_links_to_what_lies_beside_it(written: tuple[Path, list[Record], Path]) -> None:
    page = (written[0] / "leaderboard.md").read_text()
    links = re.findall(r"!\[[^]]+\]\(([^)]+)\)", page)
    assert links == [name for name in FILES if name.endswith(".png")]
    assert "calls, family gan, digits@1](quality-nfe-gan.png)" in page
    headings = ("### Quality", "### What was kept of the teacher", "### Cost")
    for words in ("# Leaderboard: quick@1", "## digits@1", *headings, "Holm"):
        assert words in page
    assert "nan" not in page.lower().replace("not chosen", "")


def test_tables_on_the_page_are_rectangular(written: tuple[Path, list[Record], Path]) -> None:
    page = (written[0] / "leaderboard.md").read_text()
    blocks = re.findall(r"(?:^\|.*\n)+", page, flags=re.MULTILINE)
    assert len(blocks) == 10
    for block in blocks:
        assert len({line.count("|") for line in block.splitlines()}) == 1


def test_csv_has_every_row_with_full_precision(
    written: tuple[Path, list[Record], Path],
) -> None:
    out, records, _ = written
    rows = list(csv.DictReader(io.StringIO((out / "leaderboard.csv").read_text())))
    assert len(rows) == len(PLANS)
    luhman = next(row for row in rows if row["row"] == "luhman@1/one")
    kids = [
        s.value for r in records for s in [r.score("kid")] if r.identity.pair == "luhman@1" if s
    ]
    assert float(luhman["kid@1"]) == pytest.approx(sum(k for k in kids if k) / 3, rel=1e-15)
    assert luhman["recall@1_n"] == "2"
    assert "recall@1: seed 1 has no value" in luhman["notes"]


def test_several_tasks_get_files_of_their_own(
    records: list[Record], tmp_path: Path, suite: Suite
) -> None:
    toys = [make_record(PLANS[0], seed, task="toy@1", costs=[]) for seed in range(3)]
    few = [r for r in records if r.identity.pair == "sid@1"]
    few = [r.model_copy(update={"costs": []}) for r in few]
    paths = write_report([*few, *toys], out=tmp_path, artifacts=tmp_path, suite=suite)
    names = [path.name for path in paths]
    assert names[:3] == ["leaderboard.md", "digits-1-leaderboard.csv", "digits-1-comparisons.csv"]
    assert "toy-1-quality-nfe.png" in names
    page = paths[0].read_text()
    assert page.index("## digits@1") < page.index("## toy@1")
    assert "No image grid" in page


def test_what_was_named_and_never_run_is_told(tmp_path: Path, suite: Suite) -> None:
    toys = [make_record(PLANS[-1], 0, task="toy@1")]
    (page, *_) = write_report(toys, out=tmp_path, artifacts=tmp_path, suite=suite)
    assert "Named for comparison and not among these records: sid/one." in page.read_text()
    assert not (tmp_path / "comparisons.csv").exists()


def test_failures_alone_still_make_a_report(tmp_path: Path) -> None:
    failed = [make_record(PLANS[0], 0, status="oom", reason="8 GiB | were <not> enough")]
    paths = write_report(failed, out=tmp_path, artifacts=tmp_path)
    page = paths[0].read_text()
    assert "seed 0 oom: 8 GiB \\| were &lt;not&gt; enough" in page
    assert "0/1" in page
    assert [path.suffix for path in paths] == [".md", ".csv"]


def test_no_records_make_an_empty_page(tmp_path: Path) -> None:
    (page,) = write_report([], out=tmp_path, artifacts=tmp_path)
    assert page.read_text() == "# Leaderboard\n"


def test_an_unwritable_folder_is_an_error_of_the_user(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(StoreError, match="cannot be written"):
        write_report([], out=tmp_path / "out", artifacts=tmp_path)


def test_the_terminal_shows_rows_and_comparisons(records: list[Record], suite: Suite) -> None:
    console = Console(width=160, file=io.StringIO())
    tables = summary_tables(records, suite)
    for table in tables:
        console.print(table)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert len(tables) == 2
    for words in ("progressive@1/two [2]", "2/3", "better (indication)", "gain (indication)"):
        assert words in text
    assert len(summary_tables(records)) == 1


def test_the_terminal_shows_marks_beside_short_latencies() -> None:
    interval = Interval(low=1.1, high=1.4, source="timing", method="order-statistic")
    details = {"measured_on": "other/one seed 0"}
    cost = make_cost(
        "latency_ms",
        1.2345,
        batch=1,
        unit="ms",
        marks=["noisy"],
        details=details,
        interval=interval,
    )
    console = Console(width=160, file=io.StringIO())
    for table in summary_tables([make_record(PLANS[0], 0, costs=[cost])]):
        console.print(table)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "1.23 [2]" in text
    assert "[2] noisy" in text
    assert "1.4" not in text
    assert "measured on" not in text
