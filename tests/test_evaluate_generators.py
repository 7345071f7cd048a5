"""Metrics of a generator in `kdbench eval`: measured of what draws, refused of images."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import Tensor, nn

from kdbench.cli import main
from kdbench.errors import NothingMeasured
from kdbench.evaluating import choice
from kdbench.evaluating.evaluate import evaluate
from kdbench.evaluating.generator_scores import of_generator
from kdbench.evaluating.material import Material
from kdbench.evaluating.subjects import open_subject
from kdbench.metrics import path_length as module
from kdbench.metrics.base import Use
from kdbench.metrics.features.base import Extractor
from kdbench.metrics.path_length import ppl_float, ppl_uint8
from kdbench.programs import find_arm
from kdbench.stages import shared_task

DIGITS = shared_task("digits@1")
ARM = "digits-gan-teacher/teacher"


def silent(stage: str, done: int, total: int) -> None: ...


class Pixels(nn.Module):
    """Pixels on the scale of [0, 1] as an embedding: digits are too small for LPIPS."""

    def forward(self, images: Tensor) -> tuple[Tensor, None]:
        return images.flatten(1).float() / 255, None


class Smooth(nn.Module):
    def forward(self, latents: Tensor) -> Tensor:
        return (0.3 * latents).sigmoid()


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "shared_extractor", lambda name: Extractor(name, Pixels()))


def program(path: Path, n: int) -> Path:
    """A program that takes `n` latents at a time and no labels."""
    torch.export.save(torch.export.export(Smooth(), (torch.zeros(n, *DIGITS.shape),)), path)
    return path


def material(word: object, *, arm: str | None = None) -> Material:
    parsed = find_arm(arm) if arm else None
    subject = open_subject(str(word), arm=parsed, task=DIGITS, seed=0, progress=silent)
    return Material(subject, DIGITS, DIGITS)


@pytest.mark.usefixtures("judge")
def test_a_registered_generator_has_both_lengths() -> None:
    given = material(ARM, arm=ARM)
    smooth, rounded = (of_generator(one, given) for one in (ppl_float, ppl_uint8))
    assert smooth.estimate.interval is not None
    assert 0 < smooth.estimate.interval.low < (smooth.estimate.value or 0)
    assert (rounded.estimate.value or 0) > 5 * (smooth.estimate.value or 0)
    assert smooth.n == DIGITS.n
    assert smooth.protocol.startswith("digits@1, held-out, 1000 pairs of latents, images in float")
    assert smooth.protocol != rounded.protocol


@pytest.mark.usefixtures("judge")
def test_a_program_is_asked_for_as_many_images_as_it_takes(tmp_path: Path) -> None:
    found = of_generator(ppl_float, material(program(tmp_path / "g.pt2", 7)))
    assert (found.estimate.value or 0) > 0
    assert found.n == DIGITS.n


def test_images_have_no_latents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = DIGITS.split("train").images[:20].permute(0, 2, 3, 1).numpy()
    np.savez(tmp_path / "samples.npz", arr_0=images)
    with pytest.raises(NothingMeasured, match="latents are known"):
        of_generator(ppl_float, material(tmp_path / "samples.npz"))
    name_it(monkeypatch)
    words = ["eval", str(tmp_path / "samples.npz"), "--metrics", "ppl-float"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 2
    assert "ppl-float@1 is measured of a generator whose latents are known" in " ".join(
        done.output.split()
    )


def test_what_lpips_does_not_take_has_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    name_it(monkeypatch)

    def refuse(name: str) -> Any:
        raise NothingMeasured("LPIPS takes images of 16 x 16 pixels or more: these are 8 x 8")

    monkeypatch.setattr(module, "shared_extractor", refuse)
    (score,) = evaluate(ARM, metrics=["ppl-float"]).scores
    assert (score.metric, score.value) == ("ppl-float@1", None)
    assert "16 x 16 pixels or more" in (score.reason or "")


def name_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask for `ppl-float` without the weights of its network."""
    evaluating = importlib.import_module("kdbench.evaluating.evaluate")
    monkeypatch.setattr(choice, "requested_metrics", lambda *_: ("ppl-float@1",))
    monkeypatch.setattr(choice, "parse_use", lambda name, n: Use("ppl-float@1", n=n))
    for place in (choice, evaluating):
        monkeypatch.setattr(place, "shared_metric", lambda name: ppl_float)
    monkeypatch.setattr(evaluating, "judge_of", lambda *_, **__: None)
