"""Images that failed as they were drawn void every number; constant ones that were read do not."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image
from torch import Tensor, nn

from kdbench.cli import main
from kdbench.evaluating.evaluate import evaluate
from kdbench.stages import shared_task

DIGITS = shared_task("digits@1")
ARM = "digits-gan-teacher/teacher"
REASON = "100 images are not finite or are constant."
OF_TEACHER = "100 of the teacher's images are not finite or are constant."


def run(*words: object) -> Result:
    return CliRunner().invoke(main, ["eval", *map(str, words)], catch_exceptions=False)


class Broken(nn.Module):
    """Ink of the class's grey level; the threes are not finite in one pixel."""

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        images = (0.1 * latents + labels.view(-1, 1, 1, 1) / 10).clamp(0, 1)
        images[labels == 3, 0, 0, 0] = torch.nan
        return images


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("program") / "broken.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(Broken()).save(str(path))
    return path


def test_numbers_of_images_and_of_pairs_are_void(broken: Path) -> None:
    found = evaluate(broken, task="digits", teacher=ARM, metrics=["contrast", "psnr", "l1", "kid"])
    assert [(one.value, one.interval, one.reason) for one in found.scores] == [
        (None, None, REASON)
    ] * 4
    assert found.per_image == []
    assert (found.student.n, found.student.n_failed) == (1000, 100)


def test_a_teachers_failures_void_pairs_with_it_and_nothing_else(broken: Path) -> None:
    found = evaluate(ARM, teacher=broken, metrics=["psnr", "contrast"])
    psnr, contrast = found.scores
    assert (psnr.value, psnr.reason) == (None, OF_TEACHER)
    assert contrast.value is not None


def test_beside_targets_a_failed_teacher_is_left_out_with_a_remark(
    broken: Path, tmp_path: Path
) -> None:
    images = DIGITS.split("held-out").images
    targets = images.repeat(2, 1, 1, 1)[:1000].permute(0, 2, 3, 1).numpy()
    np.savez(tmp_path / "targets.npz", arr_0=targets)
    given = {"targets": tmp_path / "targets.npz", "metrics": ["l1"]}
    (beside,) = evaluate(ARM, teacher=broken, **given).scores
    (alone,) = evaluate(ARM, **given).scores
    assert (beside.value, beside.details) == (alone.value, alone.details)
    assert f"no teacher beside it: {OF_TEACHER}" in beside.marks


def test_exit_codes(broken: Path) -> None:
    done = run(broken, "--task", "digits", "--teacher", ARM, "--metrics", "psnr")
    assert done.exit_code == 4
    assert "1,000 images, of which 100 failed" in done.stdout
    assert f"Not measured: psnr: {REASON}" in done.stdout


def test_no_statistics_are_written(broken: Path, tmp_path: Path) -> None:
    path = tmp_path / "s.safetensors"
    done = CliRunner().invoke(
        main, ["eval", str(broken), "--task", "digits", "--save-statistics", str(path)]
    )
    assert done.exit_code == 4
    assert REASON in done.output
    assert not path.exists()


@pytest.mark.parametrize(("student", "reason"), [(True, REASON), (False, OF_TEACHER)])
def test_no_page_is_written(broken: Path, tmp_path: Path, student: bool, reason: str) -> None:
    own, teacher = (broken, ARM) if student else (ARM, broken)
    words = ("--task", "digits", "--teacher", teacher, "--blind", tmp_path / "page")
    done = CliRunner().invoke(main, ["eval", *map(str, (own, *words))])
    assert done.exit_code == 4
    assert reason in done.output
    assert not (tmp_path / "page").exists()


def test_a_constant_image_that_was_read_has_not_failed(tmp_path: Path) -> None:
    for side, level in (("own", 255), ("targets", 0)):
        (tmp_path / side).mkdir()
        noise = np.random.default_rng(0).integers(0, 256, (16, 16), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / side / "noise.png")
        for name in ("a", "b"):
            Image.fromarray(np.full((16, 16), level, np.uint8)).save(
                tmp_path / side / f"{name}.png"
            )
    words = (tmp_path / "own", "--targets", tmp_path / "targets", "--metrics", "l1,contrast")
    done = run(*words)
    assert done.exit_code == 0
    assert "failed" not in done.stdout
    assert "2 images are constant: a.png, b.png." in done.stdout
    student = json.loads(run(*words, "--json").stdout)["student"]
    assert student["n_failed"] == 0
    assert "2 images are constant: a.png, b.png." in student["notes"]
