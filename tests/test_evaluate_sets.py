"""Sets of unlike sizes and labels, statistics as the reference, and the runner's own numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.linalg import sqrtm
from torch import Tensor

from kdbench import registry
from kdbench.errors import NothingMeasured
from kdbench.evaluating.choice import Wanted
from kdbench.evaluating.evaluate import evaluate
from kdbench.evaluating.question import Question
from kdbench.evaluating.saved_statistics import save_statistics
from kdbench.evaluating.set_scores import fitted
from kdbench.evaluating.watched import watched
from kdbench.metrics.base import Use
from kdbench.metrics.features.base import Extractor, shared_extractor
from kdbench.metrics.measure import extract
from kdbench.metrics.naming import shared_metric
from kdbench.scoring import score
from kdbench.stages import Stages, shared_task
from kdbench.store import Store

DIGITS = shared_task("digits@1")
TRAIN, REAL = DIGITS.split("train"), DIGITS.split("held-out")
JUDGE = "digits-cnn"


def batch(path: Path, images: Tensor, labels: Tensor | None = None) -> Path:
    more = {} if labels is None else {"arr_1": labels.numpy()}
    np.savez(path, arr_0=images.permute(0, 2, 3, 1).numpy(), **more)
    return path


def folder(path: Path, classes: dict[str, int], n: int = 6) -> Path:
    for name, label in classes.items():
        (path / name).mkdir(parents=True)
        for i in (TRAIN.labels == label).nonzero().flatten()[:n].tolist():
            Image.fromarray(TRAIN.images[i, 0].numpy()).save(path / name / f"{i}.png")
    return path


def features(images: Tensor) -> np.ndarray:
    found = shared_extractor("digits-cnn@1")(images)[0]
    return found.double().numpy()


# ---------------------------------------------------------------- the runner's own numbers


def test_a_task_measures_as_the_runner_does(tmp_path: Path) -> None:
    pair = registry.pairs.load("digits-gan-teacher")
    samples = Stages(Store(tmp_path)).samples(pair, arm="teacher", seed=0)
    theirs = {
        one.metric: one
        for one in score(DIGITS, samples, teacher=None, no_teacher="there is none")
        if one.split == "held-out"
    }
    ours = evaluate("digits-gan-teacher/teacher")
    assert [one.metric for one in ours.scores] == list(theirs)
    measured = [one for one in ours.scores if one.value is not None]
    assert len(measured) > 12
    for own in measured:
        run = theirs[own.metric]
        for name in ("value", "interval", "n", "n_reference", "reference", "extractor", "details"):
            assert getattr(own, name) == getattr(run, name), (own.metric, name)
        assert (own.protocol, own.marks) == (run.protocol, run.marks)


# ---------------------------------------------------------------- sizes


@pytest.mark.parametrize(
    ("n", "reference", "use", "listed", "expected"),
    [
        (1000, 500, Use("recall@1", 500, 2), True, (500, 2)),
        (700, 500, Use("recall@1", 500, 2), True, (500, 1)),
        (1300, 500, Use("recall@1", 0), False, (500, 2)),
        (300, 500, Use("recall@1", 0), False, (300, 1)),
        (300, 500, Use("kid@1", 0), False, (300, 1)),
        (1200, 500, Use("kid@1", 1000), True, (1000, 1)),
        (1000, 300, Use("recall@1", 500, 2), True, (300, 3)),
    ],
)
def test_how_many_images_enter(
    n: int, reference: int, use: Use, listed: bool, expected: tuple[int, int]
) -> None:
    metric = shared_metric(use.metric)
    fit, marks = fitted(metric, Wanted(use, listed), n, {"reference": reference})
    assert (fit.n, fit.blocks) == expected
    assert bool(marks) == (listed and (fit.n, fit.blocks) != (use.n, use.blocks))


def test_sets_that_are_sorted_by_class_are_not_cut_to_their_first_classes(tmp_path: Path) -> None:
    order = REAL.labels.argsort(stable=True)
    real = batch(tmp_path / "sorted.npz", REAL.images[order])
    few = batch(tmp_path / "few.npz", TRAIN.images[:100])
    found = evaluate(few, reference=real, metrics=[f"coverage[{JUDGE}]", f"recall[{JUDGE}]"])
    whole = evaluate(few, reference="digits", metrics=["coverage", "recall"])
    for cut, fair in zip(found.scores, whole.scores, strict=True):
        assert (cut.n, cut.n_reference) == (100, 100)
        assert cut.value == pytest.approx(fair.value, abs=0.12)
        assert "drawn in a fixed order" in cut.protocol


def test_images_that_an_extractor_does_not_take_are_no_traceback(tmp_path: Path) -> None:
    images = torch.randint(256, (8, 3, 16, 16), dtype=torch.uint8)
    path = batch(tmp_path / "x.npz", images)
    found = evaluate(path, reference=path, metrics=[f"kid[{JUDGE}]", "sharpness-distance"])
    assert found.scores[0].value is None
    assert "(3, 16, 16)" in str(found.scores[0].reason)
    assert found.scores[1].value == 0


# ---------------------------------------------------------------- labels


def test_sub_folders_are_classes_by_their_names(tmp_path: Path) -> None:
    metrics = ["class-accuracy", "kid-stratified", "kid"]
    numbers = folder(tmp_path / "numbers", {"0": 0, "1": 1, "2": 2})
    accuracy, stratified, kid = evaluate(numbers, task="digits", metrics=metrics).scores
    assert accuracy.value == 1
    assert kid.value is not None
    moved = folder(tmp_path / "moved", {"1": 1, "2": 2})  # positions 0 and 1
    accuracy, stratified, kid = evaluate(moved, task="digits", metrics=metrics).scores
    assert "class 0 is '1' among the student's images and '0' beside them" in str(accuracy.reason)
    assert accuracy.value is stratified.value is None
    assert kid.value is not None
    plain = batch(tmp_path / "plain.npz", TRAIN.images[:20])
    accuracy, *_ = evaluate(plain, task="digits", metrics=metrics).scores
    assert "needs to know what each image was asked for" in str(accuracy.reason)
    other = evaluate(moved, reference=plain, metrics=[f"kid-stratified[{JUDGE}]"]).scores[0]
    assert other.reason == "It compares class by class, and the reference has no labels."


# ---------------------------------------------------------------- statistics


def frechet(x: np.ndarray, mu: np.ndarray, sigma: np.ndarray) -> float:
    """The distance as pytorch-fid writes it."""
    own = np.cov(x, rowvar=False)
    root = sqrtm(own @ sigma).real
    return float(((x.mean(0) - mu) ** 2).sum() + np.trace(own + sigma - 2 * root))


@pytest.mark.parametrize("kind", ["pytorch-fid", "torch-fidelity", "kdbench"])
def test_statistics_of_every_origin_give_the_distance_to_the_images(
    tmp_path: Path, kind: str
) -> None:
    student = batch(tmp_path / "x.npz", TRAIN.images[:200])
    real = features(REAL.images)
    mu, sigma = real.mean(0), np.cov(real, rowvar=False)
    if kind == "pytorch-fid":
        path = tmp_path / "stats.npz"
        np.savez(path, mu=mu, sigma=sigma)
    elif kind == "torch-fidelity":
        path = tmp_path / "stats.pt"
        torch.save({"mu": mu, "sigma": sigma}, path)
    else:
        path = tmp_path / "stats.safetensors"
        images = batch(tmp_path / "real.npz", REAL.images)
        question = Question(str(images), extractor=JUDGE)
        save_statistics(question, path, progress=lambda stage, done, total: None)
    found = evaluate(student, reference=path, metrics=["fd", "kid"], extractor=JUDGE)
    distance, kid = found.scores
    assert distance.metric == f"fd[{JUDGE}]@1"
    whole = evaluate(student, reference="digits", metrics=["fd"]).scores[0]
    assert distance.value == pytest.approx(whole.value, rel=1e-6)
    assert distance.value == pytest.approx(
        frechet(features(TRAIN.images[:200]), mu, sigma), rel=1e-6
    )
    assert distance.interval is not None
    assert whole.interval is not None
    width, other = (i.high - i.low for i in (distance.interval, whole.interval))
    assert width < other  # the statistics are given
    assert f"statistics as {kind} writes them" in distance.protocol
    assert kid.reason == "The reference is statistics, which only Fréchet distances take."
    assert (distance.n, distance.n_reference) == (200, 500 if kind == "kdbench" else None)


def test_singular_statistics_and_those_of_other_features(tmp_path: Path) -> None:
    student = batch(tmp_path / "x.npz", TRAIN.images[:200])
    real = features(REAL.images[:30])  # 30 images of 64 features
    path = tmp_path / "stats.npz"
    np.savez(path, mu=real.mean(0), sigma=np.cov(real, rowvar=False))
    found = evaluate(student, reference=path, metrics=[f"fd[{JUDGE}]"]).scores[0]
    few = batch(tmp_path / "few.npz", REAL.images[:30])
    whole = evaluate(student, reference=few, metrics=[f"fd[{JUDGE}]"]).scores[0]
    assert found.value == pytest.approx(whole.value, rel=1e-6)
    aux = evaluate(student, reference=path, metrics=["fd[digits-aux]"]).scores[0]
    assert "of 64 features, and digits-aux@1 gives 128" in str(aux.reason)


def test_our_statistics_say_which_features_they_are_of(tmp_path: Path) -> None:
    images, path = batch(tmp_path / "x.npz", REAL.images[:90]), tmp_path / "s.safetensors"
    question = Question(str(images), extractor="digits-cnn")
    save_statistics(question, path, progress=lambda stage, done, total: None)
    found = evaluate(images, reference=path, metrics=["fd[digits-aux]"]).scores[0]
    assert "64 features of digits-cnn@1" in str(found.reason)


class Picky(torch.nn.Module):
    """Of images of 8 x 8 alone."""

    def forward(self, images: Tensor) -> tuple[Tensor, None]:
        return images.view(len(images), 64).float(), None


def test_a_network_that_fails_on_a_size_says_so_and_progress_is_told() -> None:
    told = []
    extractor = Extractor("picky@1:0", Picky(), at_once=4)
    seen = watched(extractor, "student", 6, progress=lambda *event: told.append(event))
    extract(seen, REAL.images[:6], REAL.labels[:6], chunk=4)
    assert told == [("features of the student", 4, 6), ("features of the student", 6, 6)]
    with pytest.raises(NothingMeasured, match="picky@1 does not take images of 1×9×9"):
        seen(torch.zeros(2, 1, 9, 9, dtype=torch.uint8))
