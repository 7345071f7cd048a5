"""CMMD: kernel distance of CLIP embeddings with a Gaussian kernel, over all pairs."""

from __future__ import annotations

from torch import Tensor

from kdbench.errors import NothingMeasured
from kdbench.metrics.base import Estimate, ImageSet, metric
from kdbench.metrics.feature_pair import checked_features, feature_pair
from kdbench.metrics.kernel import Discrepancy, estimated, gaussian, kernel_distance, mean_among
from kdbench.metrics.remembered import remembered

SCALE = 1000
"""The authors' factor, for readable numbers."""

KERNEL = gaussian(sigma=10)
"""σ means something at a known length of embeddings alone: here 1."""


@metric(
    kind="set",
    higher_is_better=False,
    needs_features=True,
    few=500,
    extractor="clip-vit-l14-336@1",
    protocol=(
        "unit length, kernel exp(-|x-y|^2 / 200), x1000, unbiased U-statistic over all pairs, "
        "float32 products, float64 sums"
    ),
    source="Jayasumana et al. 2024, arXiv:2401.09603; Gretton et al. 2012",
)
def cmmd(generated: ImageSet, reference: ImageSet) -> Estimate:
    """Kernel distance of CLIP embeddings of unit length: unbiased, no Gaussian fit, no subsets.

    The authors' code is not the unbiased estimate that the paper speaks of: it counts each image
    with itself, which adds 1000 (1 - mean kernel) / N for each set, the more the fewer images.
    Detail `v_statistic` is their number; `standard_error` is that of the value, as in `kid`.

    Blind to what CLIP does not describe, and to all but the mean embedding: embeddings are at most
    2 apart, where this kernel is all but quadratic, so that the value is 10 |difference of mean
    embeddings|² to within about 1 %. Lost spread within modes hardly moves it.

    Args:
        generated, reference: features (N, 768) and (M, 768), float32, N and M at least 2.

    Raises:
        NothingMeasured: an embedding is 0, or see `feature_pair`.

    >>> import torch
    >>> x, y = torch.randn(100, 8), torch.randn(80, 8) + 1
    >>> found = cmmd(*[ImageSet(z, torch.zeros(len(z)), z) for z in (x, y)])
    >>> 0 < found.value < found.details["v_statistic"]
    True
    """
    x, y = (unit_rows(features) for features in feature_pair(generated, reference))
    found = kernel_distance(x, y, KERNEL, among_x=_among(generated), among_y=_among(reference))
    return estimated(
        SCALE * found.value,
        SCALE * found.standard_error,
        v_statistic=SCALE * v_statistic(found),
    )


def unit_rows(features: Tensor) -> Tensor:
    """(N, D), float64: each row over its length; 310 MB for 50,000 x 768.

    Raises:
        NothingMeasured: a row is 0.

    >>> import torch
    >>> unit_rows(torch.tensor([[3.0, 4.0]])).tolist()
    [[0.6, 0.8]]
    """
    lengths = features.double().norm(dim=1, keepdim=True)
    if not lengths.all():
        raise NothingMeasured("The embeddings of some images are all 0: they have no direction.")
    unit: Tensor = features / lengths
    return unit


def v_statistic(found: Discrepancy) -> float:
    """MMD² with each image's kernel with itself, which is 1, counted in."""
    itself = sum((1 - float(own.mean())) / len(own) for own in (found.among_x, found.among_y))
    return found.value + itself


@remembered
def _among(images: ImageSet) -> Tensor:
    """Mean kernel of each embedding with the others of its set."""

    def make() -> dict[str, Tensor]:
        own = unit_rows(checked_features(images, "compared"))
        return {"means": mean_among(own, KERNEL)}

    return images.kept("cmmd-among@1", make)["means"]
