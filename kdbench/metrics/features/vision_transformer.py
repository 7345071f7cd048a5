"""Vision transformers (Dosovitskiy et al. 2021, arXiv:2010.11929) as DINOv2 and CLIP have them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Shape:
    """Everything that tells one published transformer from another, but its weights."""

    size: int
    """Pixels a side of its images."""
    patch: int
    """Pixels a side of a patch."""
    width: int
    depth: int
    heads: int
    activation: Callable[[Tensor], Tensor]
    epsilon: float
    """Of every norm."""
    layer_scale: bool = False
    """Whether each block's branches are scaled, channel by channel, as in DINOv2."""
    norm_first: bool = False
    """Whether tokens are normed before the first block and patches have no bias, as in CLIP."""
    projection: int | None = None
    """Features after a last linear map, as in CLIP; without it, there are `width`."""

    @property
    def tokens(self) -> int:
        """The patches and the class token."""
        return (self.size // self.patch) ** 2 + 1


class VisionTransformer(nn.Module):
    """Prepared images (N, 3, size, size) to the class token after the last norm, (N, features).

    Parameters have DINOv2's published names.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width = shape.width
        bias = not shape.norm_first
        patches = nn.Conv2d(3, width, shape.patch, stride=shape.patch, bias=bias)
        self.patch_embed = nn.ModuleDict({"proj": patches})
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, shape.tokens, width))
        self.norm_pre = _norm(shape) if shape.norm_first else nn.Identity()
        self.blocks = nn.Sequential(*(Block(shape) for _ in range(shape.depth)))
        self.norm = _norm(shape)
        self.proj = nn.Parameter(torch.zeros(width, shape.projection)) if shape.projection else None

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, size, size) to (N, features)."""
        patches = self.patch_embed["proj"](images).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.cls_token.expand(len(images), -1, -1), patches], dim=1)
        tokens = self.blocks(self.norm_pre(tokens + self.pos_embed))
        features: Tensor = self.norm(tokens[:, 0])
        return features if self.proj is None else features @ self.proj


class Block(nn.Module):
    """Attention and a hidden layer of four times the width, each a branch behind a norm."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.norm1, self.norm2 = _norm(shape), _norm(shape)
        self.attn, self.mlp = Attention(shape), Hidden(shape)
        scaled = shape.layer_scale
        self.ls1, self.ls2 = (Scale(shape) if scaled else nn.Identity() for _ in range(2))

    def forward(self, tokens: Tensor) -> Tensor:
        """(N, tokens, width) to the same."""
        tokens = tokens + self.ls1(self.attn(self.norm1(tokens)))
        changed: Tensor = tokens + self.ls2(self.mlp(self.norm2(tokens)))
        return changed


class Attention(nn.Module):
    """Every token looks at every token, in each head."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.qkv = nn.Linear(shape.width, 3 * shape.width)
        self.proj = nn.Linear(shape.width, shape.width)

    def forward(self, tokens: Tensor) -> Tensor:
        """(N, tokens, width) to the same."""
        split = self.qkv(tokens).unflatten(-1, (3, self.heads, -1))
        query, key, value = split.permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(query, key, value)
        mixed: Tensor = self.proj(seen.transpose(1, 2).flatten(2))
        return mixed


class Hidden(nn.Module):
    """One hidden layer, on each token alone."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.activation = shape.activation
        self.fc1 = nn.Linear(shape.width, 4 * shape.width)
        self.fc2 = nn.Linear(4 * shape.width, shape.width)

    def forward(self, tokens: Tensor) -> Tensor:
        """(N, tokens, width) to the same."""
        changed: Tensor = self.fc2(self.activation(self.fc1(tokens)))
        return changed


class Scale(nn.Module):
    """A factor for each channel (Touvron et al. 2021, arXiv:2103.17239)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(shape.width))

    def forward(self, tokens: Tensor) -> Tensor:
        """(N, tokens, width) to the same."""
        return tokens * self.gamma


def load_transformer(shape: Shape, state: Mapping[str, Tensor]) -> VisionTransformer:
    """A transformer in float32 with these weights, which must be all of its own and no others."""
    with torch.device("meta"):  # without drawing hundreds of millions of first weights
        network = VisionTransformer(shape)
    network.to_empty(device="cpu").load_state_dict(state)
    return network


def _norm(shape: Shape) -> nn.LayerNorm:
    return nn.LayerNorm(shape.width, eps=shape.epsilon)
