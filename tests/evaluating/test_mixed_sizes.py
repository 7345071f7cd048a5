"""Distances of values need no images of one size: every image has its value, whatever its size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from scipy import stats

from kdbench.cli import main
from kdbench.evaluating.evaluate import evaluate
from kdbench.metrics.visible_detail import edge_energy, sharpness


def folder(path: Path, sizes: list[tuple[int, int]], *, seed: int, amplitude: int) -> Path:
    path.mkdir()
    draw = np.random.default_rng(seed)
    for i, size in enumerate(sizes):
        pixels = draw.integers(0, amplitude + i, (*size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path / f"{i:02}.png")
    return path


def values(path: Path, metric: object) -> list[float]:
    images = [np.array(Image.open(file)) for file in sorted(path.iterdir())]
    return [float(metric(torch.from_numpy(x).permute(2, 0, 1)[None])) for x in images]


MIXED = [(16, 20), (20, 16), (12, 12)] * 10
ONE = [(16, 16)] * 25


@pytest.mark.parametrize(("own", "other"), [(MIXED, ONE), (ONE, MIXED), (MIXED, MIXED)])
def test_distance_is_over_the_pooled_values(
    tmp_path: Path, own: list[tuple[int, int]], other: list[tuple[int, int]]
) -> None:
    student = folder(tmp_path / "own", own, seed=0, amplitude=100)
    reference = folder(tmp_path / "other", other, seed=1, amplitude=160)
    metrics = ["sharpness-distance", "edge-energy-distance"]
    found = evaluate(student, reference=reference, metrics=metrics)
    for score, metric in zip(found.scores, (sharpness, edge_energy), strict=True):
        x, y = values(student, metric), values(reference, metric)
        assert score.value == pytest.approx(stats.wasserstein_distance(x, y), rel=1e-9)
        assert score.details["generated"] == pytest.approx(np.mean(x))
        assert score.details["reference"] == pytest.approx(np.mean(y))
        assert (score.n, score.n_reference) == (len(own), len(other))
        assert score.interval is not None
        assert 0 <= score.interval.low < score.value < score.interval.high
        assert score.reference
        assert "images of several sizes: values are taken one size at a time" in score.marks
        assert score.protocol.startswith(f"{len(own)} images, uint8, {metric.protocol}")


def test_one_image_and_features_are_still_refused(tmp_path: Path) -> None:
    one = folder(tmp_path / "one", ONE[:1], seed=0, amplitude=90)
    mixed = folder(tmp_path / "mixed", MIXED, seed=1, amplitude=90)
    (score,) = evaluate(one, reference=mixed, metrics=["contrast-distance"]).scores
    assert score.value is None
    assert "at least 2" in str(score.reason)
    (kid,) = evaluate(mixed, reference=one, metrics=["kid[digits-cnn]"]).scores
    assert "must have one size" in str(kid.reason)
    assert str(kid.reason).startswith("STUDENT: ")
    (kid,) = evaluate(one, reference=mixed, metrics=["kid[digits-cnn]"]).scores
    assert str(kid.reason).startswith("--reference: ")


def test_the_table_shows_floor_and_both_means(tmp_path: Path) -> None:
    student = folder(tmp_path / "own", ONE, seed=0, amplitude=100)
    reference = folder(tmp_path / "other", ONE, seed=1, amplitude=160)
    words = ["eval", str(student), "--reference", str(reference), "--metrics"]
    done = CliRunner().invoke(main, [*words, "contrast-distance,sharpness-distance"])
    head = next(line for line in done.stdout.splitlines() if line.startswith("metric"))
    assert [name for name in ("floor", "generated", "reference") if name in head.split()] == [
        "floor",
        "generated",
        "reference",
    ]
    (score,) = evaluate(student, reference=reference, metrics=["contrast-distance"]).scores
    row = next(line for line in done.stdout.splitlines() if line.startswith("contrast-distance"))
    for name in ("floor", "generated", "reference"):
        end = head.index(f" {name} ") + len(f" {name}")
        assert float(row[:end].split()[-1]) == pytest.approx(score.details[name], rel=1e-3)
