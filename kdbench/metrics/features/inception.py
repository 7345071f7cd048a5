"""FID's Inception-v3 (Szegedy et al. 2016, arXiv:1512.00567), in the graph of TensorFlow of 2015.

The published weights are torch-fidelity's `weights-inception-2015-12-05-6726825d.pth`, Apache-2.0,
converted from the graph that FID was published with. torchvision's Inception-v3 has other weights
and other pooling; distances in its features are not FID.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

from kdbench.errors import BadSpec
from kdbench.metrics.features.base import Extractor, frozen_extractor, published_state
from kdbench.metrics.features.resize import (
    Preparation,
    Resize,
    pil_bicubic_float,
    tf1_bilinear,
    torch_bilinear_antialias,
)

WEIGHTS = "inception-v3-compat"


def inception_v3_compat() -> Extractor:
    """The extractor `inception-v3-compat@1`: FID's pool3 (N, 2048) and logits (N, 1008).

    The protocol of the published FID (Heusel et al. 2017, arXiv:1706.08500) as torch-fidelity
    measures it: TensorFlow 1's bilinear resize to 299 pixels, (x - 128) / 128. Logits are without
    the last bias, as the published Inception score takes them. Grey images are repeated in three
    channels.

    Raises:
        WeightsError: the weights are missing or damaged.
        BadSpec: torch-fidelity, which has the layers, is not installed.
    """
    return load_inception("inception-v3-compat@1", resize=tf1_bilinear)


def inception_v3_compat_clean() -> Extractor:
    """The extractor `inception-v3-compat-clean@1`: clean-fid's protocol `clean`, the same network.

    Pillow's bicubic resize of each channel in float32, clipped and not rounded (Parmar et al. 2022,
    arXiv:2104.11222). All else as in `inception_v3_compat`.
    """
    return load_inception("inception-v3-compat-clean@1", resize=pil_bicubic_float)


def inception_v3_compat_antialias() -> Extractor:
    """The extractor `inception-v3-compat-antialias@1`: torchmetrics from 1.8 on, the same network.

    Bilinear resize with antialias, in float32. All else as in `inception_v3_compat`.
    """
    return load_inception("inception-v3-compat-antialias@1", resize=torch_bilinear_antialias)


def load_inception(name: str, *, resize: Resize) -> Extractor:
    """An extractor from the published weights, with a protocol's resize."""
    network = Inception(Preparation(resize, 299, mean=(128.0,) * 3, deviation=(128.0,) * 3))
    state = published_state(WEIGHTS)
    network.load_state_dict({_our_name(theirs): tensor for theirs, tensor in state.items()})
    return frozen_extractor(name, network, weights=WEIGHTS)


def _our_name(name: str) -> str:
    return name if name.startswith("fc.") else f"layers.{name}"


class Inception(nn.Module):
    """uint8 images (N, 1 or 3, H, W) to pool3 (N, 2048) and logits without bias (N, 1008)."""

    def __init__(self, prepare: Preparation) -> None:
        super().__init__()
        self.prepare = prepare
        self.layers = nn.Sequential(published_layers())
        self.fc = nn.Linear(2048, 1008)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features and logits, float32."""
        features = self.layers(self.prepare(images)).flatten(1)
        return features, features.mm(self.fc.weight.T)


def published_layers() -> OrderedDict[str, nn.Module]:
    """All layers below pool3 in order, under their published names, from torch-fidelity's blocks.

    torch-fidelity's own class around these blocks can only be made by unpickling a file with
    `weights_only=False`, and has one resize.
    """
    try:
        from torch_fidelity import feature_extractor_inceptionv3 as blocks
    except ImportError as error:
        raise BadSpec("The layers of Inception need torch-fidelity: reinstall kdbench.") from error
    conv = blocks.BasicConv2d
    return OrderedDict(
        Conv2d_1a_3x3=conv(3, 32, kernel_size=3, stride=2),
        Conv2d_2a_3x3=conv(32, 32, kernel_size=3),
        Conv2d_2b_3x3=conv(32, 64, kernel_size=3, padding=1),
        MaxPool_1=nn.MaxPool2d(kernel_size=3, stride=2),
        Conv2d_3b_1x1=conv(64, 80, kernel_size=1),
        Conv2d_4a_3x3=conv(80, 192, kernel_size=3),
        MaxPool_2=nn.MaxPool2d(kernel_size=3, stride=2),
        Mixed_5b=blocks.InceptionA(192, pool_features=32),
        Mixed_5c=blocks.InceptionA(256, pool_features=64),
        Mixed_5d=blocks.InceptionA(288, pool_features=64),
        Mixed_6a=blocks.InceptionB(288),
        Mixed_6b=blocks.InceptionC(768, channels_7x7=128),
        Mixed_6c=blocks.InceptionC(768, channels_7x7=160),
        Mixed_6d=blocks.InceptionC(768, channels_7x7=160),
        Mixed_6e=blocks.InceptionC(768, channels_7x7=192),
        Mixed_7a=blocks.InceptionD(768),
        Mixed_7b=blocks.InceptionE_1(1280),
        Mixed_7c=blocks.InceptionE_2(2048),
        AvgPool=nn.AdaptiveAvgPool2d((1, 1)),
    )
