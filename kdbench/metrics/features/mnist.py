"""The networks that judge MNIST: the extractor `mnist-cnn@1` and a separate auxiliary one.

Both are classifiers trained on the training split of `mnist@1` only; their cards say how.
Distances in these features are `FD[mnist-cnn]`, never FID.
"""

from __future__ import annotations

from kdbench.metrics.features.base import Extractor, load_extractor
from kdbench.metrics.features.classifiers import PatchMixer, StagedCNN

SHAPE = (1, 28, 28)


def mnist_cnn_network() -> StagedCNN:
    """82k parameters, 64 features."""
    return StagedCNN(SHAPE, (32, 64), features=64)


def mnist_aux_network() -> PatchMixer:
    """14k parameters, 64 features."""
    return PatchMixer(SHAPE, patch=4, width=64, depth=2)


def mnist_cnn() -> Extractor:
    """The evaluation extractor `mnist-cnn@1`."""
    return load_extractor("mnist-cnn@1", mnist_cnn_network)


def mnist_aux() -> Extractor:
    """The auxiliary classifier `mnist-aux@1`, for methods."""
    return load_extractor("mnist-aux@1", mnist_aux_network)
