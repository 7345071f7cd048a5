"""The bridge to piq: its numbers from files that are there, and no network where they are not."""

from __future__ import annotations

import importlib
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from kdbench.errors import NothingMeasured, WeightsError
from kdbench.metrics import bridge
from kdbench.metrics.bridge import BRISQUE, DISTS, brisque, dists

piq: Any = pytest.importorskip("piq")


@pytest.fixture(autouse=True)
def checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of torch.hub, and no way out of the machine."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("something asked for the network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    bridge._dists.cache_clear()
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def place(folder: Path, url: str, content: object) -> None:
    torch.save(content, folder / url.rpartition("/")[2])


def pictures(n: int, channels: int = 3) -> Tensor:
    coarse = torch.rand(n, channels, 8, 8)
    smooth = torch.nn.functional.interpolate(coarse, (48, 40), mode="bicubic")
    return (255 * smooth + 8 * torch.randn(smooth.shape)).clamp(0, 255).byte()


@pytest.mark.parametrize("channels", [1, 3])
def test_brisque_is_the_librarys_of_each_image(checkpoints: Path, channels: int) -> None:
    place(checkpoints, BRISQUE[0], (torch.randn(50, 1), torch.randn(50, 36)))
    images = pictures(28, channels)
    found = brisque.function(images)
    assert isinstance(found, Tensor)
    assert (found.shape, found.dtype) == ((28,), torch.float64)
    one_by_one = [float(piq.brisque(image[None] / 255.0)) for image in images]
    assert found.tolist() == pytest.approx(one_by_one, rel=1e-4)
    assert len(set(found.tolist())) == 28


def test_dists_is_asked_in_parts_and_once_made(
    checkpoints: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    class Peer(torch.nn.Module):
        def __init__(self, reduction: str) -> None:
            super().__init__()
            made.append(reduction)

        def forward(self, images: Tensor, targets: Tensor) -> Tensor:
            assert images.shape[1] == 3
            assert images.max() <= 1
            return (images - targets).abs().mean(dim=(1, 2, 3))

    monkeypatch.setattr(piq, "DISTS", Peer)
    for url in DISTS:
        place(checkpoints, url, {"alpha": torch.ones(1)})
    with pytest.raises(NothingMeasured, match="uint8 images of 1 or 3"):
        dists.function(pictures(2, 2), pictures(2, 2))
    images = pictures(30, 1)
    due = (images.double() - images.flip(0).double()).abs().mean(dim=(1, 2, 3)) / 255
    for _ in range(2):
        found = dists.function(images, images.flip(0))
        assert isinstance(found, Tensor)
        assert found.tolist() == pytest.approx(due.tolist(), rel=1e-5)
    assert made == ["none"]


def test_missing_files_are_named_and_not_fetched(checkpoints: Path) -> None:
    images = pictures(2)
    with pytest.raises(WeightsError, match=r"brisque_svm_weights\.pt.*Nothing is fetched"):
        brisque.function(images)
    with pytest.raises(WeightsError, match=r"dists_weights\.pt"):
        dists.function(images, images)
    place(checkpoints, DISTS[0], {"alpha": torch.ones(1)})
    with pytest.raises(WeightsError, match=r"vgg16-397923af\.pth"):
        dists.function(images, images)


class Harm:
    def __reduce__(self) -> Any:
        return exec, ("raise SystemExit('it ran')",)


def test_a_pickle_that_would_run_code_does_not(checkpoints: Path) -> None:
    place(checkpoints, BRISQUE[0], Harm())
    with pytest.raises(WeightsError, match="not weights alone"):
        brisque.function(pictures(2))
    (checkpoints / "brisque_svm_weights.pt").write_bytes(b"")
    with pytest.raises(WeightsError, match="damaged"):
        brisque.function(pictures(2))


def test_refusals(checkpoints: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place(checkpoints, BRISQUE[0], (torch.randn(50, 1), torch.randn(50, 36)))
    with pytest.raises(NothingMeasured, match="uint8 images of 1 or 3"):
        brisque.function(pictures(2, 2))
    with pytest.raises(NothingMeasured, match="does not take these images"):
        brisque.function(torch.zeros(2, 3, 32, 32, dtype=torch.uint8))
    with monkeypatch.context() as older:
        older.setattr(bridge, "LIBRARY", "piq 0.9.1")
        with pytest.raises(NothingMeasured, match=r"piq 0\.9\.1 may fetch other files"):
            brisque.function(pictures(2))
    monkeypatch.setitem(sys.modules, "piq", None)
    with pytest.raises(NothingMeasured, match="pip install 'piq"):
        brisque.function(pictures(2))


def test_the_urls_are_those_of_the_library() -> None:
    """If piq moves a file, the check looks for the wrong one and piq would fetch."""
    told = Path(importlib.import_module("piq.brisque").__file__ or "").read_text("utf-8")
    assert BRISQUE[0].rpartition("releases/")[2] in told
    assert piq.DISTS._weights_url == DISTS[0]
    models = importlib.import_module("torchvision.models")
    assert models.VGG16_Weights.IMAGENET1K_V1.url == DISTS[1]


def test_the_version_is_in_the_protocol() -> None:
    for metric, kind in ((brisque, "per-image"), (dists, "paired")):
        assert f"piq {piq.__version__}" in metric.protocol
        assert (metric.kind, metric.higher_is_better) == (kind, False)
