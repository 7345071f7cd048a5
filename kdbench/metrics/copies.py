"""Copies of the reference: the best distance there is, and no merit."""

from __future__ import annotations

import torch

from kdbench.metrics.image_sets import Images

CHANCE = 0.001
"""Share of copies that is not marked: a few equal images, white ones for instance, are chance."""


def copy_mark(generated: Images, reference: Images) -> tuple[str, ...]:
    """What to say of images that equal a reference image in every bit.

    No distance to a reference can tell a generator that returns the reference from a perfect one:
    only the images themselves can. Of images that are not uint8 nothing is said.

    >>> black = torch.zeros(2, 1, 2, 2, dtype=torch.uint8)
    >>> labels = torch.zeros(2, dtype=torch.int64)
    >>> copy_mark(Images(black, labels), Images(black, labels))
    ('copies of the reference: 100 % of the images',)
    >>> copy_mark(Images(black, labels), Images(black + 1, labels))
    ()
    """
    ours, theirs = generated.images, reference.images
    if ours.dtype != torch.uint8 or ours.shape[1:] != theirs.shape[1:]:
        return ()
    known = set(reference.digests)
    share = sum(digest in known for digest in generated.digests) / len(ours)
    return (
        (f"copies of the reference: {100 * share:.3g} % of the images",) if share > CHANCE else ()
    )
