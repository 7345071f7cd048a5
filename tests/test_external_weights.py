"""External weights: where they are looked for, in which order, and what is said of missing ones."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from kdbench.errors import MissingWeights, WeightsError
from kdbench.external_weights import ExternalFile, find_external, known_sha256, places

DATA = b"as good as weights"
SHA256 = hashlib.sha256(DATA).hexdigest()
FILE = ExternalFile(
    file="net-1234.pth", url="https://example.org/net-1234.pth", bytes=12_300_000, licence="MIT"
)
VARIABLES = ("KDBENCH_WEIGHTS", "KDBENCH_CACHE", "XDG_CACHE_HOME", "TORCH_HOME")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder of a user whose name must not be told."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "somebody"
    monkeypatch.setenv("HOME", str(folder))
    return folder


def put(folder: Path, data: bytes = DATA) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE.file
    path.write_bytes(data)
    return path


def find() -> Path:
    return find_external("net", FILE, sha256=SHA256)


def test_the_places_of_a_user_who_has_set_nothing(home: Path) -> None:
    assert places() == {
        "~/.cache/kdbench/weights": home / ".cache/kdbench/weights",
        "~/.cache/torch/hub/checkpoints": home / ".cache/torch/hub/checkpoints",
        "~/.cache/clip": home / ".cache/clip",
    }


def test_variables_move_the_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.setenv(name, str(tmp_path / name))
    assert list(places()) == [
        "$KDBENCH_WEIGHTS",
        "$KDBENCH_CACHE/weights",
        "$TORCH_HOME/hub/checkpoints",
        "~/.cache/clip",
    ]
    assert places()["$KDBENCH_WEIGHTS"] == tmp_path / "KDBENCH_WEIGHTS"
    monkeypatch.delenv("KDBENCH_CACHE")
    monkeypatch.delenv("TORCH_HOME")
    monkeypatch.setenv("KDBENCH_WEIGHTS", "")  # as good as not set
    assert list(places())[:2] == [
        "$XDG_CACHE_HOME/kdbench/weights",
        "$XDG_CACHE_HOME/torch/hub/checkpoints",
    ]


@pytest.mark.parametrize(
    "place", [".cache/kdbench/weights", ".cache/torch/hub/checkpoints", ".cache/clip"]
)
def test_a_file_is_found_in_every_place(place: str, home: Path) -> None:
    path = put(home / place)
    assert find() == path


def test_the_users_own_folder_comes_first(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(home / ".cache/kdbench/weights")
    own = put(tmp_path / "own")
    monkeypatch.setenv("KDBENCH_WEIGHTS", str(tmp_path / "own"))
    assert find() == own


def test_missing_weights_say_what_where_and_how() -> None:
    with pytest.raises(MissingWeights) as caught:
        find()
    error = caught.value
    assert error.what == "The external weights 'net' are missing: net-1234.pth (12 MB)."
    assert error.where == (
        "It was looked for in ~/.cache/kdbench/weights, ~/.cache/torch/hub/checkpoints, "
        "~/.cache/clip."
    )
    assert error.how == (
        "With a network: `kdbench doctor --fetch net`. Without one: put net-1234.pth "
        f"(https://example.org/net-1234.pth, SHA-256 {SHA256}) in a folder and give "
        "--weights-dir FOLDER, or set KDBENCH_WEIGHTS to it."
    )
    assert str(error) == f"{error.what} {error.where} {error.how}"
    assert error.exit_code == 2


def test_an_own_folder_that_is_none_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KDBENCH_WEIGHTS", str(tmp_path / "secret"))
    with pytest.raises(MissingWeights) as caught:
        find()
    assert r"in $KDBENCH_WEIGHTS (which is no folder), ~/.cache" in caught.value.where
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("damage", [b"", DATA[:-1], DATA[:-1] + b"?"])
def test_a_damaged_file_is_never_used_nor_passed_over(home: Path, damage: bytes) -> None:
    put(home / ".cache/kdbench/weights", damage)
    put(home / ".cache/clip")
    with pytest.raises(WeightsError, match="damaged or other ones") as caught:
        find()
    said = str(caught.value)
    assert not isinstance(caught.value, MissingWeights)
    assert f"~/.cache/kdbench/weights/{FILE.file}" in said
    assert "kdbench doctor --fetch net" in said
    assert hashlib.sha256(damage).hexdigest()[:12] in said
    assert SHA256[:12] in said
    assert "somebody" not in said


def test_a_file_that_cannot_be_read_is_explained(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(home / ".cache/clip")

    def refuse(path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("kdbench.external_weights.sha256_file", refuse)
    with pytest.raises(WeightsError, match="cannot be read: Permission denied") as caught:
        find()
    assert "somebody" not in str(caught.value)


def test_a_folder_of_that_name_is_no_file(home: Path) -> None:
    (home / ".cache/kdbench/weights" / FILE.file).mkdir(parents=True)
    path = put(home / ".cache/clip")
    assert find() == path


def test_a_hash_is_computed_once_and_again_after_a_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(tmp_path)
    assert known_sha256(path) == SHA256
    with monkeypatch.context() as patch:
        patch.setattr("kdbench.external_weights.sha256_file", None)
        assert known_sha256(path) == SHA256
    path.write_bytes(DATA[::-1])
    os.utime(path, ns=(0, 1))
    assert known_sha256(path) == hashlib.sha256(DATA[::-1]).hexdigest()


@pytest.mark.parametrize("file", ["", "a/b.pth", "..\\b.pth"])
def test_a_card_cannot_name_a_file_outside_its_folder(file: str) -> None:
    with pytest.raises(ValueError, match="file"):
        ExternalFile(file=file, url="https://example.org/f", licence="MIT")


def test_an_unknown_size_is_said() -> None:
    assert FILE.model_copy(update={"bytes": None}).size == "size not known"
