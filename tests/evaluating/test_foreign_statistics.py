"""Statistics that do not say what they are of: the value stands, with what is not known of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from kdbench.evaluating.evaluate import evaluate
from kdbench.evaluating.question import Question
from kdbench.evaluating.saved_statistics import save_statistics
from kdbench.evaluating.statistics_distance import distance_to
from kdbench.metrics.base import ImageSet
from kdbench.metrics.features.base import Extractor
from kdbench.reading import Statistics
from kdbench.stages import shared_task

DIGITS = shared_task("digits@1")
JUDGE = "digits-cnn"
UNKNOWN = "the file does not say which features it is of: taken as digits-cnn@1"
ALONE = "interval of the images alone"
NO_N = "n of the reference not known"


@pytest.fixture
def student(tmp_path: Path) -> Path:
    images = DIGITS.split("train").images[:200].permute(0, 2, 3, 1).numpy()
    np.savez(tmp_path / "x.npz", arr_0=images)
    return tmp_path / "x.npz"


@pytest.mark.parametrize("name", ["s.npz", "s.pt"])
def test_what_files_of_others_do_not_say_is_marked(student: Path, name: str) -> None:
    draw = np.random.default_rng(0).normal(size=(300, 64))
    mu, sigma, path = draw.mean(0), np.cov(draw.T), student.parent / name
    if name.endswith("npz"):
        np.savez(path, mu=mu, sigma=sigma)
    else:
        torch.save({"mu": mu, "sigma": sigma}, path)
    (score,) = evaluate(student, reference=path, metrics=[f"fd[{JUDGE}]"]).scores
    assert score.value is not None
    assert {UNKNOWN, ALONE, NO_N} <= set(score.marks)


def test_our_own_say_all_but_their_interval(student: Path) -> None:
    path = student.parent / "s.safetensors"
    question = Question(str(student), extractor=JUDGE)
    save_statistics(question, path, progress=lambda *_: None)
    (score,) = evaluate(student, reference=path, metrics=[f"fd[{JUDGE}]"]).scores
    assert ALONE in score.marks
    assert not {UNKNOWN, NO_N} & set(score.marks)


@pytest.mark.parametrize(
    ("origin", "judge", "about", "marked"),
    [
        ("pytorch-fid", "inception-v3-compat@1:0", {}, True),
        ("torch-fidelity", "inception-v3-compat@1:0", {}, False),
        ("pytorch-fid", "inception-v3-compat-clean@1:0", {}, False),
        ("kdbench", "inception-v3-compat@1:0", {"extractor": "inception-v3-compat@1:0"}, False),
    ],
)
def test_fid_to_a_file_of_another_resize_is_not_silently_fid(
    origin: str, judge: str, about: dict[str, str], marked: bool
) -> None:
    features = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
    given = Statistics(torch.zeros(4).double(), torch.eye(4).double(), None, origin, about)
    seen = ImageSet(torch.zeros(60, 1, 1, 1), torch.zeros(60), features)
    marks = distance_to(given, seen, judge=Extractor(judge, nn.Identity())).marks
    resize = [mark for mark in marks if "resize" in mark]
    assert bool(resize) == marked
    if marked:
        assert "pytorch-fid and clean-fid resize otherwise than inception-v3-compat" in resize[0]
