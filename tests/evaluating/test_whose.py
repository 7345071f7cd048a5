"""Errors say whose files they are of, and what to do about them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image
from safetensors.torch import load_file, save_file

from kdbench.cli import main
from kdbench.weights import find_weights


def run(*words: object) -> Result:
    return CliRunner().invoke(main, ["eval", *map(str, words)], catch_exceptions=False)


def folder(path: Path, height: int = 12, width: int = 15) -> Path:
    path.mkdir()
    for i in range(2):
        pixels = np.random.default_rng(i).integers(0, 256, (height, width), dtype=np.uint8)
        Image.fromarray(pixels).save(path / f"{i}.png")
    return path


@pytest.mark.parametrize("option", ["STUDENT", "--targets", "--teacher", "--reference"])
@pytest.mark.parametrize("blind", [False, True])
def test_bad_files_are_said_to_be_whose_they_are(tmp_path: Path, option: str, blind: bool) -> None:
    good, bad = folder(tmp_path / "good"), folder(tmp_path / "broken")
    (bad / "1.png").write_bytes(b"nothing")
    words = [bad, "--targets", good] if option == "STUDENT" else [good, option, bad]
    done = run(*words, *(["--blind", tmp_path / "page"] if blind else []))
    assert done.exit_code == 2
    assert f"{option} 'broken': 1 of 2 files cannot be read" in done.output


@pytest.mark.parametrize("option", ["STUDENT", "--targets", "--teacher", "--reference"])
def test_a_damaged_batch_is_too(tmp_path: Path, option: str) -> None:
    good, bad = folder(tmp_path / "good"), tmp_path / "b.npz"
    bad.write_bytes(b"nothing")
    words = [bad] if option == "STUDENT" else [good, option, bad]
    done = run(*words)
    assert done.exit_code == 2
    assert f"{option}: 'b.npz' is damaged" in done.output


def test_what_is_not_there(tmp_path: Path) -> None:
    good = folder(tmp_path / "good")
    for option in ("--targets", "--teacher", "--reference"):
        assert f"{option}: There is no file or folder" in run(good, option, "nowhere").output


def test_a_wrong_checkpoint_names_three_weights_of_many(tmp_path: Path) -> None:
    weights = load_file(find_weights("digits-gan-teacher-1"))
    path = tmp_path / "w.safetensors"
    save_file({f"module.{name}": tensor for name, tensor in weights.items()}, path)
    done = run(path, "--as", "digits-gan-teacher")
    assert done.exit_code == 2
    said = " ".join(done.output.split())
    n = len(weights)
    assert "does not hold the network of digits-gan-teacher" in said
    assert f"{n} of its {n} weights are missing" in said
    assert f"{n} of the file are unknown" in said
    assert len(said) < 700
    first = next(iter(weights))
    save_file({**weights, first: torch.zeros(3)}, path)
    said = " ".join(run(path, "--as", "digits-gan-teacher").output.split())
    assert f"1 of its {n} weights is of another shape ({first}: 3 for" in said


def test_targets_that_were_not_cropped_to_the_factor(tmp_path: Path) -> None:
    own, targets = folder(tmp_path / "own"), folder(tmp_path / "targets", 14, 15)
    done = run(own, "--targets", targets)
    assert done.exit_code == 2
    said = " ".join(done.output.split())
    assert "crop the targets to a multiple of the factor" in said
    assert "multiple" not in run(targets, "--targets", own).output
    assert "multiple" not in run(own, "--targets", folder(tmp_path / "large", 48, 60)).output


def test_targets_may_be_a_file() -> None:
    said = " ".join(run("--help").stdout.split())
    assert "--targets TARGETS" in said
    assert "a folder, an image or a batch" in said
