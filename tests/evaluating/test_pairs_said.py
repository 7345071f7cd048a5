"""What is said of pairs: equal pixels, the cap of PSNR, how far student and teacher are apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from kdbench import evaluation_screen
from kdbench.cli import main
from kdbench.evaluating.evaluate import evaluate

N = 60


@pytest.fixture
def sides(tmp_path: Path) -> dict[str, Path]:
    """Targets; a student that is off by i grey levels, and a teacher that is off by i / 2."""
    noise = np.random.default_rng(0).integers(0, 100, (N, 16, 16), dtype=np.uint8)
    for side, step in (("targets", 0), ("student", 1), ("teacher", 0.5)):
        (tmp_path / side).mkdir()
        for i in range(N):
            pixels = noise[i] + np.uint8(step * i)
            Image.fromarray(pixels).save(tmp_path / side / f"{i}.png")
    return {side: tmp_path / side for side in ("student", "targets", "teacher")}


def test_equal_pixels_and_the_cap_are_marked(sides: dict[str, Path]) -> None:
    given = {"targets": sides["targets"], "metrics": ["psnr", "l1"]}
    psnr, l1 = evaluate(sides["teacher"], **given).scores  # off by 0 in the first two
    assert "2 of 60 pairs have the same pixels" in psnr.marks
    assert "2 of 60 pairs have the same pixels" in l1.marks
    assert (
        "2 of 60 pairs are at the cap of 58.92 dB, a mean squared error of 1/12 or less"
        in psnr.marks
    )
    assert not any("cap" in mark for mark in l1.marks)
    (beside,) = evaluate(**sides, metrics=["psnr"]).scores
    cap = "the cap of 58.92 dB, a mean squared error of 1/12 or less"
    assert f"1 of 60 pairs is at {cap}" in beside.marks
    assert f"teacher: 2 of 60 pairs are at {cap}" in beside.marks
    (own,) = evaluate(sides["student"], targets=sides["targets"], metrics=["ssim"]).scores
    assert "1 of 60 pairs has the same pixels" in own.marks


def test_pairs_that_differ_are_not_marked(sides: dict[str, Path]) -> None:
    for side in ("student", "targets"):
        (sides[side] / "0.png").unlink()
    (score,) = evaluate(sides["student"], targets=sides["targets"], metrics=["psnr"]).scores
    assert score.marks == []


def test_the_difference_to_the_teacher_has_a_paired_interval(sides: dict[str, Path]) -> None:
    found = evaluate(**sides, metrics=["l1"])
    (score,) = found.scores
    differences = [i - int(i / 2) for i in range(N)]
    details = score.details
    assert details["difference"] == pytest.approx(np.mean(differences))
    half = 1.96 * np.std(differences) / np.sqrt(N)
    low, high = details["difference_low"], details["difference_high"]
    assert low == pytest.approx(details["difference"] - half, rel=0.1)
    assert high == pytest.approx(details["difference"] + half, rel=0.1)
    assert score.interval is not None
    assert high - low < 0.7 * (score.interval.high - score.interval.low)  # spread in common drops


def test_the_table_shows_the_difference(sides: dict[str, Path]) -> None:
    words = [sides["student"], "--targets", sides["targets"], "--teacher", sides["teacher"]]
    done = CliRunner().invoke(main, ["eval", *map(str, words), "--metrics", "l1"])
    assert "student − teacher" in done.stdout
    (score,) = evaluate(**sides, metrics=["l1"]).scores
    low, high = (score.details[f"difference_{end}"] for end in ("low", "high"))
    shown = f"{score.details['difference']:.4g} ({low:.4g} to {high:.4g})"
    row = next(line for line in done.stdout.splitlines() if line.startswith("l1"))
    assert shown in row.replace(".00 ", " ")


def test_in_a_narrow_terminal_nothing_is_cut(
    sides: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation_screen, "WIDE", 80)
    words = [sides["student"], "--targets", sides["targets"], "--teacher", sides["teacher"]]
    done = CliRunner().invoke(main, ["eval", *map(str, words), "--metrics", "psnr,l1"])
    assert "…" not in done.stdout
    heads = [line.split() for line in done.stdout.splitlines() if line.startswith("metric")]
    assert [head[1] for head in heads] == ["value", "median"]
    tables = done.stdout.partition("The numbers of each image")[0]
    assert max(map(len, tables.splitlines())) <= 80


def test_one_image_has_a_difference_and_no_interval_of_it(sides: dict[str, Path]) -> None:
    (one,) = evaluate(
        sides["student"] / "9.png",
        targets=sides["targets"] / "9.png",
        teacher=sides["teacher"] / "9.png",
        metrics=["l1"],
    ).scores
    assert one.details["difference"] == 5
    assert "difference_low" not in one.details
