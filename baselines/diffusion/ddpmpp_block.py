"""The residual block of EDM's U-Nets, in the two forms of its published networks.

Karras et al. 2022, arXiv:2206.00364, table 1 and appendix F.3 (their `UNetBlock`): DDPM++ is Song
et al. 2021, arXiv:2011.13456; ADM is Dhariwal and Nichol 2021, arXiv:2105.05233.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

Resample = Literal["up", "down"] | None


@dataclass(frozen=True)
class Form:
    """What the blocks of one published network have in common."""

    head_channels: int | None
    """Channels of an attention head; None is one head of all channels."""
    scale_shift: bool
    """Whether the condition scales and shifts after the second norm; else it is added before."""
    gain: float
    """Factor of every sum of a branch and what it is added to."""
    resample_projection: bool
    """Whether a block that resamples has a 1×1 convolution beside it, whatever its channels."""
    attend_late: bool
    """Whether a level of the decoder attends in its last block only."""


FORMS = {
    "ddpm++": Form(None, False, 0.5**0.5, True, True),
    "adm": Form(64, True, 1.0, False, False),
}


def group_norm(channels: int) -> nn.GroupNorm:
    """32 groups, fewer where they would have fewer than four channels."""
    return nn.GroupNorm(min(32, channels // 4), channels, eps=1e-6)


def zeroed(convolution: nn.Conv2d) -> nn.Conv2d:
    """A convolution that first gives nothing, so that its branch is first the identity."""
    for parameter in convolution.parameters():
        nn.init.zeros_(parameter)
    return convolution


class Attention(nn.Module):
    """Every place looks at every place, in each head.

    Written out as in the published code: torch's fused attention has no forward-mode derivative,
    which MeanFlow needs.
    """

    def __init__(self, channels: int, head_channels: int | None) -> None:
        super().__init__()
        self.heads = channels // min(head_channels or channels, channels)
        self.norm = group_norm(channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.proj = zeroed(nn.Conv2d(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) to the same: what is added to x."""
        split = self.qkv(self.norm(x)).unflatten(1, (3, self.heads, -1)).flatten(4)
        query, key, value = split.unbind(1)  # (B, heads, channels of a head, H·W)
        scores = query.transpose(2, 3) @ key / query.shape[2] ** 0.5
        seen = value @ scores.softmax(dim=3).transpose(2, 3)
        mixed: Tensor = self.proj(seen.reshape(x.shape))
        return mixed


class Block(nn.Module):
    """Two convolutions behind norms, perhaps resampling before the first, perhaps attention."""

    def __init__(
        self,
        inner: int,
        outer: int,
        condition: int,
        form: Form,
        *,
        dropout: float,
        resample: Resample = None,
        attend: bool = False,
    ) -> None:
        super().__init__()
        self.form, self.resample = form, resample
        self.norm_in = group_norm(inner)
        self.conv_in = nn.Conv2d(inner, outer, 3, padding=1)
        self.affine = nn.Linear(condition, 2 * outer if form.scale_shift else outer)
        self.norm_out = group_norm(outer)
        self.dropout = nn.Dropout(dropout)
        self.conv_out = zeroed(nn.Conv2d(outer, outer, 3, padding=1))
        projected = inner != outer or (resample is not None and form.resample_projection)
        self.skip = nn.Conv2d(inner, outer, 1) if projected else nn.Identity()
        self.attention = Attention(outer, form.head_channels) if attend else None

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """(B, inner, H, W) to (B, outer, H, W), or half or twice the height and width."""
        gain = self.form.gain
        hidden = self.conv_in(self._resampled(F.silu(self.norm_in(x))))
        hidden = self.conv_out(self.dropout(F.silu(self._conditioned(hidden, condition))))
        x = (self.skip(self._resampled(x)) + hidden) * gain
        return x if self.attention is None else (x + self.attention(x)) * gain

    def _conditioned(self, hidden: Tensor, condition: Tensor) -> Tensor:
        affine = self.affine(condition)[:, :, None, None]
        if not self.form.scale_shift:
            normed: Tensor = self.norm_out(hidden + affine)
            return normed
        scale, shift = affine.chunk(2, dim=1)
        scaled: Tensor = self.norm_out(hidden) * (1 + scale) + shift
        return scaled

    def _resampled(self, x: Tensor) -> Tensor:
        if self.resample == "up":
            return F.interpolate(x, scale_factor=2.0, mode="nearest")
        return F.avg_pool2d(x, 2) if self.resample == "down" else x


class Coarse(nn.Module):
    """Two blocks at the lowest resolution, the first with attention: the bottleneck."""

    def __init__(self, first: Block, second: Block) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        out: Tensor = self.second(self.first(x, condition), condition)
        return out
