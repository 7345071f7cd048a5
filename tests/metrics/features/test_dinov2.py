"""DINOv2 against transformers, its interpolation against the formula, its layout at full size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from random_weights import dinov2_state, pickled
from torch import Tensor
from torch.nn import functional as F

from kdbench.metrics.features.dinov2 import (
    SIZE,
    VIT_L14,
    dinov2,
    dinov2_vit_l14,
    load_dinov2,
    resize_positions,
)
from kdbench.metrics.features.vision_transformer import VisionTransformer
from kdbench.store import sha256_file

Publish = Callable[[str, bytes], Path]
SMALL = replace(VIT_L14, size=70, width=64, depth=2, heads=2)
"""5 x 5 patches."""


def transformers_name(name: str) -> str:
    """The same parameter in transformers' Dinov2Model."""
    for ours, theirs in (
        ("cls_token", "embeddings.cls_token"),
        ("pos_embed", "embeddings.position_embeddings"),
        ("mask_token", "embeddings.mask_token"),
        ("patch_embed.proj", "embeddings.patch_embeddings.projection"),
        ("blocks.", "encoder.layer."),
        ("attn.proj.", "attention.o_proj."),
        ("ls1.gamma", "layer_scale1.lambda1"),
        ("ls2.gamma", "layer_scale2.lambda1"),
    ):
        name = name.replace(ours, theirs)
    return name.replace("norm.", "layernorm.") if name.startswith("norm.") else name


def transformers_state(state: dict[str, Tensor]) -> dict[str, Tensor]:
    theirs = {}
    for name, tensor in state.items():
        if ".attn.qkv." in name:
            for part, own in zip("qkv", tensor.chunk(3), strict=True):
                new = name.replace("attn.qkv", f"attention.{part}_proj")
                theirs[transformers_name(new)] = own
        else:
            theirs[transformers_name(name)] = tensor
    return theirs


def test_the_class_token_is_transformers() -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.Dinov2Config(
        image_size=70, patch_size=14, hidden_size=64, num_hidden_layers=2, num_attention_heads=2
    )
    state = dinov2_state(SMALL)
    theirs = transformers.Dinov2Model(config).eval()
    theirs.load_state_dict(transformers_state(state))
    images = torch.randn(3, 3, 70, 70)
    with torch.inference_mode():
        expected = theirs(images).last_hidden_state[:, 0]
        found = dinov2(state, SMALL, size=70)(images)
    assert torch.allclose(found, expected, atol=1e-5)
    assert (found[0] - found[1]).abs().max() > 0.1


def cubic(t: Tensor) -> Tensor:
    """Weights of torch's cubic kernel, a = -0.75, at distance t."""
    near = (1.25 * t - 2.25) * t * t + 1
    far = ((-0.75 * t + 3.75) * t - 6) * t + 3
    return torch.where(t <= 1, near, torch.where(t < 2, far, 0.0))


def position_weights(sides: int, side: int) -> Tensor:
    """(side, sides): a row of new positions from old ones, in float64, by the published ratio."""
    ratio = (side + 0.1) / sides
    weights = torch.zeros(side, sides, dtype=torch.float64)
    for i in range(side):
        place = (i + 0.5) / ratio - 0.5
        for tap in range(int(np.floor(place)) - 1, int(np.floor(place)) + 3):
            distance = torch.tensor(abs(place - tap), dtype=torch.float64)
            weights[i, min(max(tap, 0), sides - 1)] += cubic(distance)
    return weights


def positions_by_formula(positions: Tensor, side: int) -> Tensor:
    sides = round((positions.shape[1] - 1) ** 0.5)
    weights = position_weights(sides, side)
    grid = positions[0, 1:].double().view(sides, sides, -1)
    patches = torch.einsum("ai,bj,ijc->abc", weights, weights, grid).flatten(0, 1)
    return torch.cat([positions[:, :1].double(), patches[None]], dim=1)


@pytest.mark.parametrize(("sides", "side"), [(37, 16), (5, 8)])
def test_positions_are_interpolated_as_published(sides: int, side: int) -> None:
    torch.manual_seed(0)
    positions = torch.randn(1, 1 + sides**2, 6)
    expected = positions_by_formula(positions, side)
    found = resize_positions(positions, side)
    assert torch.allclose(found.double(), expected, atol=1e-4)
    grid = positions[:, 1:].double().view(1, sides, sides, 6).permute(0, 3, 1, 2)
    by_size = F.interpolate(grid, (side, side), mode="bicubic").flatten(2).transpose(1, 2)
    assert (by_size - expected[:, 1:]).abs().max() > 0.01  # the 0.1 is seen


def test_positions_of_the_published_size_are_left_alone() -> None:
    positions = torch.randn(1, 26, 6)
    assert resize_positions(positions, 5) is positions


def test_the_published_layout_is_loaded_whole() -> None:
    state = dinov2_state(VIT_L14, device="meta")
    assert len(state) == 343
    assert sum(tensor.numel() for tensor in state.values()) == 304_368_640
    with torch.device("meta"):
        network = VisionTransformer(replace(VIT_L14, size=SIZE))
    used = {name: tensor for name, tensor in state.items() if name != "mask_token"}
    used["pos_embed"] = resize_positions(used["pos_embed"], SIZE // VIT_L14.patch)
    network.load_state_dict(used, strict=True, assign=True)
    assert network.pos_embed.shape == (1, 257, 1024)


def test_a_state_that_lacks_a_tensor_is_refused() -> None:
    state = dinov2_state(SMALL)
    del state["blocks.1.ls2.gamma"]
    with pytest.raises(RuntimeError, match=r"blocks\.1\.ls2\.gamma"):
        dinov2(state, SMALL, size=70)


def prepared_by_dgm_eval(images: Tensor, size: int) -> Tensor:
    """Its default transform of pictures, with torchvision."""
    from torchvision import transforms

    prepare = transforms.Compose(
        [
            transforms.Resize((size, size), transforms.InterpolationMode.BICUBIC),
            transforms.ToTensor(),
            transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )
    pictures = [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in images]
    return torch.stack([prepare(picture) for picture in pictures])


def test_images_are_prepared_as_in_dgm_eval(published: Publish, photos: Tensor) -> None:
    state = dinov2_state(SMALL)
    published("dinov2-small", pickled(state))
    extractor = load_dinov2("dinov2-small@1", SMALL, size=42)
    with torch.inference_mode():
        expected = dinov2(state, SMALL, size=42)(prepared_by_dgm_eval(photos, 42))
    features, logits = extractor(photos)
    assert torch.allclose(features, expected, atol=1e-5)
    assert features.shape == (2, 64)
    assert logits is None
    assert extractor.id.startswith("dinov2-small@1:")
    assert not extractor.network.training


@pytest.mark.slow
def test_the_published_transformer_is_timms(published: Publish, photos: Tensor) -> None:
    timm = pytest.importorskip("timm")
    state = dinov2_state(VIT_L14)
    path = published("dinov2-vit-l14", pickled(state))
    extractor = dinov2_vit_l14()
    features, _ = extractor(photos)
    theirs = timm.create_model("vit_large_patch14_dinov2", img_size=224, num_classes=0).eval()
    del state["mask_token"]
    state["pos_embed"] = positions_by_formula(state["pos_embed"], 16).float()
    theirs.load_state_dict(state)
    with torch.inference_mode():
        expected = theirs(prepared_by_dgm_eval(photos, 224))
    assert torch.allclose(features, expected, atol=1e-4, rtol=1e-4)
    assert features.shape == (2, 1024)
    assert extractor.id == f"dinov2-vit-l14@1:{sha256_file(path)}"
