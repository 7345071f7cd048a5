"""A page shows nothing of whose images it shows by their size or by their colour."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from kdbench.blind.trials import Key
from kdbench.cli import main


def run(*words: object) -> Result:
    return CliRunner().invoke(main, ["eval", *map(str, words)], catch_exceptions=False)


def folder(path: Path, *kinds: str, first: str = "") -> Path:
    """Noise in one file for each of `kinds`: its side in pixels, with c where it is in colour."""
    path.mkdir()
    for i, kind in enumerate(kinds):
        side = int(kind.removesuffix("c"))
        shape = (side, side, 3) if kind.endswith("c") else (side, side)
        noise = np.random.default_rng(i).integers(0, 256, shape, dtype=np.uint8)
        Image.fromarray(noise).save(path / f"{first}{i}.png")
    return path


def trials(page: Path) -> list[tuple[str, str]]:
    key = Key.model_validate_json((page / "key.json").read_bytes())
    return [(one.student_image, one.other_image) for one in key.trials.values()]


@pytest.mark.parametrize("option", ["--teacher", "--targets", "--reference"])
@pytest.mark.parametrize("other", ["8", "9c"], ids=["grey beside colour", "another size"])
def test_sides_that_all_differ_are_refused(tmp_path: Path, option: str, other: str) -> None:
    own, others = folder(tmp_path / "own", "8c", "8c"), folder(tmp_path / "other", other, other)
    done = run(own, option, others, "--blind", tmp_path / "page")
    assert done.exit_code == 2
    said = " ".join(done.output.split())
    assert "differ in size, or one is grey and the other in colour, which shows whose" in said
    assert "Bring both sides to one size and colour" in said
    assert not (tmp_path / "page").exists()


@pytest.mark.parametrize("option", ["--teacher", "--targets"])
def test_pairs_that_differ_are_left_out_and_the_others_stay_pairs(
    tmp_path: Path, option: str
) -> None:
    own = folder(tmp_path / "own", "8c", "8c", "8", "8c", "8")
    other = folder(tmp_path / "other", "8c", "9c", "8c", "8c", "8")
    words = (own, option, other, "--blind", tmp_path / "page")
    done = run(*words)
    assert done.exit_code == 0, done.output
    assert sorted(trials(tmp_path / "page")) == [(name, name) for name in "034"]
    role = option.removeprefix("--")
    note = f"2 of 5 pairs with the {role} differ in size or colour, which would show whose they are"
    assert f"Mind: {note}: left out." in done.stdout
    assert "at random" not in done.stdout
    assert json.loads(run(*words, "--json").stdout)["notes"] == [f"{note}: left out."]


def test_strangers_are_chosen_among_images_of_one_kind(tmp_path: Path) -> None:
    own = folder(tmp_path / "own", *(["8c", "9c"] * 6), "7c", first="s")
    other = folder(tmp_path / "other", *(["8c", "9c", "12c", "8"] * 3), first="r")
    done = run(own, "--reference", other, "--blind", tmp_path / "page")
    assert done.exit_code == 0, done.output
    pairs = trials(tmp_path / "page")
    assert len(pairs) == 12
    for mine, theirs in pairs:
        number, beside = (int(name.removesuffix(".png")[1:]) for name in (mine, theirs))
        assert number % 2 == beside % 4
    assert "Mind: 1 of 13 pairs with the reference differ" in done.stdout
