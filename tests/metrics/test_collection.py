"""Many metrics at once: each extractor once, and a reason wherever there is no value."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from kdbench.errors import BadSpec
from kdbench.metrics.collection import measure_images
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
