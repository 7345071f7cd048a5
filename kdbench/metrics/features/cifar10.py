"""The networks that judge CIFAR-10: extractors and separate auxiliary ones, one pair a data set.

The set as published and its JPEG variant are two data worlds: each has judges that were trained on
its own training split only. Distances in these features are `FD[cifar10-cnn]`, never FID.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from kdbench.errors import UnknownName, WeightsError
from kdbench.metrics.features.base import Extractor, load_extractor
from kdbench.metrics.features.classifiers import PatchMixer, StagedCNN
from kdbench.weights import cards

SHAPE = (3, 32, 32)


def cifar10_cnn_network() -> StagedCNN:
    """1.3 million parameters, 128 features."""
    return StagedCNN(SHAPE, (64, 128, 256), features=128)


def cifar10_aux_network() -> PatchMixer:
    """89k parameters, 128 features."""
    return PatchMixer(SHAPE, patch=4, width=128, depth=4)


def cifar10_cnn() -> Extractor:
    """The evaluation extractor `cifar10-cnn@1`."""
    return _loaded("cifar10-cnn@1", cifar10_cnn_network)


def cifar10_aux() -> Extractor:
    """The auxiliary classifier `cifar10-aux@1`, for methods."""
    return _loaded("cifar10-aux@1", cifar10_aux_network)


def cifar10_jpeg_cnn() -> Extractor:
    """The evaluation extractor `cifar10-jpeg-cnn@1`."""
    return _loaded("cifar10-jpeg-cnn@1", cifar10_cnn_network)


def cifar10_jpeg_aux() -> Extractor:
    """The auxiliary classifier `cifar10-jpeg-aux@1`, for methods."""
    return _loaded("cifar10-jpeg-aux@1", cifar10_aux_network)


def _loaded(name: str, build: Callable[[], nn.Module]) -> Extractor:
    """A judge whose weights are not shipped: they are made by the recipe.

    Raises:
        WeightsError: it was not made here yet; the message says how.
    """
    published = name.partition("@")[0]
    try:
        cards.load(published)
    except UnknownName:
        task = published.rpartition("-")[0]
        raise WeightsError(
            f"The judge {name} is not made yet: with the images in the folder of --data or "
            f"KDBENCH_DATA, run `python -m kdbench.metrics.features.recipe {task} --write`."
        ) from None
    return load_extractor(name, build)
