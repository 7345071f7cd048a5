"""What the class-conditional tasks on data sets of 60,000 to 70,000 small images share."""

from __future__ import annotations

from kdbench.metrics.base import Use
from kdbench.tasks.base import Task

N = 2000
"""Generated images a split: 200 a class, for a CPU. Published figures are of 50,000; no metric
here is comparable with them."""
BLOCK = 1000
"""Images of a block of metrics between nearest neighbours, which need sets of one size."""

WHOLE = (
    *("kid-stratified@1", "kid@1", "fd@1", "class-accuracy@1", "class-divergence@1"),
    *("psnr@1", "ssim-uniform7@1", "kid-worst-class@1", "kid-stratified-teacher@1"),
    *("delta-fd@1", "vendi-ratio@1", "feature-distance-within-ratio@1"),
    *("authenticity@1", "nearest-ratio@1", "copying-test@1"),
)
"""Metrics of all generated images."""
IN_BLOCKS = (
    *("precision@1", "recall@1", "density@1", "coverage@1"),
    *("recall-retention@1", "coverage-retention@1", "clusters-covered@1", "duplicates@1"),
)


class SmallImages(Task):
    """Make small images of ten given classes; measured as `digits@1` is, on twice as many."""

    kind = "class-conditional generation"
    classes = 10
    main = "kid-stratified@1"
    n = N
    uses = (
        *(Use(name, n=N) for name in WHOLE),
        *(Use(name, n=BLOCK, blocks=N // BLOCK) for name in IN_BLOCKS),
    )
