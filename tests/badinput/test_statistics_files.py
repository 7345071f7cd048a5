"""Precomputed statistics: other packages' files and ours, and everything that is none of them."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from kdbench.reading import BadImages, Statistics, plain_pickle, read_statistics

FEATURES = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)
MU, SIGMA = FEATURES.mean(0), np.cov(FEATURES, rowvar=False)


def in_npz(tmp_path: Path, **arrays: Any) -> Statistics:
    np.savez_compressed(tmp_path / "x.npz", **arrays)
    return read_statistics(tmp_path / "x.npz")


def in_pt(tmp_path: Path, content: object) -> Statistics:
    torch.save(content, tmp_path / "x.pt")
    return read_statistics(tmp_path / "x.pt")


def ours(tmp_path: Path, **changes: Any) -> Statistics:
    features = torch.from_numpy(FEATURES).double()
    centred = features - features.mean(0)
    tensors = {"mean": features.mean(0), "scatter": centred.T @ centred, "n": torch.tensor(50)}
    kept = {name: t for name, t in (tensors | changes).items() if t is not None}
    save_file(kept, tmp_path / "x.safetensors", metadata={"extractor": "some@1"})
    return read_statistics(tmp_path / "x.safetensors")


def same(found: Statistics) -> None:
    assert found.mean.dtype == found.covariance.dtype == torch.float64
    np.testing.assert_allclose(found.mean, MU, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(found.covariance, SIGMA, rtol=1e-12)


def test_files_of_pytorch_fid(tmp_path: Path) -> None:
    found = in_npz(tmp_path, mu=MU, sigma=SIGMA)
    same(found)
    assert (found.n, found.origin, dict(found.about)) == (None, "pytorch-fid", {})
    same(in_npz(tmp_path, mu=MU, sigma=np.asfortranarray(SIGMA), arr_0=np.zeros(3)))


def test_the_cache_of_torch_fidelity(tmp_path: Path) -> None:
    peer = pytest.importorskip("torch_fidelity.metric_fid")
    statistics = peer.fid_features_to_statistics(torch.from_numpy(FEATURES))
    found = in_pt(tmp_path, statistics)
    same(found)
    assert (found.n, found.origin) == (None, "torch-fidelity")
    assert torch.equal(found.mean, torch.from_numpy(statistics["mu"]).double())
    assert torch.equal(found.covariance, torch.from_numpy(statistics["sigma"]))


def test_a_cache_written_with_numpy_1(tmp_path: Path) -> None:
    in_pt(tmp_path, {"mu": MU, "sigma": SIGMA})
    with zipfile.ZipFile(tmp_path / "x.pt") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(tmp_path / "y.pt", "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data.replace(b"numpy._core", b"numpy.core"))
    same(read_statistics(tmp_path / "y.pt"))


def test_a_cache_in_tensors_and_in_other_orders(tmp_path: Path) -> None:
    same(in_pt(tmp_path, {"mu": torch.from_numpy(MU), "sigma": torch.from_numpy(SIGMA)}))
    same(in_pt(tmp_path, {"mu": MU.astype(">f4"), "sigma": np.asfortranarray(SIGMA)}))


def test_our_own_file(tmp_path: Path) -> None:
    found = ours(tmp_path)
    same(found)
    assert (found.n, found.origin, dict(found.about)) == (50, "kdbench", {"extractor": "some@1"})


# ---------------------------------------------------------------- numbers that are none


@pytest.mark.parametrize(
    ("mu", "sigma", "said"),
    [
        (MU[:5], SIGMA, r"shapes \(5,\) and \(6, 6\)"),
        (MU[:, None], SIGMA, r"shapes \(6, 1\)"),
        (MU, SIGMA[:5], r"shapes \(6,\) and \(5, 6\)"),
        (np.full(6, np.nan), SIGMA, "not finite"),
        (MU, SIGMA + np.diag([np.inf] * 6), "not finite"),
        (MU, SIGMA + np.triu(np.ones((6, 6)), 1), "not symmetric"),
        (MU, -SIGMA, "vary together more than alone"),
        (MU, SIGMA + 10 * (1 - np.eye(6)), "vary together more than alone"),
    ],
)
def test_what_is_no_mean_and_covariance(tmp_path: Path, mu: Any, sigma: Any, said: str) -> None:
    with pytest.raises(BadImages, match=said):
        in_npz(tmp_path, mu=mu, sigma=sigma)
    with pytest.raises(BadImages, match=said):
        in_pt(tmp_path, {"mu": mu, "sigma": sigma})


def test_no_features(tmp_path: Path) -> None:
    with pytest.raises(BadImages, match=r"shapes \(0,\) and \(0, 0\)"):
        in_npz(tmp_path, mu=MU[:0], sigma=SIGMA[:0, :0])


def test_rounding_to_float32_is_no_fault(tmp_path: Path) -> None:
    rough = (SIGMA * (1 + 1e-7 * np.triu(np.ones((6, 6))))).astype(np.float32)
    assert in_npz(tmp_path, mu=MU, sigma=rough).covariance.dtype == torch.float64


def test_features_that_do_not_vary(tmp_path: Path) -> None:
    assert in_npz(tmp_path, mu=MU, sigma=np.zeros((6, 6))).covariance.sum() == 0


def test_our_file_with_parts_missing(tmp_path: Path) -> None:
    with pytest.raises(BadImages, match="no mean, scatter and n"):
        ours(tmp_path, scatter=None)
    for n in (torch.tensor(1), torch.tensor(50.0), torch.tensor([50, 50])):
        with pytest.raises(BadImages, match="its n is no number of images, at least 2"):
            ours(tmp_path, n=n)
    data = (tmp_path / "x.safetensors").read_bytes()
    for length in (0, 4, 20, len(data) - 1):
        (tmp_path / "x.safetensors").write_bytes(data[:length])
        with pytest.raises(BadImages, match="damaged"):
            read_statistics(tmp_path / "x.safetensors")


# ---------------------------------------------------------------- files that are none


def test_files_that_are_not_read(tmp_path: Path) -> None:
    with pytest.raises(BadImages, match=r"There is no 'x\.npz'"):
        read_statistics(tmp_path / "x.npz")
    (tmp_path / "x.pkl").write_bytes(b"")
    with pytest.raises(BadImages, match=r"no statistics that are read \(\.npz, \.pt, \.safeten"):
        read_statistics(tmp_path / "x.pkl")
    with pytest.raises(BadImages, match="no mu and sigma in it, but arr_0"):
        in_npz(tmp_path, arr_0=np.zeros(3))
    with pytest.raises(BadImages, match="no dictionary with mu and sigma"):
        in_pt(tmp_path, {"mu": MU})
    with pytest.raises(BadImages, match="something else than arrays of floating-point"):
        in_pt(tmp_path, {"mu": [1.0], "sigma": SIGMA})
    for values in (MU.astype(int), MU.astype("S3"), MU.astype(complex)):
        with pytest.raises(BadImages, match=r"not floating-point numbers|without running code"):
            in_pt(tmp_path, {"mu": values, "sigma": SIGMA})


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (self.path, "w")


def test_nothing_in_a_file_is_run(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    objects = np.array([Payload(ran)], dtype=object)
    for content in (
        {"mu": Payload(ran), "sigma": SIGMA},
        {"mu": objects, "sigma": SIGMA},
        torch.nn.Linear(2, 2),
    ):
        with pytest.raises(BadImages, match="without running code from it"):
            in_pt(tmp_path, content)
    with pytest.raises(BadImages, match="pickled Python objects"):
        in_npz(tmp_path, mu=objects, sigma=SIGMA)
    (tmp_path / "x.pt").write_bytes(pickle.dumps(Payload(ran)))
    with pytest.raises(BadImages, match=r"not a file of torch\.save"):
        read_statistics(tmp_path / "x.pt")
    assert not ran.exists()


def test_numpy_is_not_reached_by_a_pickle(tmp_path: Path) -> None:
    """A forged type, object code with the flags of a number, would make NumPy follow pointers."""
    array = np.array([1.0, 2.0])
    function, arguments, state = array.__reduce__()
    assert function.__name__ == "_reconstruct"

    class Forged:
        def __reduce__(self) -> tuple[Any, ...]:
            version, shape, _, fortran, data = state
            return function, arguments, (version, shape, np.dtype(object), fortran, data)

    torch.save({"mu": Forged(), "sigma": SIGMA}, tmp_path / "x.pt")
    with pytest.raises(BadImages, match="not floating-point numbers"):
        read_statistics(tmp_path / "x.pt")


def test_no_type_stays_allowed(tmp_path: Path) -> None:
    before = set(torch.serialization.get_safe_globals())
    in_pt(tmp_path, {"mu": MU, "sigma": SIGMA})
    assert set(torch.serialization.get_safe_globals()) == before


def test_a_size_that_the_bytes_do_not_have(tmp_path: Path) -> None:
    class Forged:
        def __reduce__(self) -> tuple[Any, ...]:
            function, arguments, state = MU.__reduce__()
            return function, arguments, (state[0], (10**12,), *state[2:])

    with pytest.raises(BadImages, match="another size than it says"):
        in_pt(tmp_path, {"mu": Forged(), "sigma": SIGMA})


def test_a_cache_that_unpacks_to_more_than_may_be_held(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    torch.save({"mu": torch.zeros(1 << 20), "sigma": SIGMA}, buffer)
    with (
        zipfile.ZipFile(buffer) as plain,
        zipfile.ZipFile(tmp_path / "x.pt", "w", zipfile.ZIP_DEFLATED) as small,
    ):
        for name in plain.namelist():
            small.writestr(name, plain.read(name))
    with pytest.raises(BadImages, match=r"take 4\.0 MiB .* at most 1\.0 MiB"):
        plain_pickle.load_floats(tmp_path / "x.pt", names=("mu", "sigma"), most=1 << 20)
