"""The task imagenet64: its published files, unpacked once and mapped, and what else is refused."""

from __future__ import annotations

import shutil
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
import torch

from kdbench import registry
from kdbench.metrics.naming import shared_metric
from kdbench.tasks import imagenet64, imagenet64_batches, imagenet64_files, imagenet64_unpacked
from kdbench.tasks.data_files import DataError, as_split, cut
from kdbench.tasks.imagenet64 import ImageNet64
from kdbench.tasks.imagenet64_unpacked import first_of_each_class

from .imagenet64_set import batches_of, npz, stand_in, write_archives, write_folders

Batches = dict[str, dict[str, np.ndarray]]
N = 7


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Batches:
    """Eleven small batches that stand for the published ones."""
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("KDBENCH_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(imagenet64_batches, "ROWS", 3)  # no divisor of a batch
    stand_in(monkeypatch, tmp_path / "cache", n=N)
    return batches_of(N)


def as_archives(root: Path, batches: Batches, monkeypatch: pytest.MonkeyPatch) -> None:
    sums = write_archives(root, batches)
    monkeypatch.setattr(imagenet64_files, "SHA256", sums)


def as_folders(root: Path, batches: Batches, _: pytest.MonkeyPatch) -> None:
    write_folders(root / "imagenet64", batches)


def side_by_side(root: Path, batches: Batches, _: pytest.MonkeyPatch) -> None:
    for name, arrays in batches.items():
        (root / f"{name}.npz").write_bytes(npz(arrays))


# ---------------------------------------------------------------- as published


@pytest.mark.parametrize("form", [as_archives, as_folders, side_by_side])
def test_every_form_gives_the_same_pictures(
    batches: Batches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: object
) -> None:
    assert callable(form)
    form(tmp_path / "data", batches, monkeypatch)
    *train, val = batches.values()
    pixels = np.concatenate([arrays["data"] for arrays in train]).reshape(-1, 3, 64, 64)
    labels = np.concatenate([arrays["labels"] for arrays in train]) - 1
    validation, _ = cut(as_split(pixels, labels), per_class=1)
    task = ImageNet64()
    found = task.split("train").images.numpy()
    chosen = {image.tobytes() for image in validation.images.numpy()}
    assert {image.tobytes() for image in task.split("validation").images.numpy()} == chosen
    kept = [image.tobytes() not in chosen for image in pixels]
    assert np.array_equal(found, pixels[kept])
    assert task.split("train").labels.tolist() == labels[kept].tolist()
    assert np.array_equal(task.split("held-out").images.flatten(1).numpy(), val["data"])
    assert task.split("held-out").labels.tolist() == [0, 1, 999] * 2


def test_what_is_unpacked_is_mapped_and_not_unpacked_again(
    batches: Batches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_folders(tmp_path / "data", batches, monkeypatch)
    images = ImageNet64().split("train").images
    maps = Path("/proc/self/maps").read_text()
    (file,) = (tmp_path / "cache").rglob("train.npy")
    assert any(
        file.name in line and start <= images.data_ptr() < end
        for line in maps.splitlines()
        for start, end in [[int(x, 16) for x in line.split()[0].split("-")]]
    )
    monkeypatch.setattr(imagenet64_unpacked, "_unpack", lambda *_: pytest.fail("unpacked again"))
    imagenet64._splits.cache_clear()
    assert torch.equal(ImageNet64().split("train").images, images)


def test_other_files_are_unpacked_elsewhere(
    batches: Batches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_folders(tmp_path / "data", batches, monkeypatch)
    before = ImageNet64().split("train")
    shutil.rmtree(tmp_path / "data" / "imagenet64")
    batches["train_data_batch_2"]["data"][0] = 0
    as_folders(tmp_path / "data", batches, monkeypatch)
    imagenet64._splits.cache_clear()
    assert ImageNet64().split("train").sha256 != before.sha256


def test_an_unpacking_that_was_killed_is_begun_anew(
    batches: Batches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_folders(tmp_path / "data", batches, monkeypatch)
    with monkeypatch.context() as patch:
        patch.setattr(imagenet64_unpacked, "_write", _interrupted)
        with pytest.raises(KeyboardInterrupt):
            ImageNet64().split("train")
    assert len(ImageNet64().split("train")) == 10 * N - 3


def _interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def test_validation_is_chosen_as_for_other_tasks() -> None:
    labels = np.array([1, 0, 1, 1, 0])
    digests = np.zeros((5, 32), np.uint8)
    digests[:, 31] = [9, 8, 7, 200, 6]  # the last byte decides
    digests[2, 0] = 1  # but the first before it
    chosen = first_of_each_class(labels, digests, per_class=1)
    assert chosen.tolist() == [True, False, False, False, True]


# ---------------------------------------------------------------- what is refused


def test_missing_files_are_named(
    batches: Batches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match=r"imagenet64@1 lacks .*train_part1_npz\.zip or train_data"):
        ImageNet64().split("train")
    as_folders(tmp_path / "data", batches, monkeypatch)
    (tmp_path / "data/imagenet64/Imagenet64_train_part2_npz/train_data_batch_8.npz").unlink()
    with pytest.raises(DataError, match=r"train_part2_npz\.zip or train_data_batch_8\.npz is not"):
        ImageNet64().split("train")


def test_archives_are_compared_with_their_checksums(batches: Batches, tmp_path: Path) -> None:
    write_archives(tmp_path / "data", batches)
    with pytest.raises(DataError, match=r"train_part1_npz\.zip is not the published archive"):
        ImageNet64().split("train")


def test_published_checksums_are_whole() -> None:
    assert list(imagenet64_files.SHA256) == list(imagenet64_files.PARTS)
    assert all(len(bytes.fromhex(sum_)) == 32 for sum_ in imagenet64_files.SHA256.values())


@pytest.mark.parametrize(
    "change",
    [
        {"data": np.zeros((N, 12288), np.float32)},
        {"data": np.zeros((N, 3072), np.uint8)},
        {"labels": np.zeros(N, np.int64)},
        {"labels": np.full(N, 1001)},
        {"labels": np.ones(N - 1, np.int64)},
        {"labels": np.array([object()] * N)},
        {"labels": None},
    ],
    ids=["floats", "32 pixels", "label 0", "label 1001", "few labels", "objects", "no labels"],
)
def test_batches_of_another_form_are_refused(
    batches: Batches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, np.ndarray]
) -> None:
    changed = {k: v for k, v in (batches["train_data_batch_3"] | change).items() if v is not None}
    batches["train_data_batch_3"] = changed
    as_folders(tmp_path / "data", batches, monkeypatch)
    with pytest.raises(DataError, match=r"train_data_batch_3\.npz is damaged or not"):
        ImageNet64().split("train")


@pytest.mark.parametrize("packed", [False, True])
def test_damaged_batches_are_refused(
    batches: Batches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: bool
) -> None:
    form, root = as_archives if packed else side_by_side, tmp_path / "data"
    form(root, batches, monkeypatch)
    path = root / ("Imagenet64_val_npz.zip" if packed else "val_data.npz")
    path.write_bytes(path.read_bytes()[:-1000])
    monkeypatch.setattr(imagenet64_unpacked, "check_archives", lambda paths: None)
    with pytest.raises(DataError, match=r"val_data\.npz is damaged"):
        ImageNet64().split("train")


def test_another_number_of_pictures_is_refused(
    batches: Batches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_folders(tmp_path / "data", batches, monkeypatch)
    monkeypatch.setattr(imagenet64_unpacked, "IMAGES", imagenet64_files.IMAGES)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: _usage(free=1 << 40))
    with pytest.raises(DataError, match=r"have 70 pictures, published 1,281,167"):
        ImageNet64().split("train")


def test_a_full_disk_is_seen_before_anything_is_written(
    batches: Batches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_folders(tmp_path / "data", batches, monkeypatch)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: _usage(free=900_000))
    with pytest.raises(DataError, match=r"KDBENCH_CACHE has no room: 0\.0 GB are unpacked"):
        ImageNet64().split("train")
    assert not list((tmp_path / "cache").rglob("*.npy"))


def _usage(free: int) -> object:
    return namedtuple("Usage", "free")(free)


def test_a_cache_that_cannot_be_written_is_named(
    batches: Batches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_folders(tmp_path / "data", batches, monkeypatch)
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(DataError, match=r"KDBENCH_CACHE cannot be written: "):
        ImageNet64().split("train")


# ---------------------------------------------------------------- how it is measured


def test_judges_are_published_and_separate() -> None:
    assert ImageNet64.extractor in registry.extractors
    assert ImageNet64.auxiliary in registry.extractors
    assert ImageNet64.extractor.partition("@")[0] != ImageNet64.auxiliary.partition("@")[0]
    assert shared_metric(ImageNet64.main).extractor == ImageNet64.extractor


def test_no_metric_needs_features_of_the_training_images() -> None:
    assert ImageNet64.main in {use.metric for use in ImageNet64.uses}
    for use in ImageNet64.uses:
        assert "train" not in shared_metric(use.metric).sets
        assert use.n * use.blocks == ImageNet64.n
        assert use.n % ImageNet64.classes == 0
