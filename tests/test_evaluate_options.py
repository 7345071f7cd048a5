"""What an evaluation's key covers, which remarks values get, and which options are refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from subprocess import run as run_process

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from kdbench.cli import main
from kdbench.evaluating.evaluate import evaluate
from kdbench.evaluating.failed import failures
from kdbench.stages import shared_task

REAL = shared_task("digits@1").split("held-out")
CUT = "nothing was cut; papers cut the factor of super-resolution"


def run(*words: object) -> Result:
    return CliRunner().invoke(main, ["eval", *map(str, words)], catch_exceptions=False)


def batch(path: Path, n: int, *, shift: int | None = None) -> Path:
    """The first digits, with labels that are shifted by so many classes."""
    labels = {} if shift is None else {"arr_1": (REAL.labels[:n].numpy() + shift) % 10}
    np.savez(path, arr_0=REAL.images[:n].permute(0, 2, 3, 1).numpy(), **labels)
    return path


def pictures(folder: Path, *greys: int, size: int = 16) -> Path:
    """Noise on a grey level each, by position."""
    folder.mkdir()
    for i, grey in enumerate(greys):
        noise = np.random.default_rng(i).integers(0, 50, (size, size), dtype=np.uint8)
        Image.fromarray(noise + np.uint8(grey)).save(folder / f"{i}.png")
    return folder


def test_other_labels_are_another_record(tmp_path: Path) -> None:
    found = []
    for name, shift in (("a", 0), ("b", 1)):
        (tmp_path / name).mkdir()
        path = batch(tmp_path / name / "x.npz", 40, shift=shift)
        found.append(evaluate(path, task="digits", metrics=["class-accuracy"]))
        found[-1].write(tmp_path / "out")
    right, wrong = found
    assert (right.student.name, right.student.sha256) == (wrong.student.name, wrong.student.sha256)
    assert right.scores[0].value != wrong.scores[0].value
    assert right.student.labels_sha256 != wrong.student.labels_sha256
    assert len(list((tmp_path / "out").glob("evaluation-*.json"))) == 2


def test_another_teacher_beside_targets_is_another_record(tmp_path: Path) -> None:
    student, targets = pictures(tmp_path / "s", 9, 90), pictures(tmp_path / "t", 10, 100)
    keys, details = set(), set()
    for name, greys in (("same", (10, 100)), ("other", (20, 110)), ("swapped", (110, 20))):
        (tmp_path / name).mkdir()
        teacher = pictures(tmp_path / name / "teacher", *greys)
        found = evaluate(student, targets=targets, teacher=teacher, metrics=["l1"])
        keys.add(found.key)
        details.add(found.scores[0].details["teacher"])
    assert len(keys) == len(details) == 3


def test_a_constant_image_that_was_read_is_a_remark(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "x", 0, 50, 100, 150)
    Image.fromarray(np.full((16, 16), 255, np.uint8)).save(folder / "white.png")
    (score,) = evaluate(folder, reference=folder, metrics=["sharpness-distance"]).scores
    assert score.value == 0
    assert "1 image is constant: white.png" in score.marks
    for i in range(4):
        Image.fromarray(np.full((16, 16), i, np.uint8)).save(folder / f"{i}.png")
    (score,) = evaluate(folder, reference=folder, metrics=["sharpness-distance"]).scores
    assert "5 images are constant: 0.png, 1.png, 2.png, …" in score.marks


def test_failures_are_counted_in_words_that_fit() -> None:
    assert failures(1) == "1 image is not finite or is constant."
    assert failures(2, "of the teacher's images").startswith("2 of the teacher's images are not")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--blind", "page", "--protocol", "nonsense", "--metrics", "bogus"], "--metrics and"),
        (["--blind", "page", "--out", "runs"], "--blind does not measure: leave out --out"),
        (["--blind", "page", "--extractor", "nonsense"], "leave out --extractor"),
        (["--save-statistics", "s.safetensors", "--crop", "0"], "leave out --crop"),
        (["--save-statistics", "s.safetensors", "--metrics", "fid"], "leave out --metrics"),
        (["--save-statistics", "s.safetensors", "--blind", "page"], "exclude each other"),
        (["--save-statistics", "s.safetensors", "--reference", "x.npz"], "leave out --reference"),
        (["--save-statistics", "s.safetensors", "--targets", "x.npz"], "leave out --targets"),
        (
            ["--save-statistics", "s.safetensors", "--teacher", "digits-edm/heun-35"],
            "leave out --teacher",
        ),
        (
            ["--save-statistics", "s.safetensors", "--extractor", "digits-cnn", "--seed", "1"],
            "--seed",
        ),
        (["--metrics", "contrast", "--seed", "0"], "--seed chooses the inputs"),
        (["--task", "digits", "--seed", "1"], "and these are read: leave it out"),
        (["--metrics", ""], "'--metrics': the name is empty"),
        (["--metrics", "contrast", "--metrics", " , "], "'--metrics': the name is empty"),
        (["--protocol", ""], "'--protocol': the name is empty"),
        (["--teacher-as", "digits-edm/heun-35"], "give --teacher"),
        (["--pairs", "3"], "give --blind DIR"),
        (["--teacher", "w.safetensors"], "with --teacher-as PAIR/ARM"),
        (["--teacher", "w.pth"], "say --teacher-as PAIR/ARM"),
        (["--teacher", "x.npz", "--teacher-as", "digits-edm/heun-35"], "--teacher-as is for"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_options_that_would_be_ignored_are_refused(
    tmp_path: Path, words: list[str], expected: str
) -> None:
    done = run(batch(tmp_path / "x.npz", 4), *words)
    assert done.exit_code == 2
    assert expected in done.output.replace("\n", " ")


def test_saved_statistics_are_said_in_json(tmp_path: Path) -> None:
    path = tmp_path / "s.safetensors"
    words = ("--extractor", "digits-cnn", "--save-statistics", path, "--json")
    done = run(batch(tmp_path / "x.npz", 20), *words)
    assert json.loads(done.stdout) == {"wrote": [str(path)]}


def test_a_border_that_nobody_cut_is_a_remark(tmp_path: Path) -> None:
    student, targets = pictures(tmp_path / "s", 9, 90), pictures(tmp_path / "t", 10, 100)
    for crop, marked in ((None, True), (0, False), (2, False)):
        found = evaluate(student, targets=targets, protocols=["matlab-y"], crop=crop)
        assert [CUT in score.marks for score in found.scores] == [marked, marked]
    (score,) = evaluate(student, targets=targets, metrics=["psnr"]).scores
    assert CUT not in score.marks


def test_a_named_metric_without_a_value_is_exit_code_4(tmp_path: Path) -> None:
    path = batch(tmp_path / "x.npz", 20)
    metrics = "kid[digits-cnn],class-accuracy[digits-cnn]"  # there are no labels
    done = run(path, "--task", "digits", "--metrics", metrics)
    assert done.exit_code == 4
    assert "kid[digits-cnn]" in done.stdout
    assert "not measured: class-accuracy[digits-cnn]@1; the reasons are above" in done.stderr
    assert run(path, "--task", "digits").exit_code == 0
    assert "exit code is 4" in run("--help").stdout


def test_protocols_of_pairs_are_listed_without_torch() -> None:
    code = (
        "import sys; from kdbench.cli import main\n"
        "main(['list', 'protocols'], standalone_mode=False)\n"
        "assert 'torch' not in sys.modules"
    )
    done = run_process([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert all(name in done.stdout for name in ("matlab-y", "ntire", "rgb", "clean-fid"))


def test_a_seed_is_of_what_is_drawn_or_shown(tmp_path: Path) -> None:
    real = REAL.images.repeat(2, 1, 1, 1)[:1000].permute(0, 2, 3, 1).numpy()
    np.savez(tmp_path / "x.npz", arr_0=real)
    words = (tmp_path / "x.npz", "--teacher", "digits-gan-teacher", "--metrics", "l1")
    assert run(*words, "--seed", 1).exit_code == 0
    pages = (*words[:3], "--blind", tmp_path / "page", "--pairs", 2, "--seed", 1)
    assert run(*pages).exit_code == 0
    read = pictures(tmp_path / "a", 9, 90, 100), pictures(tmp_path / "b", 10, 60, 200)
    words = (read[0], "--teacher", read[1], "--blind", tmp_path / "read", "--seed", 1)
    assert run(*words).exit_code == 0
