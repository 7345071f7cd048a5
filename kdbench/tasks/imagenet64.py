"""The task `imagenet64@1`: 1.3 million photographs of a thousand things, 64×64, in colour.

Data: the downsampled ImageNet of Chrabaszcz, Loshchilov and Hutter 2017, arXiv:1707.08819, made of
ILSVRC 2012, whose terms allow non-commercial research only; kdbench does not bring it. EDM, and
the distillers of its networks, used other pictures, cropped before they were made smaller: their
published figures are not comparable with any here.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from kdbench.metrics.base import Use
from kdbench.tasks.base import Split, Task
from kdbench.tasks.imagenet64_files import CLASSES, DATA, SIDE
from kdbench.tasks.imagenet64_unpacked import mapped, unpacked

N = 50_000
"""Generated images a split, 50 a class: as many as published figures are of, and as `val_data`."""
BLOCK = 5_000
"""Images of a block of metrics between nearest neighbours, which need sets of one size."""

WHOLE = ("fid@1", "kid-stratified@1", "kid@1", "kid-stratified-teacher@1", "psnr@1")
IN_BLOCKS = (
    *("precision@1", "recall@1", "density@1", "coverage@1"),
    *("recall-retention@1", "coverage-retention@1"),
)


class ImageNet64(Task):
    """Make 64×64 pictures of one of a thousand classes.

    Judged by FID's own network; no metric compares with the training images, of which there are
    too many for their features to be kept. FD-DINOv2 is to be had with `--metrics fd-dinov2`.
    """

    name = "imagenet64"
    kind = "class-conditional generation"
    shape = (3, SIDE, SIDE)
    classes = CLASSES
    sigma_data = 0.5  # as Karras et al. 2022, arXiv:2206.00364, have it for ImageNet-64
    main = "fid@1"
    margin = 0.1  # users of one published CIFAR-10 network measure 1.97 to 2.08 (NVlabs/edm#16)
    n = N
    extractor = "inception-v3-compat@1"
    auxiliary = "vgg16-fc2@1"
    uses = (
        *(Use(name, n=N) for name in WHOLE),
        *(Use(name, n=BLOCK, blocks=N // BLOCK) for name in IN_BLOCKS),
    )

    def split(self, name: str) -> Split:
        """`train` (1,231,167), `validation` (50 a class of the training set), `held-out` (50,000).

        Images are mapped from a file, not held in memory; whoever copies the whole of `train` to a
        device needs 15 GB there. Its hash is of all pixels, some ten seconds in every process.

        Raises:
            DataError: files are missing, damaged or not the published ones, or there is no room
                to unpack them.
        """
        return _splits(DATA.folder())[name]


@cache
def _splits(folder: Path) -> dict[str, Split]:
    place = unpacked(folder)
    return {name: mapped(place, name) for name in ("train", "validation", "held-out")}
