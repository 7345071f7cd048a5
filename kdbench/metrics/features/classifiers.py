"""Two kinds of small classifiers, of any image size, for the judges of generation tasks."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kdbench.errors import NothingMeasured

Shape = tuple[int, int, int]


class StagedCNN(nn.Module):
    """Stages of two 3x3 convolutions that halve the sides; features are the last layer's inputs."""

    def __init__(
        self, shape: Shape, widths: tuple[int, ...], *, features: int, classes: int = 10
    ) -> None:
        super().__init__()
        self.shape = shape
        layers = [
            layer
            for inner, outer in pairwise((shape[0], *widths))
            for layer in (*_block(inner, outer, stride=2), *_block(outer, outer, stride=1))
        ]
        self.convolutions = nn.Sequential(*layers)
        self.features = nn.Linear(4 * widths[-1], features)
        self.head = nn.Linear(features, classes)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 (N, C, H, W) to features (N, `features`) and logits (N, classes)."""
        found = self.convolutions(signed(images, self.shape))
        features = self.features(F.adaptive_avg_pool2d(found, 2).flatten(1))
        return features, self.head(F.relu(features))


class PatchMixer(nn.Module):
    """Patches, mixed over places and channels in turn, without a pyramid (a small ConvMixer).

    Unlike `StagedCNN` in kind, so that learning from it is no leak. Trockman and Kolter 2022,
    arXiv:2201.09792, figure 2.
    """

    def __init__(
        self, shape: Shape, *, patch: int, width: int, depth: int, classes: int = 10
    ) -> None:
        super().__init__()
        self.shape = shape
        self.patches = nn.Sequential(
            nn.Conv2d(shape[0], width, patch, stride=patch), nn.GELU(), nn.BatchNorm2d(width)
        )
        self.places = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(width, width, 5, padding=2, groups=width),
                nn.GELU(),
                nn.BatchNorm2d(width),
            )
            for _ in range(depth)
        )
        self.channels = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, width, 1), nn.GELU(), nn.BatchNorm2d(width))
            for _ in range(depth)
        )
        self.head = nn.Linear(width, classes)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 (N, C, H, W) to features (N, width) and logits (N, classes)."""
        x = self.patches(signed(images, self.shape))
        for places, channels in zip(self.places, self.channels, strict=True):
            x = channels(x + places(x))
        features = x.mean(dim=(2, 3))
        return features, self.head(features)


def signed(images: Tensor, shape: Shape) -> Tensor:
    """Images 0…255 as float32 −1…1; other sizes are refused, and not resized.

    Raises:
        NothingMeasured: the images have another shape.
    """
    if images.shape[1:] != shape:
        raise NothingMeasured(
            f"These judges see images of {shape}: these are {tuple(images.shape[1:])}."
        )
    return images.float() / 127.5 - 1


def _block(inner: int, outer: int, *, stride: int) -> tuple[nn.Module, nn.Module, nn.Module]:
    convolution = nn.Conv2d(inner, outer, 3, stride=stride, padding=1, bias=False)
    return convolution, nn.BatchNorm2d(outer), nn.SiLU()


def train_classifier(
    network: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    seed: int,
    steps: int,
    mirrored: bool = False,
) -> nn.Module:
    """Train a judge: AdamW along a cosine, shifts by an eighth, grey noise, smoothed labels.

    Args:
        network: uint8 images to (features, logits); changed in place and returned in eval mode.
        images: training split, uint8 (N, C, H, W).
        labels: (N,), int64.
        seed: of the order, the shifts and the noise; seed the network before building it.
        steps: updates with 128 images each.
        mirrored: whether half of the images are mirrored, which digits must not be.
    """
    torch.manual_seed(seed)
    optimiser = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    reach = images.shape[-1] // 8
    network.train()
    for step in range(steps):
        chosen = torch.randint(len(images), (128,))
        x = images[chosen].float()
        if step % 2:
            x = torch.roll(x, torch.randint(-reach, reach + 1, (2,)).tolist(), dims=(2, 3))
        if mirrored:
            x = torch.where(torch.rand(len(x), 1, 1, 1) < 0.5, x.flip(3), x)
        _, logits = network(x + 8 * torch.randn_like(x))
        loss = F.cross_entropy(logits, labels[chosen], label_smoothing=0.05)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    return network.eval()
