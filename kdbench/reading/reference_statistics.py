"""Precomputed mean and covariance of features: pytorch-fid's, torch-fidelity's, ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from kdbench.reading.arrays import open_arrays
from kdbench.reading.errors import BadImages, Unreadable
from kdbench.reading.memory import refuse_size
from kdbench.reading.names import printable
from kdbench.reading.plain_pickle import load_floats

MOST = 1 << 31
"""Bytes of one array: a covariance of 16,384 features in float64."""

ROUNDING = 1e-5
"""Of the largest variance: how unsymmetric a covariance may be, for those kept in float32."""


@dataclass(frozen=True, eq=False)
class Statistics:
    """A Gaussian that was fitted to features."""

    mean: Tensor
    """(D,), float64."""
    covariance: Tensor
    """(D, D), float64, divisor n - 1."""
    n: int | None
    """Images behind it, where the file says so."""
    origin: str
    """Whose file it is."""
    about: Mapping[str, str] = field(default_factory=dict)
    """What else the file says of itself."""


def read_statistics(path: Path) -> Statistics:
    """Statistics of features.

    Read are pytorch-fid's and clean-fid's `.npz` (mu, sigma), what torch-fidelity keeps in its
    cache (`.pt` with mu, sigma) and ours (`.safetensors` with mean, scatter = Σ(x - m)(x - m)ᵀ, n
    and metadata). Nothing in a file is ever run. Which features they are of, only ours can say.

    Raises:
        BadImages: it is none of these, or the numbers are no mean and covariance.
    """
    if not path.is_file():
        raise BadImages(f"There is no {printable(path.name)!r}.")
    read = {".npz": _pytorch_fid, ".pt": _torch_fidelity, ".safetensors": _ours}
    suffix = path.suffix.lower()
    if suffix not in read:
        known = ", ".join(read)
        raise BadImages(f"{printable(path.name)!r} holds no statistics that are read ({known}).")
    try:
        found = read[suffix](path)
        _check(found)
    except Unreadable as why:
        raise BadImages(f"The statistics {printable(path.name)!r} are not read: {why}.") from why
    return found


def _pytorch_fid(path: Path) -> Statistics:
    with open_arrays(path, most=MOST) as arrays:
        if not {"mu", "sigma"} <= arrays.declared.keys():
            held = ", ".join(printable(name) for name in arrays.declared) or "nothing"
            raise Unreadable(f"there are no mu and sigma in it, but {held}")
        mean, covariance = (
            torch.from_numpy(arrays.load(name).astype(np.float64)) for name in ("mu", "sigma")
        )
    return Statistics(mean, covariance, None, "pytorch-fid")


def _torch_fidelity(path: Path) -> Statistics:
    mean, covariance = load_floats(path, names=("mu", "sigma"), most=MOST)
    return Statistics(mean, covariance, None, "torch-fidelity")


def _ours(path: Path) -> Statistics:
    refuse_size("These statistics", path.stat().st_size, most=MOST)
    try:
        with safe_open(path, "pt") as file:
            if not {"mean", "scatter", "n"} <= set(file.keys()):
                raise Unreadable("there are no mean, scatter and n in it")
            mean, scatter, n = (file.get_tensor(name) for name in ("mean", "scatter", "n"))
            about = dict(file.metadata() or {})
    except SafetensorError as error:
        raise Unreadable(f"damaged: {printable(str(error))}") from error
    if n.numel() != 1 or n.is_floating_point() or int(n) < 2:
        raise Unreadable("its n is no number of images, at least 2")
    return Statistics(mean.double(), scatter.double() / (int(n) - 1), int(n), "kdbench", about)


def _check(found: Statistics) -> None:
    """Compare numbers with what every mean and covariance must be.

    Raises:
        Unreadable: they are not.
    """
    mean, covariance = found.mean, found.covariance
    if mean.ndim != 1 or not len(mean) or covariance.shape != (len(mean), len(mean)):
        shapes = f"{tuple(mean.shape)} and {tuple(covariance.shape)}"
        raise Unreadable(f"mean and covariance have the shapes {shapes}, not (D,) and (D, D)")
    if not (mean.isfinite().all() and covariance.isfinite().all()):
        raise Unreadable("some of the numbers are not finite")
    variances = covariance.diagonal()
    slack = ROUNDING * float(variances.abs().max())
    if float((covariance - covariance.T).abs().max()) > slack:
        raise Unreadable("the covariance is not symmetric")
    limit = torch.outer(variances.clamp(min=0).sqrt(), variances.clamp(min=0).sqrt())
    if bool((covariance.abs() > limit + slack).any()):
        raise Unreadable("it is no covariance: some features vary together more than alone")
