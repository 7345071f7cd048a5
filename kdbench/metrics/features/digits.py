"""The networks that judge digits: the extractor `digits-cnn@1` and a separate auxiliary one.

Both are classifiers trained on the training split of `digits@1` only. Metrics see `digits-cnn`;
methods that want a perceptual network may use `digits-aux`, which differs in seed and
architecture. Distances in these features are `FD[digits-cnn]`, never FID.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from kdbench.errors import NothingMeasured
from kdbench.metrics.features.base import Extractor, load_extractor


class DigitsCNN(nn.Module):
    """Four convolutions and two linear layers; features are the inputs of the last one."""

    def __init__(self, channels: int = 32, features: int = 64, classes: int = 10) -> None:
        super().__init__()
        c = channels
        widths = [(1, c, 1), (c, c, 1), (c, 2 * c, 2), (2 * c, 2 * c, 1)]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(i, o, 3, stride=s, padding=1) for i, o, s in widths
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(o) for _, o, _ in widths)
        self.features = nn.Linear(2 * c * 4, features)
        self.head = nn.Linear(features, classes)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 (N, 1, 8, 8) to features (N, 64) and logits (N, 10)."""
        x = _digits(images) / 127.5 - 1
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = F.silu(norm(convolution(x)))
        features = self.features(F.avg_pool2d(x, 2).flatten(1))
        return features, self.head(F.relu(features))


class DigitsMLP(nn.Module):
    """Two hidden layers: unlike the extractor in kind, so that learning from it is no leak."""

    def __init__(self, width: int = 128, classes: int = 10) -> None:
        super().__init__()
        self.hidden = nn.Sequential(
            nn.Linear(64, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU()
        )
        self.head = nn.Linear(width, classes)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 (N, 1, 8, 8) to features (N, 128) and logits (N, 10)."""
        features = self.hidden((_digits(images) / 127.5 - 1).flatten(1))
        return features, self.head(features)


def _digits(images: Tensor) -> Tensor:
    """Images as float32; other sizes are refused, and not resized."""
    if images.shape[1:] != (1, 8, 8):
        raise NothingMeasured(
            f"The judges of digits see grey images of 8 x 8: these are {tuple(images.shape[1:])}."
        )
    return images.float()


def digits_cnn() -> Extractor:
    """The evaluation extractor `digits-cnn@1`."""
    return load_extractor("digits-cnn@1", DigitsCNN)


def digits_aux() -> Extractor:
    """The auxiliary classifier `digits-aux@1`, for methods."""
    return load_extractor("digits-aux@1", DigitsMLP)
