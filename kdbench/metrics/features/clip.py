"""CLIP's image towers (Radford et al. 2021, arXiv:2103.00020): the features of FD-CLIP and CMMD.

The published weights are OpenAI's `ViT-B-32.pt` and `ViT-L-14-336px.pt`, MIT.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from kdbench.metrics.features.base import Extractor, Prepared, frozen_extractor
from kdbench.metrics.features.resize import (
    Preparation,
    Resize,
    per_255,
    pil_bicubic_uint8,
    torch_bicubic_antialias,
)
from kdbench.metrics.features.vision_transformer import Shape, VisionTransformer, load_transformer
from kdbench.weights import find_weights

MEAN = per_255((0.48145466, 0.4578275, 0.40821073))
DEVIATION = per_255((0.26862954, 0.26130258, 0.27577711))
"""As OpenAI's code has them."""


def quick_gelu(x: Tensor) -> Tensor:
    """The activation that CLIP was trained with: x σ(1.702 x)."""
    return x * torch.sigmoid(1.702 * x)


def tower(*, size: int, patch: int, width: int, depth: int, features: int) -> Shape:
    """A CLIP image tower; its heads are always 64 wide."""
    return Shape(
        size=size,
        patch=patch,
        width=width,
        depth=depth,
        heads=width // 64,
        activation=quick_gelu,
        epsilon=1e-5,
        norm_first=True,
        projection=features,
    )


VIT_B32 = tower(size=224, patch=32, width=768, depth=12, features=512)
VIT_L14_336 = tower(size=336, patch=14, width=1024, depth=24, features=768)


def clip_vit_b32() -> Extractor:
    """The extractor `clip-vit-b32@1`: image embeddings (N, 512) before normalisation, no logits.

    FD-CLIP as Kynkäänniemi et al. 2023 (arXiv:2203.06026) and clean-fid's `clip_vit_b_32` measure
    it: Pillow's bicubic resize of the uint8 image to 224 pixels, CLIP's mean and deviation, here
    in float32. Grey images are repeated in three channels. torch-fidelity resizes as TensorFlow 1
    does and is another number.

    Raises:
        WeightsError: the weights are missing or damaged.
    """
    return load_clip("clip-vit-b32@1", VIT_B32, resize=pil_bicubic_uint8)


def clip_vit_l14_336() -> Extractor:
    """The extractor `clip-vit-l14-336@1`: image embeddings (N, 768) before normalisation.

    For CMMD (Jayasumana et al. 2024, arXiv:2401.09603), whose code resizes the image to 336 pixels
    in float32, bicubic with antialias (`jax.image.resize`), neither rounded nor clipped; CMMD
    itself scales each embedding to length 1. Grey images are repeated in three channels.

    Raises:
        WeightsError: the weights are missing or damaged.
    """
    return load_clip("clip-vit-l14-336@1", VIT_L14_336, resize=torch_bicubic_antialias)


def load_clip(name: str, shape: Shape, *, resize: Resize) -> Extractor:
    """A CLIP extractor from the weights that are published under its name.

    Args:
        name: `name@version`.
        shape: of the image tower in the weights' file.
        resize: the protocol's own.
    """
    weights = name.partition("@")[0]
    transformer = clip_tower(read_archive(find_weights(weights)), shape)
    prepare = Preparation(resize, shape.size, MEAN, DEVIATION)
    return frozen_extractor(name, Prepared(prepare, transformer), weights=weights)


def read_archive(path: Path) -> dict[str, Tensor]:
    """All weights in one of OpenAI's files, text tower included.

    They are TorchScript archives: `torch.load(weights_only=True)` cannot read them, and reading
    them can run code. `find_weights` has compared the file's SHA-256 with the published one.
    """
    with warnings.catch_warnings():  # TorchScript is deprecated, and the files will not change
        warnings.filterwarnings("ignore", message=".*torch.jit.load")
        archive = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
    state: dict[str, Tensor] = archive.state_dict()
    return state


OURS = (
    ("class_embedding", "cls_token"),
    ("positional_embedding", "pos_embed"),
    ("conv1.", "patch_embed.proj."),
    ("ln_pre.", "norm_pre."),
    ("transformer.resblocks.", "blocks."),
    ("attn.in_proj_", "attn.qkv."),
    ("attn.out_proj.", "attn.proj."),
    ("ln_1.", "norm1."),
    ("ln_2.", "norm2."),
    ("mlp.c_fc.", "mlp.fc1."),
    ("mlp.c_proj.", "mlp.fc2."),
    ("ln_post.", "norm."),
)
"""Parts of names in CLIP's files, and of the same parameters here."""


def clip_tower(state: Mapping[str, Tensor], shape: Shape) -> VisionTransformer:
    """The image tower of a published state dict; the files hold most of it in float16."""
    ours: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if name.startswith("visual."):
            ours[_our_name(name.removeprefix("visual."))] = tensor
    ours["cls_token"] = ours["cls_token"].view(1, 1, -1)
    ours["pos_embed"] = ours["pos_embed"].unsqueeze(0)
    return load_transformer(shape, ours)


def _our_name(name: str) -> str:
    for theirs, here in OURS:
        name = name.replace(theirs, here)
    return name
