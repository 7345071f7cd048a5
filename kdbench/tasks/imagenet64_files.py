"""ImageNet 64×64 as it is published: names, checksums and numbers of its files."""

from __future__ import annotations

from pathlib import Path

from kdbench.store import sha256_file
from kdbench.tasks.data_files import DataSet

SIDE, CLASSES = 64, 1000
FOLDERS = ("imagenet64", "")
"""Where files are looked for in the folder of all data sets."""
PARTS = {
    "Imagenet64_train_part1_npz": tuple(f"train_data_batch_{i}" for i in range(1, 6)),
    "Imagenet64_train_part2_npz": tuple(f"train_data_batch_{i}" for i in range(6, 11)),
    "Imagenet64_val_npz": ("val_data",),
}
"""Batches in each archive, which unpacks to a folder of its own name."""
SHA256 = {
    "Imagenet64_train_part1_npz": (
        "9422dc1dc5d092e9814a70a1cb7fc74880d2db5d88a0cb8a34ee363b12bde3f1"
    ),
    "Imagenet64_train_part2_npz": (
        "9fafc115afb7e6c301e66dc16b2d737152b427bd5dab26e1293487a6819c7f30"
    ),
    "Imagenet64_val_npz": "e1e75133158a1924135a9c6f97a80d2d237b158945e0b34074e58e6c8430eeb8",
}
"""Of the archives, as TensorFlow Datasets has them (imagenet_resized/checksums.tsv). No checksum of
a batch alone is published: of unpacked ones, numbers and labels are compared."""
IMAGES = {"train": 1_281_167, "val": 50_000}

DATA = DataSet(
    "imagenet64@1",
    f"{'.zip, '.join(PARTS)}.zip, or the batches train_data_batch_1.npz … val_data.npz that they "
    "hold, in imagenet64/ or beside the other data sets",
    "They are the files of image-net.org/download-images (an account is needed), 14 GB; at first "
    "use they are unpacked to 16 GB in the folder of KDBENCH_CACHE, ~/.cache/kdbench if not set.",
)


def locate(folder: Path, part: str, batch: str) -> Path:
    """The archive of a part, or the unpacked batch.

    Raises:
        DataError: neither is there.
    """
    for place in (folder / name for name in FOLDERS):
        ways = (f"{part}.zip", f"{part}/{batch}.npz", f"{batch}.npz")
        for path in (place / way for way in ways):
            if path.is_file():
                return path
    raise DATA.missing(f"{part}.zip or {batch}.npz")


def check_archives(paths: list[Path]) -> None:
    """Compare those of `paths` that are archives with their published checksums.

    Raises:
        DataError: one is another.
    """
    for path in dict.fromkeys(path for path in paths if path.suffix == ".zip"):
        if sha256_file(path) != SHA256[path.stem]:
            raise DATA.damaged(path.name, "is not the published archive")
