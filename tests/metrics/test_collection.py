"""Many metrics at once: each extractor once, and a reason wherever there is no value."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from kdbench.errors import BadSpec
from kdbench.metrics.collection import Measured, measure_images
from kdbench.metrics.features.base import Extractor, shared_extractor
from kdbench.tasks.digits import Digits

PAIRED = ["psnr", "feature-cosine", "feature-cosine[digits-aux]"]
METRICS = ["fd", "kid-stratified", "recall", "coverage", "class-accuracy", *PAIRED]


def test_values_equal_those_of_each_metric_alone() -> None:
    real, other = Digits().split("held-out"), Digits().split("train")
    given = {
        "labels": other.labels[:500],
        "others": {"reference": (real.images, real.labels)},
        "extractor": "digits-cnn",
    }
    together = measure_images(METRICS, other.images[:500], **given, targets=real.images)  # type: ignore[arg-type]
    assert list(together) == [f"{name}@1" for name in METRICS]
    for name in PAIRED:
        found = together[f"{name}@1"]
        assert found.value is not None, found.reason
        assert found.details["shuffled"] == pytest.approx(found.value, abs=0.5)
    assert together["feature-cosine@1"].value != together[f"{PAIRED[-1]}@1"].value
    for name in METRICS[: -len(PAIRED)]:
        alone = measure_images([name], other.images[:500], **given)  # type: ignore[arg-type]
        assert alone[f"{name}@1"].value == together[f"{name}@1"].value is not None
    accuracy = together["class-accuracy@1"].value
    assert accuracy is not None
    assert accuracy > 0.98


def test_each_set_meets_the_extractor_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[int] = []
    genuine = Extractor.__call__

    def counted(self: Extractor, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        asked.append(len(images))
        return genuine(self, images)

    monkeypatch.setattr(Extractor, "__call__", counted)
    images = torch.randint(0, 256, (250, 1, 8, 8), dtype=torch.uint8)
    for _ in range(2):
        measure_images(
            ["fd", "kid", "recall", "precision", "feature-cosine"],
            images,
            others={"reference": images.flip(0)},
            targets=images.flip(2),
            extractor="digits-cnn",
            cache=tmp_path,
        )
    assert len(asked) == 3  # the three sets of the first call; the second finds them kept


def test_reasons_stand_where_values_cannot(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("KDBENCH_WEIGHTS", "XDG_CACHE_HOME", "TORCH_HOME", "HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    shared_extractor.cache_clear()
    images = torch.randint(0, 256, (30, 3, 32, 32), dtype=torch.uint8)
    found = measure_images(["fid", "psnr"], images, others={"reference": images})
    assert found["fid@1"].value is None
    assert "kdbench doctor --fetch" in (found["fid@1"].reason or "")
    assert "targets" in (found["psnr@1"].reason or "")
    with pytest.raises(BadSpec, match=r"name one"):
        measure_images(["fd"], images, others={"reference": images})
    missing = measure_images(["fd"], images[:, :1, :8, :8], extractor="digits-cnn")
    assert "reference" in (missing["fd@1"].reason or "")


def digits(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    part = Digits().split("train")
    return part.images[:n], part.labels[:n]


@pytest.mark.parametrize(
    "name", ["class-accuracy", "kid-stratified", "fd-worst-class", "feature-distance-within"]
)
def test_without_labels_a_metric_does_not_become_another_one(name: str) -> None:
    images, labels = digits(1000)
    given = {"others": {"reference": (images.flip(0), labels.flip(0))}, "extractor": "digits-cnn"}
    bare = measure_images([name], images, **given)[f"{name}@1"]  # type: ignore[arg-type]
    assert bare.value is None
    assert "needs labels: images have none" in (bare.reason or "")
    whole = measure_images([name], images, labels=labels, **given)[f"{name}@1"]  # type: ignore[arg-type]
    assert whole.value is not None


@pytest.mark.parametrize(
    ("images", "labels", "others", "sentence"),
    [
        (torch.rand(9, 1, 8, 8), None, {}, "uint8 .N, C, H, W., not torch.float32"),
        (torch.zeros(9, 8, 8, dtype=torch.uint8), None, {}, r"\(9, 8, 8\)"),
        (digits(9)[0].numpy(), None, {}, "not ndarray"),
        (digits(9)[0], torch.zeros(8, dtype=torch.int64), {}, r"shape \(9,\)"),
        (digits(9)[0], torch.zeros(9), {}, "integers"),
        (digits(9)[0], None, {"refrence": digits(9)[0]}, "give reference, train"),
    ],
)
def test_what_is_not_a_set_of_images_is_refused(
    images: object, labels: object, others: object, sentence: str
) -> None:
    with pytest.raises(BadSpec, match=sentence):
        measure_images(["kid"], images, labels=labels, others=others, extractor="digits-cnn")  # type: ignore[arg-type]


def test_images_that_a_judge_cannot_see_have_no_value() -> None:
    images = torch.zeros(30, 3, 16, 16, dtype=torch.uint8)
    for judge in ("digits-cnn", "digits-aux"):
        found = measure_images(["vendi"], images, extractor=judge)["vendi@1"]
        assert found.value is None
        assert "8 x 8" in (found.reason or "")


def test_a_value_knows_its_conditions_and_refuses_others() -> None:
    images, labels = digits(200)
    others = {"reference": (images.flip(3), labels)}

    def fd(extractor: str, n: int = 200) -> Measured:
        given = {"labels": labels[:n], "others": others, "extractor": extractor}
        return measure_images(["fd"], images[:n], **given)["fd@1"]  # type: ignore[arg-type]

    first = fd("digits-cnn")
    assert (first.n, first.n_reference, first.metric) == (200, 200, "fd@1")
    assert (first.extractor or "").startswith("digits-cnn@1:")
    assert "float64" in first.protocol
    assert first.difference(fd("digits-cnn")) == 0
    with pytest.raises(BadSpec, match="different extractor"):
        first.difference(fd("digits-aux"))
    with pytest.raises(BadSpec, match="different n are not compared"):
        first.difference(fd("digits-cnn", 100))
