"""Scores of a run: missing teachers and weights, metrics beyond the task's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from kdbench.digest import sha256_of
from kdbench.errors import UnknownName
from kdbench.metrics.base import Use
from kdbench.metrics.features.base import shared_extractor
from kdbench.metrics.paired import PSNR_CAP_DB
from kdbench.record import Score
from kdbench.scoring import Teacher, extra_use, score
from kdbench.stages import Samples
from kdbench.tasks.digits import Digits

USES = (
    Use("kid-stratified@1", n=100),
    Use("feature-distance-ratio@1", n=100),
    Use("recall@1", n=50, blocks=2),
    Use("psnr@1", n=100),
    Use("feature-cosine@1", n=100),
)


class Few(Digits):
    """The digits, measured on few images."""

    n = 100
    uses = USES
    main = "kid-stratified@1"


def images(split: str) -> tuple[Tensor, Tensor]:
    part = Digits().split(split)
    order = torch.stack([(part.labels == label).nonzero()[:10, 0] for label in range(10)])
    return part.images[order.flatten()], part.labels[order.flatten()]


@pytest.fixture
def samples() -> Samples:
    """Training images as if somebody had generated them."""
    made, labels = images("train")
    return Samples(
        key="k",
        images={"held-out": made, "validation": made},
        labels={"held-out": labels, "validation": labels},
        n_failed={"held-out": 0, "validation": 0},
        network=None,
        nfe=1,
    )


def teacher(samples: Samples) -> Teacher:
    made, labels = samples.images["held-out"], samples.labels["held-out"]
    return Teacher(made.flip(3), labels, lambda: images("validation"))


def scored(samples: Samples, extra: tuple[str, ...] = (), *, alone: bool = False) -> list[Score]:
    beside = None if alone else teacher(samples)
    return score(Few(), samples, teacher=beside, no_teacher="nobody taught it", extra=extra)


def by_name(scores: list[Score]) -> dict[str, Score]:
    return {one.metric: one for one in scores if one.split == "held-out"}


def test_every_metric_has_value_n_reference_and_protocol(samples: Samples) -> None:
    found = by_name(scored(samples))
    assert list(found) == [use.metric for use in USES]
    for one in found.values():
        assert one.value is not None, one.reason
        assert one.n == 100
        assert one.reference
        assert one.protocol.startswith("digits@1, held-out")
    assert found["recall@1"].n_reference == 50
    assert found["kid-stratified@1"].n_reference == 500
    assert "the teacher's images of the same inputs" in found["feature-distance-ratio@1"].protocol


def test_pairs_are_the_teachers_images_and_its_images_of_other_inputs(samples: Samples) -> None:
    found = by_name(scored(samples))
    same = replace(teacher(samples), images=samples.images["held-out"])
    own = by_name(score(Few(), samples, teacher=same, no_teacher=""))
    for name, perfect in (("psnr@1", PSNR_CAP_DB), ("feature-cosine@1", 1.0)):
        assert own[name].value == pytest.approx(perfect)
        assert own[name].reference == sha256_of(samples.images["held-out"]) != found[name].reference
        assert (own[name].details["shuffled"] or 0) < perfect - 0.1
    assert "the teacher's image of the same input" in own["psnr@1"].protocol
    assert own["feature-cosine@1"].extractor == own["kid-stratified@1"].extractor


def test_only_the_main_metric_is_taken_on_validation(samples: Samples) -> None:
    assert [s.metric for s in scored(samples) if s.split == "validation"] == [Few.main]


def test_without_a_teacher_the_reason_stands_where_the_value_would(samples: Samples) -> None:
    found = by_name(scored(samples, alone=True))
    for name in ("feature-distance-ratio@1", "psnr@1", "feature-cosine@1"):
        assert found[name].value is None
        assert found[name].reason == "nobody taught it"
    assert found["kid-stratified@1"].value is not None


def test_failed_images_void_every_metric_of_their_split(samples: Samples) -> None:
    broken = replace(samples, n_failed={"held-out": 3, "validation": 0})
    known = {one.key: one for one in scored(samples, ("contrast",))}
    beside = teacher(samples)
    found = score(Few(), broken, teacher=beside, no_teacher="", extra=("contrast",), known=known)
    for one in found:
        if one.split == "held-out":
            assert (one.value, one.interval, one.n_failed) == (None, None, 3), one.metric
            assert one.reason == "3 images are not finite or are constant"
        else:
            assert one.value is not None
    assert {"recall@1", "psnr@1", "feature-cosine@1", "contrast@1"} <= set(by_name(found))


def test_more_metrics_can_be_asked_for(samples: Samples) -> None:
    found = by_name(scored(samples, ("fd[digits-aux]", "vendi@1")))
    assert found["fd[digits-aux]@1"].extractor != found["kid-stratified@1"].extractor
    assert found["fd[digits-aux]@1"].value is not None
    assert found["vendi@1"].value is not None


def test_a_metric_that_the_task_has_is_not_measured_twice(samples: Samples) -> None:
    names = [s.metric for s in scored(samples, ("psnr", "recall@1")) if s.split == "held-out"]
    assert len(names) == len(set(names)) == len(USES)


def test_sets_of_equal_size_are_taken_in_blocks() -> None:
    assert extra_use(Digits(), "coverage") == Use("coverage@1", n=500, blocks=2)
    assert extra_use(Digits(), "vendi") == Use("vendi@1", n=1000)


def test_unknown_names_are_refused_with_the_closest(samples: Samples) -> None:
    with pytest.raises(UnknownName, match="recall"):
        scored(samples, ("recal",))


def test_missing_weights_are_a_reason_and_never_another_metric(
    samples: Samples, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("KDBENCH_WEIGHTS", "KDBENCH_CACHE", "XDG_CACHE_HOME", "TORCH_HOME", "HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    shared_extractor.cache_clear()
    found = by_name(scored(samples, ("fid",)))["fid@1"]
    assert (found.value, found.interval, found.extractor) == (None, None, None)
    assert "kdbench doctor --fetch" in (found.reason or "")


def test_what_is_known_is_not_measured_again(samples: Samples) -> None:
    first = scored(samples)
    marked = {one.key: one.model_copy(update={"value": -1.0}) for one in first}
    again = score(Few(), samples, teacher=teacher(samples), no_teacher="", known=marked)
    assert all(one.value == -1.0 for one in again)
