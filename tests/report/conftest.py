"""Fixtures of the report: the made-up suite, its facts and its galleries.

Lets the tests here import `report_records`.
"""

from __future__ import annotations

import hashlib
import io
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kdbench.record import Record
from kdbench.report.facts import TaskFacts
from kdbench.report.rows import Row, group_rows
from kdbench.spec import Comparison, Suite

sys.path.insert(0, str(Path(__file__).parent))

from report_records import PLANS, TASK, make_record


@pytest.fixture(scope="session")
def records() -> list[Record]:
    """The whole suite: progressive distillation to 2 calls diverged on one seed, and one seed of
    output distillation has no recall."""
    made = [make_record(plan, seed) for plan in PLANS for seed in plan.seeds]
    lost = next(r for r in made if r.identity.pair == "luhman@1" and r.identity.train_seed == 1)
    for score in lost.scores:
        if score.metric == "recall@1":
            score.value, score.reason = None, "fewer than 500 distinct images"
    two = next(plan for plan in PLANS if (plan.pair, plan.arm) == ("progressive@1", "two"))
    broken = make_record(two, 2, status="diverged", reason="loss not finite at step 812")
    return [broken if r.key == broken.key else r for r in made]


@pytest.fixture(scope="session")
def rows(records: list[Record]) -> tuple[Row, ...]:
    """The suite's rows."""
    return group_rows(records)


@pytest.fixture(scope="session")
def facts() -> TaskFacts:
    """The made-up task."""
    return TaskFacts(TASK, "kid@1", 0.05, False, "class-conditional generation")


@pytest.fixture(scope="session")
def suite() -> Suite:
    """Named comparisons of five students."""
    named = (
        ("progressive/four", "edm-teacher/euler-4", "edm-teacher/heun-16"),
        ("progressive/two", "edm-teacher/euler-2", "edm-teacher/heun-16"),
        ("luhman/one", "edm-teacher/euler-1", "edm-teacher/heun-16"),
        ("sid/one", "edm-teacher/euler-1", "edm-teacher/heun-16"),
        ("gan-kd/one", None, "gan-teacher/one"),
        ("dmd/one", "edm-teacher/euler-1", "edm-teacher/heun-16"),
    )
    return Suite(
        name="quick",
        summary="one diffusion and one GAN family",
        pairs=tuple(dict.fromkeys(plan.pair.partition("@")[0] for plan in PLANS)),
        comparisons=tuple(Comparison(student=s, few_step=f, teacher=t) for s, f, t in named),
    )


@pytest.fixture(scope="session")
def gallery() -> Callable[[Path, int], str]:
    """Writes a gallery of 20 grey tiles into an artifact folder and returns its name."""

    def write(artifacts: Path, shade: int) -> str:
        tile = np.add.outer(np.arange(8) * 16, np.arange(8) * 8)
        row = np.concatenate([(tile + 11 * i + shade) % 256 for i in range(20)], axis=1)
        buffer = io.BytesIO()
        Image.fromarray(row.astype(np.uint8)).save(buffer, "PNG")
        name = f"{hashlib.sha256(buffer.getvalue()).hexdigest()}.png"
        path = artifacts / name[:2] / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(buffer.getvalue())
        return name

    return write


@pytest.fixture(scope="session")
def with_galleries(
    records: list[Record], gallery: Callable[[Path, int], str]
) -> Callable[[Path], list[Record]]:
    """Copies of the records with a gallery each, written into an artifact folder."""

    def add(artifacts: Path) -> list[Record]:
        copies = [record.model_copy(deep=True) for record in records]
        for shade, record in enumerate(copies):
            if record.status == "ok":
                record.artifacts["gallery"] = gallery(artifacts, shade)
        return copies

    return add
