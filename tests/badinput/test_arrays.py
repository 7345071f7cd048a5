"""Batches as arrays: which axis is which and which range is meant is known, or they are refused."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kdbench.reading import BadImages, ReadSet, read_images

BATCH = np.random.default_rng(0).integers(0, 256, (5, 8, 6, 3), dtype=np.uint8)
EXPECTED = torch.from_numpy(BATCH).permute(0, 3, 1, 2)


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (self.path, "w")


def npy(tmp_path: Path, values: Any, **options: Any) -> ReadSet:
    np.save(tmp_path / "x.npy", values, **options)
    return read_images(tmp_path / "x.npy")


def npz(tmp_path: Path, **arrays: Any) -> ReadSet:
    np.savez_compressed(tmp_path / "x.npz", **arrays)
    return read_images(tmp_path / "x.npz")


# ---------------------------------------------------------------- layouts


def test_layouts_are_told_apart(tmp_path: Path) -> None:
    for values in (BATCH, BATCH.transpose(0, 3, 1, 2), np.asfortranarray(BATCH)):
        found = npy(tmp_path, values)
        assert torch.equal(found.stacked(), EXPECTED)
        assert found.stacked().is_contiguous()
        assert found.names == ("0", "1", "2", "3", "4")
        assert not found.has_files
    assert npy(tmp_path, BATCH).notes == ("Read as NHWC.",)
    grey = npy(tmp_path, BATCH[..., 0])
    assert torch.equal(grey.stacked(), EXPECTED[:, :1])
    assert grey.notes == ("Read as NHW.",)


@pytest.mark.parametrize(
    "shape",
    [
        (5, 3, 8, 3),
        (5, 1, 28, 1),
        (5, 3, 3, 3),
        (5, 1, 8, 3),
        (64, 64, 3),
        (3, 64, 64),
        (1, 28, 28),
        (28, 28, 1),
        (64, 64, 4),
    ],
)
def test_ambiguous_layouts_are_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(BadImages, match=r"leaves open where the channels are; save it as"):
        npy(tmp_path, np.zeros(shape, np.uint8))


@pytest.mark.parametrize(
    "shape", [(), (5,), (5, 2048), (5, 8, 8, 4), (5, 4, 8, 8), (5, 2, 8, 8), (1, 5, 8, 8, 3)]
)
def test_what_is_no_batch_is_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(BadImages, match=r"images are \(N, H, W, C\) or \(N, C, H, W\) with 1 or 3"):
        npy(tmp_path, np.zeros(shape, np.uint8))


@pytest.mark.parametrize("shape", [(0, 8, 8, 3), (5, 0, 8, 3)])
def test_nothing_in_it(tmp_path: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(BadImages, match="there are no images"):
        npy(tmp_path, np.zeros(shape, np.uint8))


# ---------------------------------------------------------------- numbers


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
def test_floats_within_0_and_1_are_rounded_once(tmp_path: Path, dtype: Any) -> None:
    found = npy(tmp_path, (BATCH / 255).astype(dtype))
    assert torch.equal(found.stacked(), EXPECTED)
    assert any("round(255 v)" in note for note in found.notes)
    almost = np.full((1, 8, 8, 3), 0.9999, np.float32)
    assert npy(tmp_path, almost).stacked().min() == 255  # not cut off to 254


def test_many_floats_are_converted_in_parts(tmp_path: Path) -> None:
    values = np.random.default_rng(1).random((600, 5, 5, 3))
    found = npy(tmp_path, values)
    expected = np.rint(values.astype(np.float32) * 255).transpose(0, 3, 1, 2)
    assert np.array_equal(found.stacked().numpy(), expected)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({0: np.nan}, "of its 720 float32 values, from 0 to 1, 1 not finite; save"),
        ({0: np.inf, 9: -np.inf}, "from 0 to 1, 2 not finite; save"),
        ({0: -0.125}, "of its 720 float32 values, from -0.125 to 1, 1 outside [0, 1]; save"),
        ({0: 1.5, 9: -1, 10: np.nan}, "from -1 to 1.5, 2 outside [0, 1] and 1 not finite; save"),
    ],
)
def test_floats_out_of_range_are_counted(
    tmp_path: Path, change: dict[int, float], said: str
) -> None:
    values = (BATCH / 255).astype(np.float32)
    values.flat[1], values.flat[2] = 0, 1
    for at, value in change.items():
        values.flat[at] = value
    with pytest.raises(BadImages) as caught:
        npy(tmp_path, values)
    assert said in str(caught.value)
    assert "save uint8, or floats within [0, 1]" in str(caught.value)


def test_nothing_but_nan(tmp_path: Path) -> None:
    with pytest.raises(BadImages, match="of its 192 float32 values, 192 not finite; save"):
        npy(tmp_path, np.full((1, 8, 8, 3), np.nan, np.float32))


@pytest.mark.parametrize("dtype", [np.int8, np.int64, np.uint16, bool])
def test_other_numbers_are_refused(tmp_path: Path, dtype: Any) -> None:
    with pytest.raises(BadImages, match=f"its pixels are {np.dtype(dtype)}; save them as uint8"):
        npy(tmp_path, BATCH.astype(dtype))


@pytest.mark.parametrize("dtype", [complex, "S1", "M8[s]"])
def test_what_is_no_number_is_refused(tmp_path: Path, dtype: Any) -> None:
    values = BATCH.astype(dtype)
    with pytest.raises(BadImages, match="not plain numbers"):
        npy(tmp_path, values)
    with pytest.raises(BadImages, match="not plain numbers"):
        npz(tmp_path, arr_0=values)


def test_all_identical_images_are_noted(tmp_path: Path) -> None:
    assert "All 3 images have the same pixels." in npy(tmp_path, BATCH[:1].repeat(3, 0)).notes


# ---------------------------------------------------------------- names of an archive


def test_the_layout_of_adm(tmp_path: Path) -> None:
    found = npz(tmp_path, arr_0=BATCH, arr_1=np.array([3, 1, 4, 1, 5]))
    assert torch.equal(found.stacked(), EXPECTED)
    assert found.labels is not None
    assert found.labels.tolist() == [3, 1, 4, 1, 5]
    assert found.labels.dtype == torch.int64


def test_its_statistics_are_left_aside_with_a_word(tmp_path: Path) -> None:
    found = npz(tmp_path, arr_0=BATCH, mu=np.zeros(4), sigma=np.eye(4))
    assert torch.equal(found.stacked(), EXPECTED)
    assert found.labels is None
    assert found.notes == ("Read as NHWC.", "Not used: mu, sigma.")


def test_one_array_of_any_name(tmp_path: Path) -> None:
    assert torch.equal(npz(tmp_path, samples=BATCH).stacked(), EXPECTED)
    labels = npz(tmp_path, images=BATCH, labels=np.arange(5)).labels
    assert labels is not None
    assert labels.tolist() == [0, 1, 2, 3, 4]


def test_unclear_archives_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadImages, match=r"must be named arr_0 or images.*it holds: fake, real"):
        npz(tmp_path, fake=BATCH, real=BATCH)
    with pytest.raises(BadImages, match="it holds statistics of features"):
        npz(tmp_path, mu=np.zeros(4), sigma=np.eye(4))


@pytest.mark.parametrize(
    "labels", [np.zeros(4, int), np.zeros((5, 10), int), np.zeros(5), np.array([0, 1, -1, 0, 0])]
)
def test_labels_must_be_one_number_an_image(tmp_path: Path, labels: Any) -> None:
    with pytest.raises(BadImages, match="its labels arr_1 "):
        npz(tmp_path, arr_0=BATCH, arr_1=labels)


# ---------------------------------------------------------------- pickles


def test_pickled_arrays_run_nothing(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    payload = np.array([Payload(ran)], dtype=object)
    with pytest.raises(BadImages, match="pickled Python objects, which could run a program"):
        npy(tmp_path, payload, allow_pickle=True)
    with pytest.raises(BadImages, match="pickled Python objects"):
        npz(tmp_path, arr_0=payload)
    with pytest.raises(BadImages, match="pickled Python objects"):
        npz(tmp_path, arr_0=BATCH, arr_1=payload)
    for name in ("x.npy", "x.npz"):
        (tmp_path / name).write_bytes(pickle.dumps(Payload(ran)))
        with pytest.raises(BadImages, match=r"cannot be read|damaged or no array file"):
            read_images(tmp_path / name)
    assert not ran.exists()


# ---------------------------------------------------------------- damage and bombs


def header(shape: tuple[int, ...], dtype: str = "|u1") -> bytes:
    """The start of an `.npy` that declares a shape."""
    buffer = io.BytesIO()
    declared = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, declared)
    return buffer.getvalue()


def test_a_header_that_promises_more_than_is_there(tmp_path: Path) -> None:
    huge = (1_000_000, 1024, 1024, 3)
    (tmp_path / "x.npy").write_bytes(header(huge) + bytes(100))
    with pytest.raises(BadImages, match=r"declares 3,145,728,000,128 bytes and .* holds 228"):
        read_images(tmp_path / "x.npy")
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("arr_0.npy", header(huge) + bytes(100))
    with pytest.raises(BadImages, match="header declares 3,145,728,000,128 bytes"):
        read_images(tmp_path / "x.npz")


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    """100 MB of zeros in 100 kB, and a limit of 10 MB."""
    with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("arr_0.npy", header((100, 1000, 1000)) + bytes(100_000_000))
    assert (tmp_path / "x.npz").stat().st_size < 200_000
    with pytest.raises(BadImages, match=r"These arrays take 95\.4 MiB .* at most 9\.5 MiB"):
        read_images(tmp_path / "x.npz", max_bytes=10_000_000)


def test_more_than_the_header_declares_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", BATCH)
    with (tmp_path / "x.npy").open("ab") as file:
        file.write(b"more")
    with pytest.raises(BadImages, match="header declares 848 bytes and the file holds 852"):
        read_images(tmp_path / "x.npy")


@pytest.mark.parametrize("name", ["x.npy", "x.npz"])
def test_truncated_arrays_are_refused(tmp_path: Path, name: str) -> None:
    np.save(tmp_path / "x.npy", BATCH)
    np.savez_compressed(tmp_path / "x.npz", arr_0=BATCH)
    data = (tmp_path / name).read_bytes()
    for length in range(0, len(data), 7):
        (tmp_path / name).write_bytes(data[:length])
        with pytest.raises(BadImages):
            read_images(tmp_path / name)


@pytest.mark.parametrize("times", [1, 1000])
def test_a_flipped_bit_of_an_archive_is_seen(tmp_path: Path, times: int) -> None:
    """In the middle of the pixels, for which the archive has a checksum."""
    np.savez(tmp_path / "x.npz", arr_0=np.repeat(BATCH, times, axis=0))
    data = bytearray((tmp_path / "x.npz").read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "x.npz").write_bytes(data)
    with pytest.raises(BadImages, match="Bad CRC-32"):
        read_images(tmp_path / "x.npz")


def test_an_archive_of_other_things(tmp_path: Path) -> None:
    for names in (["x.txt"], ["arr_0.npy", "../x.npy", "note.txt"]):
        with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
            for name in names:
                archive.writestr(name, b"x")
        with pytest.raises(BadImages, match="not an archive of arrays as NumPy writes it"):
            read_images(tmp_path / "x.npz")


def test_a_locked_archive(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", arr_0=BATCH)
    data = bytearray((tmp_path / "x.npz").read_bytes())
    data[6] |= 1  # "encrypted" in the member's own header
    data[data.index(b"PK\1\2") + 8] |= 1  # and in the directory
    (tmp_path / "x.npz").write_bytes(data)
    with pytest.raises(BadImages, match="encrypted"):
        read_images(tmp_path / "x.npz")


@pytest.mark.parametrize("shape", ["(-5, 8, 8, 3)", "(5.0, 8)", "(5, 8, 6, 3", "print()"])
def test_forged_headers(tmp_path: Path, shape: str) -> None:
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    data = b"\x93NUMPY\1\0" + len(text).to_bytes(2, "little") + text.encode()
    (tmp_path / "x.npy").write_bytes(data + bytes(1000))
    with pytest.raises(BadImages, match=r"no header of a plain array|its shape is"):
        read_images(tmp_path / "x.npy")


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="{}()[]',: 0159-.|<ufdescrtaonhp_\n", max_size=60))
def test_any_header_is_refused_in_words(tmp_path_factory: Any, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.npy"
    path.write_bytes(b"\x93NUMPY\1\0" + len(text).to_bytes(2, "little") + text.encode())
    with pytest.raises(BadImages):
        read_images(path)
