"""Named protocols: the metrics that give what another library prints, for the same files of images.

A value is comparable with another library's only if resize, network, features and formula are the
same; each protocol here names metrics of which that is tested. Imports no torch.
"""

from __future__ import annotations

import difflib
from dataclasses import asdict, dataclass
from typing import Any

from kdbench.errors import UnknownName


@dataclass(frozen=True)
class NamedProtocol:
    """What another library prints, as metrics of kdbench."""

    name: str
    package: str
    """Whose numbers these are, with the version that they are tested against."""
    settings: str
    """Which of its functions are meant, and how they are called."""
    metrics: tuple[str, ...]
    """As they are asked for."""
    deviations: tuple[str, ...]
    """Where the numbers are knowingly not the same."""


TORCH_FIDELITY = NamedProtocol(
    "torch-fidelity",
    "torch-fidelity 0.4.0",
    "calculate_metrics with isc, fid, kid and prc, all else by default",
    ("fid", "kid-subsets[inception-v3-compat]", "inception-score", "precision-tf", "recall-tf"),
    (
        "With fewer images than features its FID has rounding noise, about 1e-6 of the value.",
        "Its kernels and its distances between neighbours are in float32, ours in float64: an "
        "image within rounding of a radius can fall on the other side.",
        "Its precision and recall take sets of any sizes, ours of one size.",
    ),
)

CLEAN_FID = NamedProtocol(
    "clean-fid",
    "clean-fid 0.1.35",
    "compute_fid and compute_kid with mode='clean' on two folders of PNG files, the real ones "
    "first, and compute_fid with model_name='clip_vit_b_32' on a CPU",
    (
        "fd[inception-v3-compat-clean]",
        "kid-subsets-clean-fid[inception-v3-compat-clean]",
        "fd-clip",
    ),
    (
        "It reads the Inception graph of 2015 from StyleGAN's TorchScript file, kdbench from "
        "torch-fidelity's: two conversions of one graph, whose agreement is not tested here.",
        "It draws subsets from numpy's global state: ours are its own after "
        "numpy.random.seed(2020).",
        "It does not round what a generator gives before it resizes it; kdbench measures uint8.",
        "For CLIP it crops images that are not square, where kdbench squeezes them, and on a GPU "
        "it computes in float16.",
    ),
)

TORCHMETRICS = NamedProtocol(
    "torchmetrics",
    "torchmetrics 1.9.0",
    "FrechetInceptionDistance, KernelInceptionDistance and InceptionScore on uint8 images, all "
    "else by default; before 1.8 they did not resize with antialias",
    (
        "fd[inception-v3-compat-antialias]",
        "kid-subsets-torchmetrics[inception-v3-compat-antialias]",
        "inception-score-torchmetrics",
    ),
    (
        "It draws subsets and splits from torch's global state: ours are its own after "
        "torch.manual_seed(2020).",
        "It rounds distances to float32, and normalize=True truncates images where kdbench rounds.",
    ),
)

PROTOCOLS = {one.name: one for one in (CLEAN_FID, TORCH_FIDELITY, TORCHMETRICS)}

RESTORATION_SETTINGS = {
    "matlab-y": "BT.601 luma of studio swing as MATLAB's rgb2ycbcr of doubles, not rounded; grey "
    "images as they are; super-resolution cuts as many pixels as its factor",
    "ntire": "all channels; one MSE over them, SSIM is the mean over them; super-resolution cuts 6 "
    "pixels more than its factor",
    "rgb": "all channels; one MSE over them, SSIM is the mean over them; super-resolution cuts as "
    "many pixels as its factor",
}
"""What papers on restoration take PSNR and SSIM of, for records and for readers."""


def protocol_metrics(name: str) -> tuple[str, ...]:
    """The metrics of a named protocol, as they are asked for.

    Raises:
        UnknownName: no such protocol; the message has the closest names.

    Example:
        >>> protocol_metrics("torch-fidelity")[0]
        'fid'
    """
    if name not in PROTOCOLS:
        close = difflib.get_close_matches(name, PROTOCOLS, n=2)
        hint = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
        raise UnknownName(f"There is no protocol {name!r}.{hint} See `kdbench list protocols`.")
    return PROTOCOLS[name].metrics


def describe_protocols() -> list[dict[str, Any]]:
    """One object for each protocol, as `kdbench list` shows them."""
    sets = [
        {**asdict(one), "summary": f"{', '.join(one.metrics)}, as in {one.package}"}
        for one in PROTOCOLS.values()
    ]
    metrics = ["psnr", "ssim"]
    pairs = [
        {
            "name": name,
            "settings": settings,
            "metrics": metrics,
            "summary": f"{', '.join(metrics)} of pairs, kdbench eval only: {settings}",
        }
        for name, settings in RESTORATION_SETTINGS.items()
    ]
    return sets + pairs
