"""The task mnist: its splits for good, its files in every form, its judges as their cards say."""

from __future__ import annotations

import gzip
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from kdbench import registry
from kdbench.digest import sha256_of
from kdbench.metrics.features.recipe import accuracy
from kdbench.tasks import mnist
from kdbench.tasks.data_files import DataError
from kdbench.tasks.mnist import Mnist
from kdbench.weights import cards

SHA256 = {
    "train": "44c0a0940dbd7b0829694037636493ddd8569132cb3028ebd8ff7ee87b03e939",
    "validation": "82af728d66863a8278e0b58e19cf5389c6d84000b8a21e4eee4c40b4326446a9",
    "held-out": "13ec16e87877a255e3976185d39d2e7da674fb29907dbb64c09b8af5e30ff60b",
}
"""Published numbers hang on these: another split is another task version."""


@pytest.fixture
def task() -> Mnist:
    """The task on its published files; the test is skipped where there are none."""
    try:
        mnist.DATA.folder()
        Mnist().split("train")
    except DataError as error:
        pytest.skip(str(error))
    return Mnist()


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a small set in place of MNIST, unpacked as torchvision stores it."""
    monkeypatch.setattr(mnist, "PARTS", {"train": 60, "t10k": 40})
    monkeypatch.setattr(mnist, "VALIDATION_PER_CLASS", 2)
    monkeypatch.setattr(mnist, "HELD_OUT_PER_CLASS", 3)
    monkeypatch.setenv("KDBENCH_DATA", str(tmp_path))
    random = np.random.default_rng(0)
    sums = {}
    for part, n in mnist.PARTS.items():
        images = random.integers(256, size=(n, 28, 28)).astype(np.uint8)
        labels = (np.arange(n) % 10).astype(np.uint8)
        folder = tmp_path / "MNIST" / "raw"
        folder.mkdir(parents=True, exist_ok=True)
        header = struct.pack(">4I", 2051, n, 28, 28)
        (folder / f"{part}-images-idx3-ubyte").write_bytes(header + images.tobytes())
        header = struct.pack(">2I", 2049, n)
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(header + labels.tobytes())
        tensors = torch.from_numpy(images)[:, None], torch.from_numpy(labels.astype(np.int64))
        sums[part] = sha256_of(*tensors)
    monkeypatch.setattr(mnist, "SHA256", sums)
    mnist._splits.cache_clear()
    return folder


def hashes() -> dict[str, str]:
    mnist._splits.cache_clear()
    return {name: Mnist().split(name).sha256 for name in SHA256}


# ---------------------------------------------------------------- files in every form


def test_packed_and_unpacked_files_give_the_same_splits(small: Path) -> None:
    unpacked = hashes()
    for path in list(small.iterdir()):
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    assert hashes() == unpacked
    small.rename(small.parent.parent / "mnist")
    assert hashes() == unpacked


def test_no_image_is_in_two_splits_and_labels_stay_with_theirs(small: Path) -> None:
    raw = np.frombuffer((small / "train-images-idx3-ubyte").read_bytes()[16:], np.uint8)
    of_image = {row.tobytes(): i % 10 for i, row in enumerate(raw.reshape(60, -1))}
    parts = [Mnist().split(name) for name in ("train", "validation")]
    found = [
        (image.numpy().tobytes(), int(label))
        for part in parts
        for image, label in zip(part.images, part.labels, strict=True)
    ]
    assert [part.labels.bincount().tolist() for part in parts] == [[4] * 10, [2] * 10]
    assert dict(found) == of_image
    assert len(found) == 60


@pytest.mark.parametrize("name", ["train-labels-idx1-ubyte", "t10k-images-idx3-ubyte"])
def test_a_missing_file_is_named_with_what_is_expected(small: Path, name: str) -> None:
    (small / name).unlink()
    with pytest.raises(
        DataError, match=rf"mnist@1 lacks .*{name} or {name}\.gz is not in"
    ) as error:
        hashes()
    assert "MNIST/raw/train-images-idx3-ubyte" in str(error.value)
    assert str(small) not in str(error.value)


def test_no_folder_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("KDBENCH_DATA", raising=False)
    with pytest.raises(DataError, match=r"no folder is named: give --data FOLDER or set"):
        Mnist().split("train")
    monkeypatch.setenv("KDBENCH_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match="names a folder that is not there"):
        Mnist().split("train")


def test_other_pixels_are_refused(small: Path) -> None:
    path = small / "t10k-images-idx3-ubyte"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match="the part t10k has other pixels or labels than published"):
        hashes()


@pytest.mark.parametrize("cut", [8, 100, -1])
def test_truncated_files_are_refused(small: Path, cut: int) -> None:
    path = small / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(DataError, match="a file of the part train is not the published idx file"):
        hashes()


def test_damaged_archives_are_refused(small: Path) -> None:
    path = small / "train-images-idx3-ubyte"
    packed = gzip.compress(path.read_bytes())
    path.unlink()
    for data in (packed[:-100], b"not gzip", packed[:10] + b"\xff" * 20 + packed[30:]):
        path.with_name(f"{path.name}.gz").write_bytes(data)
        with pytest.raises(DataError, match=r"idx3-ubyte\.gz is damaged"):
            hashes()


# ---------------------------------------------------------------- the published set


def test_splits_are_fixed(task: Mnist) -> None:
    assert {name: task.split(name).sha256 for name in SHA256} == SHA256


def test_sizes_and_balance(task: Mnist) -> None:
    assert {name: len(task.split(name)) for name in SHA256} == {
        "train": 55_000,
        "validation": 5_000,
        "held-out": 8_900,
    }
    assert task.split("held-out").labels.bincount().tolist() == [890] * 10
    assert all(task.split(name).images.dtype == torch.uint8 for name in SHA256)


def test_the_stated_spread_is_that_of_the_encoded_data(task: Mnist) -> None:
    encoded = task.encode(task.split("train").images).double()
    assert float(encoded.std()) == pytest.approx(task.sigma_data, abs=0.001)


def test_it_agrees_with_torchvision(task: Mnist) -> None:
    datasets = pytest.importorskip("torchvision.datasets")
    try:
        theirs = datasets.MNIST(os.environ["KDBENCH_DATA"], train=False)
    except RuntimeError:
        pytest.skip("torchvision reads unpacked files only")
    ours = mnist._read(mnist.DATA.folder(), "t10k", 10_000)
    assert torch.equal(ours.images[:, 0], theirs.data)
    assert torch.equal(ours.labels, theirs.targets)


# ---------------------------------------------------------------- judges


@pytest.mark.parametrize("name", ["mnist-cnn", "mnist-aux"])
def test_judges_are_as_good_as_their_cards_say(task: Mnist, name: str) -> None:
    extractor, split = registry.extractors.load(f"{name}@1")(), task.split("held-out")
    stated = cards.load(name).figures["held_out_accuracy"]
    found = accuracy(extractor.network, split.images, split.labels)
    assert found == pytest.approx(stated, abs=1e-9)
    assert stated > 0.98
    assert not extractor.network.training
    assert not any(p.requires_grad for p in extractor.network.parameters())


def test_the_evaluator_is_not_what_methods_may_use() -> None:
    evaluator, auxiliary = (
        registry.extractors.load(name)() for name in (Mnist.extractor, Mnist.auxiliary)
    )
    assert evaluator.id != auxiliary.id
    assert type(evaluator.network) is not type(auxiliary.network)
