"""The small pictures that travel with a record: tiles of one size, edge to edge, as they are."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image
from torch import Tensor


def tiles_png(*rows: Tensor) -> bytes:
    """Rows of images, one below the other, without gaps or enlargement.

    Args:
        rows: each (N, C, H, W), uint8, the same shape for all; one or three channels.

    Returns:
        A PNG, the same bytes for the same images.
    """
    lines = [np.concatenate(list(row.permute(0, 2, 3, 1).numpy()), axis=1) for row in rows]
    picture = np.concatenate(lines)
    buffer = io.BytesIO()
    Image.fromarray(picture.squeeze(-1) if picture.shape[-1] == 1 else picture).save(buffer, "PNG")
    return buffer.getvalue()
