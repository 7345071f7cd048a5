"""Metrics find their tables, and marks are told once below them."""

from __future__ import annotations

from pathlib import Path

from report_records import PLANS, make_record, make_score

from kdbench import registry
from kdbench.report.facts import TaskFacts
from kdbench.report.leaderboard import make_leaderboard
from kdbench.report.rows import group_rows
from kdbench.report.topics import TOPICS, starts_with, topic_of
from kdbench.report.write import write_report

FACTS = TaskFacts("digits@1", "kid@1", 0.05, False)


def test_every_topic_names_registered_metrics() -> None:
    for starts in TOPICS.values():
        for start in starts:
            if start != "lpips":  # its metric may come from elsewhere
                assert any(starts_with(name, start) for name in registry.metrics), start


def test_a_strangers_metric_is_quality() -> None:
    assert topic_of("sparkle@3") == "Quality"
    assert topic_of("vendi@1") == topic_of("vendi[dinov2-vit-l14]@1") == "Diversity"


def test_the_main_metric_stays_with_quality() -> None:
    scores = [make_score("psnr@1", 20.0, higher=True), make_score("vendi@1", 9.0, higher=None)]
    rows = group_rows([make_record(PLANS[0], 0, scores=scores)])
    board = make_leaderboard(rows, TaskFacts("digits@1", "psnr@1", 0.1, True))
    assert "psnr@1" in [column.key for column in board.quality.columns]
    assert [title for title, _ in board.topics] == ["Diversity"]


def test_marks_are_told_below_the_table(tmp_path: Path) -> None:
    marked = make_score("fd@1", 1.0).model_copy(update={"marks": ["few samples: bias about +1"]})
    other = marked.model_copy(update={"marks": ["few samples: bias about +2"]})
    records = [
        make_record(PLANS[0], seed, scores=[make_score("kid@1", 0.1), score])
        for seed, score in enumerate((marked, other))
    ]
    (page, *_) = write_report(records, out=tmp_path, artifacts=tmp_path)
    assert "Marked: few samples: bias about +1 (so or similarly in 2 cases)." in page.read_text()
