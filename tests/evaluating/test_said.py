"""What a person reads of an evaluation: the worse tail, whose images, and how they were drawn."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image
from torch import Tensor, nn

from kdbench.cli import main
from kdbench.stages import shared_task

DIGITS = shared_task("digits@1")


def run(*words: object) -> Result:
    return CliRunner().invoke(main, ["eval", *map(str, words)], catch_exceptions=False)


def folder(path: Path, level: int) -> Path:
    """Twenty images of one noise, image i by `level` · i away from that."""
    path.mkdir()
    noise = np.random.default_rng(0).integers(0, 100, (16, 16), dtype=np.uint8)
    for i in range(20):
        Image.fromarray(noise + np.uint8(level * i)).save(path / f"{i}.png")
    return path


def test_the_table_shows_the_worse_tail(tmp_path: Path) -> None:
    words = (folder(tmp_path / "a", 1), "--targets", folder(tmp_path / "b", 0), "--metrics")
    found = json.loads(run(*words, "psnr,l1", "--json").stdout)
    psnr, l1 = (score["details"] for score in found["scores"])
    assert l1["p5"] == pytest.approx(0.95)
    assert l1["p95"] == pytest.approx(18.05)
    assert psnr["p5"] < psnr["median"] < psnr["p95"]
    lines = run(*words, "psnr,l1").stdout.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("metric"))
    end = lines[start].index("worst 5 %") + len("worst 5 %")
    shown = {
        line.split()[0]: float(line[:end].split()[-1]) for line in lines[start + 1 : start + 3]
    }
    assert shown["l1"] == pytest.approx(18.05, abs=0.1)
    assert shown["psnr"] == pytest.approx(psnr["p5"], abs=0.1)


def test_a_piped_table_is_whole_however_long_its_names(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    images = DIGITS.split("train").images[:30].permute(0, 2, 3, 1).numpy()
    np.savez(path, arr_0=images)
    done = run(path, "--reference", path, "--metrics", "edge-energy-distance,sharpness-distance")
    assert "(grey levels per pixel)²" in done.stdout
    alone = run(path, "--metrics", "contrast")
    assert "against" not in alone.stdout


def test_notes_are_not_cut(tmp_path: Path) -> None:
    names = [folder(tmp_path / name, 1) for name in ("own", "targets", "teacher")]
    for picture in names[2].iterdir():
        Image.open(picture).convert("RGB").save(picture)
    done = run(names[0], "--targets", names[1], "--teacher", names[2], "--metrics", "l1")
    assert "teacher and grey for others: grey repeated in three channels." in done.stdout


@pytest.mark.parametrize("option", ["--targets", "--teacher", "--reference", ""])
def test_an_empty_name_is_not_the_folder_one_is_in(tmp_path: Path, option: str) -> None:
    own = folder(tmp_path / "own", 1)
    done = run(own, option, "") if option else run("")
    assert done.exit_code == 2
    assert f"{option or 'STUDENT'}: the name is empty" in done.output


def test_pictures_that_are_not_of_one_name_are_said_to_be_shown_at_random(tmp_path: Path) -> None:
    own, teacher = folder(tmp_path / "own", 1), folder(tmp_path / "teacher", 2)
    said = "Mind: images of the teacher have other names: shown at random."
    done = run(own, "--teacher", teacher, "--blind", tmp_path / "page")
    assert said not in done.stdout
    assert "without which no answer can be scored" in done.stdout
    (teacher / "7.png").rename(teacher / "seven.png")
    assert said in run(own, "--teacher", teacher, "--blind", tmp_path / "other").stdout
    done = run("--blind", tmp_path / "page")
    assert "whose answers to score" in " ".join(done.output.split())
    answers = tmp_path / "answers.json"
    answers.write_text("{}")
    done = run("--blind", tmp_path / "page", "--answers", answers, "--teacher", teacher)
    assert "own key: leave out --teacher" in " ".join(done.output.split())
    done = run("--blind", tmp_path / "page", "--answers", answers, "--seed", 1)
    assert "own key: leave out --seed" in " ".join(done.output.split())


def test_a_teachers_image_without_partner_is_not_called_a_target(tmp_path: Path) -> None:
    teacher = folder(tmp_path / "teacher", 2)
    (teacher / "7.png").rename(teacher / "seven.png")
    done = run(folder(tmp_path / "student", 1), "--teacher", teacher)
    assert done.exit_code == 2
    assert "seven is among the teacher's images only" in done.output
    assert "target" not in done.output


class Plain(nn.Module):
    def forward(self, latents: Tensor) -> Tensor:
        return (0.3 * latents).sigmoid()


def test_a_program_without_labels_is_said_to_be_called_so(tmp_path: Path) -> None:
    path = tmp_path / "plain.pt2"
    program = torch.export.export(Plain(), (torch.zeros(50, *DIGITS.shape),))
    torch.export.save(program, path)
    words = (path, "--task", "digits", "--metrics", "contrast")
    assert "called with latents alone" in run(*words).stdout
    assert json.loads(run(*words, "--json").stdout)["student"]["notes"] == [
        "called with latents alone"
    ]
    beside = run(*words[:-1], "psnr", "--teacher", path, "--json")
    assert json.loads(beside.stdout)["teacher"]["notes"] == ["called with latents alone"]


def test_help_says_what_people_must_know_before() -> None:
    said = " ".join(run("--help").stdout.split())
    for words in (
        "labels (N,) if it takes labels, optional ones too, otherwise with latents alone",
        "The same answers given twice are refused",
        "draws sides and order at random for each folder",
        "Keep its key.json",
        "do not open it before you have answered",
    ):
        assert words in said
