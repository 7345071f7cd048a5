"""Metrics of the library piq under our names: DISTS of pairs and BRISQUE of single images.

piq fetches what it lacks. Nothing is fetched here: it is asked only where all its files are there.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from kdbench.errors import NothingMeasured, WeightsError
from kdbench.metrics.base import metric

AT_ONCE = 25
"""Images a call, which bounds the memory of VGG-16."""

RELEASES = "https://github.com/photosynthesis-team/piq/releases/download"
BRISQUE = (f"{RELEASES}/v0.4.0/brisque_svm_weights.pt",)
DISTS = (
    f"{RELEASES}/v0.4.1/dists_weights.pt",
    "https://download.pytorch.org/models/vgg16-397923af.pth",
)
"""What piq 0.8 would fetch; torch.hub keeps it under the same file name."""

KNOWN, INSTALL = "piq 0.8", "pip install 'piq==0.8.*'"

try:
    LIBRARY = f"piq {version('piq')}"
except PackageNotFoundError:
    LIBRARY = "piq"


@metric(
    kind="paired",
    higher_is_better=False,
    bounds=(0.0, None),
    protocol=f"uint8, {LIBRARY}, sides of more than 256 pixels made smaller, per image",
    source="Ding et al. 2020, arXiv:2004.07728, through the library piq",
)
def dists(images: Tensor, targets: Tensor) -> Tensor:
    """Distance in structure and texture (DISTS) of each image to its target; 0 for equal ones.

    Blind to where a texture has its details.

    Args:
        images, targets: (N, 1 or 3, H, W), uint8; grey becomes three channels.

    Raises:
        NothingMeasured: piq is not installed, or does not take the images.
        WeightsError: its files are missing or hold more than weights.

    >>> dists.id, dists.protocol.startswith("uint8, piq")
    ('dists@1', True)
    """
    network = _dists()
    colours = (-1, 3, -1, -1)
    return _in_parts(lambda x, y: network(x.expand(colours), y.expand(colours)), images, targets)


@metric(
    kind="per-image",
    higher_is_better=False,
    protocol=f"uint8, {LIBRARY}",
    source="Mittal et al. 2012, doi:10.1109/TIP.2012.2214050, through the library piq",
)
def brisque(images: Tensor) -> Tensor:
    """How far an image's statistics are from those of photographs (BRISQUE).

    Blind to what is shown; of drawings, digits and noise the value means nothing.

    Args:
        images: (N, 1 or 3, H, W), uint8.

    Raises:
        NothingMeasured, WeightsError: as `dists` does.

    >>> brisque.id, brisque.protocol.startswith("uint8, piq")
    ('brisque@1', True)
    """
    library = _piq(BRISQUE)
    return _in_parts(lambda part: library.brisque(part, reduction="none"), images)


@cache
def _dists() -> Callable[..., Tensor]:
    network: Callable[..., Tensor] = _piq(DISTS).DISTS(reduction="none").eval()
    return network


def _piq(urls: tuple[str, ...]) -> Any:
    """The library, after everything that it would fetch was found and seen to be tensors alone."""
    try:
        library = importlib.import_module("piq")
    except ImportError as error:
        raise NothingMeasured(f"It needs the Python package piq: {INSTALL}.") from error
    if not LIBRARY.startswith(KNOWN):
        raise NothingMeasured(f"{LIBRARY} may fetch other files than {KNOWN}: {INSTALL}.")
    for url in urls:
        path = Path(torch.hub.get_dir(), "checkpoints", url.rpartition("/")[2])
        if not path.is_file():
            raise WeightsError(
                f"piq needs {path.name}, which is not in torch.hub's folder of checkpoints "
                f"($TORCH_HOME/hub/checkpoints). Nothing is fetched here: put {url} there."
            )
        try:
            torch.load(path, "cpu", weights_only=True)  # piq runs whatever a pickle tells it to
        except (UnpicklingError, RuntimeError, EOFError, OSError) as error:
            raise WeightsError(f"{path.name}, for piq, is damaged or not weights alone.") from error
    return library


def _in_parts(value: Callable[..., Tensor], *sides: Tensor) -> Tensor:
    """(N,), float64, of uint8 images that are given on the scale of [0, 1]."""
    if any(side.dtype != torch.uint8 or side.shape[1] not in (1, 3) for side in sides):
        raise NothingMeasured("piq is given uint8 images of 1 or 3 channels, and these are others.")
    parts = zip(*(torch.split(side, AT_ONCE) for side in sides), strict=True)
    try:
        with torch.inference_mode():
            found = [value(*(one.float() / 255 for one in part)).double() for part in parts]
    except (AssertionError, RuntimeError) as error:
        raise NothingMeasured(f"piq does not take these images: {error}") from error
    return torch.cat([one.reshape(-1) for one in found])
