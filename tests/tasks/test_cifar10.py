"""The tasks cifar10 and cifar10-jpeg: every form of their files, and nothing that could run."""

from __future__ import annotations

import hashlib
import io
import pickle
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from kdbench import registry
from kdbench.digest import sha256_of
from kdbench.errors import WeightsError
from kdbench.metrics.features import cifar10 as judges
from kdbench.metrics.features.recipe import make_judge
from kdbench.tasks import cifar10, cifar10_files, cifar10_jpeg
from kdbench.tasks.cifar10 import Cifar10, Cifar10Jpeg
from kdbench.tasks.cifar10_files import rows_of_pickle
from kdbench.tasks.data_files import DataError
from kdbench.weights import cards

SHA256 = {
    "train": "18266d898323231569322330cec0147c1643cc539e5f51b3fe38f416996e9609",
    "validation": "47902df861271c83cd0211ab5622052f5af5f73f8823d5b4b366615c286df91d",
    "held-out": "9c187182d927124ce258bd19e038be2e9c02886a36f59bbb4d37dd71251b0703",
}
"""Of cifar10-jpeg@1: another split is another task version."""


def old_pickle(
    rows: np.ndarray, *, array: bytes = b"cnumpy.core.multiarray\n_reconstruct\n"
) -> bytes:
    """A batch as Python 2 wrote it: `data` and `labels`, strings as bytes.

    Args:
        rows: (N, 3073), a label and the pixels.
        array: what makes the array.
    """
    n, data = len(rows), rows[:, 1:].tobytes()

    def text(value: bytes) -> bytes:
        return b"T" + struct.pack("<i", len(value)) + value

    type_ = b"cnumpy\ndtype\n(" + text(b"u1") + b"K\x00K\x01tR(K\x03" + text(b"|")
    type_ += b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    made = array + b"(cnumpy\nndarray\n(K\x00t" + text(b"b") + b"tR"
    shape = b"(J" + struct.pack("<i", n) + b"J" + struct.pack("<i", 3072) + b"t"
    state = b"(K\x01" + shape + type_ + b"\x89" + text(data) + b"tb"
    labels = b"(" + b"".join(b"K" + bytes([label]) for label in rows[:, 0]) + b"l"
    return b"\x80\x02}(" + text(b"data") + made + state + text(b"labels") + labels + b"u."


def set_of(n: int) -> np.ndarray:
    """(n, 3073) random rows, labels taking turns."""
    rows = np.random.default_rng(n).integers(256, size=(n, 3073)).astype(np.uint8)
    rows[:, 0] = np.arange(n) % 10
    return rows


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, np.ndarray]:
    """Six small batches that stand for the published ones."""
    made = {name: set_of(30 + i) for i, name in enumerate(cifar10_files.BATCHES)}
    sums = {name: hashlib.md5(old_pickle(rows)).hexdigest() for name, rows in made.items()}
    monkeypatch.setattr(cifar10_files, "BATCHES", sums)
    monkeypatch.setattr(cifar10, "VALIDATION_PER_CLASS", 4)
    monkeypatch.setenv("KDBENCH_DATA", str(tmp_path))
    cifar10._published.cache_clear()
    return made


def archive(path: Path, files: dict[str, bytes], mode: str = "w:gz") -> None:
    with tarfile.open(path, mode) as opened:  # type: ignore[call-overload]
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            opened.addfile(info, io.BytesIO(data))


def as_folder(root: Path, batches: dict[str, np.ndarray]) -> None:
    (root / "cifar-10-batches-py").mkdir()
    for name, rows in batches.items():
        (root / "cifar-10-batches-py" / name).write_bytes(old_pickle(rows))


def as_python_archive(root: Path, batches: dict[str, np.ndarray]) -> None:
    files = {f"cifar-10-batches-py/{name}": old_pickle(rows) for name, rows in batches.items()}
    archive(root / "cifar-10-python.tar.gz", files)


def as_binary_archive(root: Path, batches: dict[str, np.ndarray]) -> None:
    files = {f"cifar-10-batches-bin/{n}.bin": rows.tobytes() for n, rows in batches.items()}
    archive(root / "cifar-10-binary.tar.gz", files)
    cifar10_files.BINARY_SHA256 = hashlib.sha256(
        (root / "cifar-10-binary.tar.gz").read_bytes()
    ).hexdigest()


# ---------------------------------------------------------------- as published


@pytest.mark.parametrize("form", [as_folder, as_python_archive, as_binary_archive])
def test_every_form_gives_the_same_pixels(
    batches: dict[str, np.ndarray],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    form: Callable[[Path, dict[str, np.ndarray]], None],
) -> None:
    monkeypatch.setattr(cifar10_files, "BINARY_SHA256", "")
    form(tmp_path, batches)
    train, test = cifar10_files.read_published(tmp_path)
    rows = np.concatenate(list(batches.values())[:-1])
    assert np.array_equal(train.images.numpy().reshape(len(rows), -1), rows[:, 1:])
    assert train.labels.tolist() == rows[:, 0].tolist()
    assert np.array_equal(test.images.numpy().reshape(-1, 3072), batches["test_batch"][:, 1:])
    assert {name: len(Cifar10().split(name)) for name in SHA256} == {
        "train": 120,
        "validation": 40,
        "held-out": 35,
    }


def test_the_labels_of_torchvision_are_ours(batches: dict[str, np.ndarray]) -> None:
    rows = batches["test_batch"]
    theirs = pickle.loads(old_pickle(rows), encoding="latin1")
    ours = rows_of_pickle(old_pickle(rows))
    assert ours is not None
    assert np.array_equal(ours[:, 1:], theirs["data"])
    assert ours[:, 0].tolist() == theirs["labels"]


@pytest.mark.parametrize(
    "array", [b"cos\nsystem\n", b"cnumpy\nload\n", b"cbuiltins\neval\n", b"cbuiltins\ngetattr\n"]
)
def test_nothing_in_a_pickle_can_run(array: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[object] = []
    monkeypatch.setattr("os.system", ran.append)
    monkeypatch.setattr("numpy.load", ran.append)
    assert rows_of_pickle(old_pickle(set_of(2), array=array)) is None
    assert not ran


@pytest.mark.parametrize(
    "value",
    [
        {b"data": [1, 2], b"labels": [1]},
        {b"labels": [1]},
        {b"data": b"x" * 3072, b"labels": [300]},
        [1],
        "text",
    ],
    ids=["list", "no pixels", "labels", "no dictionary", "text"],
)
def test_other_pickles_are_refused(value: object) -> None:
    assert rows_of_pickle(pickle.dumps(value, protocol=2)) is None
    assert rows_of_pickle(b"") is None


def test_another_size_than_declared_is_refused() -> None:
    rows = set_of(3)
    assert rows_of_pickle(old_pickle(rows).replace(b"K\x00K\x01K\x02l", b"K\x00K\x01l")) is None


def test_other_files_are_refused(batches: dict[str, np.ndarray], tmp_path: Path) -> None:
    batches["data_batch_3"][0, 5] ^= 1
    as_folder(tmp_path, batches)
    with pytest.raises(DataError, match="data_batch_3 is not the published file"):
        cifar10_files.read_published(tmp_path)


def test_missing_and_damaged_files_are_named(
    batches: dict[str, np.ndarray], tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"cifar10@1 lacks .*none of .*Expected there: cifar-10-b"):
        Cifar10().split("train")
    (tmp_path / "cifar-10-binary.tar.gz").write_bytes(b"x")
    with pytest.raises(DataError, match=r"binary\.tar\.gz is not the published archive"):
        Cifar10().split("train")
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(b"x")
    with pytest.raises(DataError, match=r"python\.tar\.gz is damaged or lacks"):
        Cifar10().split("train")
    as_folder(tmp_path, batches)
    (tmp_path / "cifar-10-batches-py" / "test_batch").unlink()
    with pytest.raises(DataError, match="test_batch is not in the folder"):
        Cifar10().split("train")


# ---------------------------------------------------------------- as JPEGs


@pytest.fixture
def pictures(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, bytes]:
    """Small JPEGs by their names, which stand for the published ones."""
    monkeypatch.setattr(cifar10_jpeg, "PARTS", {"train": 3, "test": 2})
    monkeypatch.setattr(cifar10, "VALIDATION_PER_CLASS", 1)
    monkeypatch.setenv("KDBENCH_DATA", str(tmp_path))
    files, sums = {}, {}
    for part, n in cifar10_jpeg.PARTS.items():
        images = []
        for label, number in ((a, b) for a in cifar10_jpeg.NAMES for b in range(n)):
            place = len(images)
            pixels = np.full((32, 32, 3), (place, 255 - place, 7 * place), np.uint8)
            out = io.BytesIO()
            Image.fromarray(pixels).save(out, "jpeg")
            files[f"{part}/{label}/{number:04}.jpg"] = out.getvalue()
            images.append(torch.from_numpy(np.array(Image.open(out))).permute(2, 0, 1))
        sums[part] = sha256_of(torch.stack(images), torch.arange(10).repeat_interleave(n))
    monkeypatch.setattr(cifar10_jpeg, "SHA256", sums)
    cifar10._jpeg.cache_clear()
    return files


def test_folder_and_archive_give_the_same_pixels(
    pictures: dict[str, bytes], tmp_path: Path
) -> None:
    backwards = dict(reversed(pictures.items()))
    archive(tmp_path / "cifar10-jpeg.tar.xz", backwards, "w:xz")
    packed = cifar10_jpeg.read_jpeg(tmp_path)
    for name, data in pictures.items():
        path = tmp_path / "CIFAR-10-images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    unpacked = cifar10_jpeg.read_jpeg(tmp_path)
    assert [part.sha256 for part in packed] == [part.sha256 for part in unpacked]
    task = Cifar10Jpeg()
    assert {name: len(task.split(name)) for name in SHA256} == {
        "train": 20,
        "validation": 10,
        "held-out": 20,
    }


def test_jpegs_that_are_not_the_set_are_refused(pictures: dict[str, bytes], tmp_path: Path) -> None:
    path = tmp_path / "cifar10-jpeg.tar.xz"
    with pytest.raises(DataError, match=r"none of cifar10-jpeg/, CIFAR-10-images/ and cifar10-j"):
        cifar10_jpeg.read_jpeg(tmp_path)
    for name, data in {"elsewhere/x.jpg": b"", "train/dog/0001.jpg": b"x"}.items():
        archive(path, pictures | {name: data}, "w:xz")
        with pytest.raises(DataError, match="is damaged"):
            cifar10_jpeg.read_jpeg(tmp_path)
    archive(path, {n: d for n, d in pictures.items() if n != "test/cat/0001.jpg"}, "w:xz")
    with pytest.raises(DataError, match=r"the part test of .*\.tar\.xz has other pixels"):
        cifar10_jpeg.read_jpeg(tmp_path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(DataError, match="is damaged"):
        cifar10_jpeg.read_jpeg(tmp_path)


@pytest.mark.slow
def test_the_splits_of_the_jpeg_set_are_fixed() -> None:
    task = Cifar10Jpeg()
    try:
        found = {name: task.split(name) for name in SHA256}
    except DataError as error:
        pytest.skip(str(error))
    assert {name: split.sha256 for name, split in found.items()} == SHA256
    assert [len(split) for split in found.values()] == [45_000, 5_000, 10_000]
    encoded = task.encode(found["train"].images[::10]).double()
    assert float(encoded.std()) == pytest.approx(task.sigma_data, abs=0.005)


# ---------------------------------------------------------------- judges


@pytest.mark.parametrize("task", [Cifar10, Cifar10Jpeg])
def test_judges_that_are_not_made_say_how(task: type[Cifar10]) -> None:
    assert task.extractor is not None
    name = task.extractor.partition("@")[0]
    if name in cards:
        pytest.skip("this judge was made here")
    with pytest.raises(WeightsError, match=rf"features\.recipe {task.name} --write"):
        registry.extractors.load(task.extractor)()


@pytest.mark.parametrize("kind", ["cnn", "aux"])
def test_the_recipe_runs_and_is_deterministic(
    batches: dict[str, np.ndarray], tmp_path: Path, kind: str
) -> None:
    as_folder(tmp_path, batches)
    one, two = (make_judge(f"cifar10-{kind}", steps=2) for _ in range(2))
    for ours, theirs in zip(one.state_dict().values(), two.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)
    features, logits = one(torch.zeros(2, 3, 32, 32, dtype=torch.uint8))
    assert features.shape == (2, 128)
    assert logits.shape == (2, 10)


def test_extractor_and_auxiliary_differ_in_kind() -> None:
    assert type(judges.cifar10_cnn_network()) is not type(judges.cifar10_aux_network())
