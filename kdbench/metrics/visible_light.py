"""What eyes see of light and colour in a single image: contrast, saturation, colourfulness.

None is better by itself: a student should be like the real images, neither pale nor garish, which
is what each metric's `-distance` measures. All are of sRGB values as stored, 0 to 255.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kdbench.errors import NothingMeasured
from kdbench.metrics.base import metric
from kdbench.metrics.chunks import by_chunk
from kdbench.metrics.luma import luma
from kdbench.metrics.visible_distance import distance


@metric(
    kind="per-image",
    higher_is_better=None,
    unit="grey levels",
    bounds=(0.0, 127.5),
    protocol="standard deviation of BT.601 luma over all pixels, divisor the number of pixels",
    source="Peli 1990, doi:10.1364/JOSAA.7.002032, root-mean-square contrast",
)
def contrast(images: Tensor) -> Tensor:
    """Root-mean-square contrast: standard deviation of an image's grey levels.

    Blind to where light and dark are: noise, a gradient and a chessboard can have one value. A
    blur lowers it little, since most contrast is in coarse shapes.

    Args:
        images: (N, 1 or 3, H, W), uint8.

    Returns:
        (N,), float64, grey levels.

    Raises:
        NothingMeasured: there are 2 channels, or more than 3.

    >>> half = torch.zeros(1, 1, 4, 4, dtype=torch.uint8)
    >>> half[..., :2] = 255
    >>> contrast(half)
    tensor([127.5000], dtype=torch.float64)
    """
    return by_chunk(lambda part: luma(part).flatten(1).std(1, correction=0), images)


@metric(
    kind="per-image",
    higher_is_better=None,
    bounds=(0.0, 1.0),
    protocol="mean over pixels of (max - min) / max of red, green and blue; 0 for black",
    source="Smith 1978, doi:10.1145/800248.807361 (HSV); scikit-image rgb2hsv",
)
def saturation(images: Tensor) -> Tensor:
    """Mean saturation of an image's pixels, as in HSV; 0 for greys, 1 for pure colours.

    Blind to hue and to how light a colour is: the faintest colour noise in the dark counts as
    fully saturated. Images of one channel have no colours and are not measured; a colour image
    whose pixels are all grey has 0.

    Args:
        images: (N, 3, H, W), uint8.

    Returns:
        (N,), float64.

    Raises:
        NothingMeasured: the images have not three channels.

    >>> pixels = torch.tensor([[255, 0, 0], [255, 127, 255], [9, 9, 9], [0, 0, 0]]).byte()
    >>> saturation(pixels.view(4, 3, 1, 1)).tolist()
    [1.0, 0.5019607843137255, 0.0, 0.0]
    """
    return by_chunk(_saturation, _coloured(images, "Saturation"))


@metric(
    kind="per-image",
    higher_is_better=None,
    unit="grey levels",
    bounds=(0.0, None),
    protocol="red - green and (red + green) / 2 - blue: norm of both standard deviations, divisor "
    "the number of pixels, plus 0.3 times the norm of both means",
    source="Hasler and Süsstrunk 2003, doi:10.1117/12.477378, eq. for M^(3)",
)
def colourfulness(images: Tensor) -> Tensor:
    """How colourful an image looks, fitted to people's ratings.

    The authors' scale: 0 not, 15 slightly, 33 moderately, 59 quite, 109 extremely colourful. Blind
    to where colours are; one colour all over counts 0.3 of what it counts beside its complement.
    Images of one channel are not measured.

    Args:
        images: (N, 3, H, W), uint8.

    Returns:
        (N,), float64, grey levels.

    Raises:
        NothingMeasured: the images have not three channels.

    >>> red = torch.tensor([255, 0, 0]).byte().view(1, 3, 1, 1).expand(1, 3, 4, 4)
    >>> colourfulness(red).round(decimals=6)
    tensor([85.5296], dtype=torch.float64)
    """
    return by_chunk(_colourfulness, _coloured(images, "Colourfulness"))


contrast_distance = distance(contrast)
saturation_distance = distance(saturation)
colourfulness_distance = distance(colourfulness)


def _coloured(images: Tensor, what: str) -> Tensor:
    if images.shape[1] != 3:
        raise NothingMeasured(
            f"{what} is of red, green and blue: these images have "
            f"{images.shape[1]} channel{'s' if images.shape[1] > 1 else ''}."
        )
    return images


def _saturation(images: Tensor) -> Tensor:
    low, high = images.amin(1).double(), images.amax(1).double()
    return ((high - low) / high.clamp(min=1)).flatten(1).mean(1)


def _colourfulness(images: Tensor) -> Tensor:
    red, green, blue = images.double().flatten(2).unbind(1)
    opponents = torch.stack([red - green, (red + green) / 2 - blue], dim=1)
    spread, mean = opponents.std(2, correction=0), opponents.mean(2)
    return torch.hypot(*spread.unbind(1)) + 0.3 * torch.hypot(*mean.unbind(1))
