"""VGG-16 (Simonyan and Zisserman 2015, arXiv:1409.1556): the features of precision and recall.

The published weights are torchvision's `vgg16-397923af.pth`, BSD-3-Clause.
"""

from __future__ import annotations

import torch
from torchvision.models import vgg16

from kdbench.metrics.features.base import Extractor, Prepared, frozen_extractor, published_state
from kdbench.metrics.features.resize import (
    IMAGENET_DEVIATION,
    IMAGENET_MEAN,
    Preparation,
    tf1_bilinear,
)

WEIGHTS = "vgg16"


def vgg16_fc2() -> Extractor:
    """The extractor `vgg16-fc2@1`: the second hidden layer after its ReLU, (N, 4096), no logits.

    Precision and recall (Kynkäänniemi et al. 2019, arXiv:1904.06991, section 3) as torch-fidelity
    measures them, its `vgg16` with `fc2_relu`: TensorFlow 1's bilinear resize to 224 pixels,
    ImageNet's mean and deviation. Grey images are repeated in three channels.

    Raises:
        WeightsError: the weights are missing or damaged.
    """
    with torch.device("meta"):  # without drawing 138 million first weights
        network = vgg16()
    network.to_empty(device="cpu").load_state_dict(published_state(WEIGHTS))
    network.classifier = network.classifier[:5]  # linear, ReLU, dropout, linear, ReLU
    prepare = Preparation(tf1_bilinear, 224, IMAGENET_MEAN, IMAGENET_DEVIATION)
    return frozen_extractor("vgg16-fc2@1", Prepared(prepare, network), weights=WEIGHTS)
