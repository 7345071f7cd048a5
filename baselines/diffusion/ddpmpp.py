"""The U-Nets of official size: EDM's DDPM++ for CIFAR-10 and its ADM for ImageNet-64.

Karras et al. 2022, arXiv:2206.00364, with the layout of their published training options: levels
with channel multipliers, blocks a level, attention at given resolutions.

Differs from both: the condition is that of all networks here (16 sines and cosines of ln σ / 4 and
a class embedding, added before one hidden layer; theirs has `channels` of them and, in ADM, adds
the class after it); first weights are torch's, which are ADM's, with the last layer of each branch
at zero (1e-5 of it in DDPM++); there is no input for augmentations; every norm has ε = 1e-6.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from kdbench_baselines.diffusion.ddpmpp_block import FORMS, Block, Coarse, group_norm, zeroed
from kdbench_baselines.diffusion.embedding import Condition
from kdbench_baselines.diffusion.precondition import Denoiser
from torch import Tensor, nn
from torch.nn import functional as F

from kdbench.errors import BadSpec
from kdbench.tasks.base import Task


@dataclass(frozen=True)
class Layout:
    """Where the blocks are."""

    channels: int
    mult: Sequence[int]
    """Of the channels, for each level; every level has half the height and width of the last."""
    blocks: int
    """Residual blocks of a level of the encoder; the decoder has one more."""
    attention: Sequence[int]
    """Heights at which blocks attend."""


class LeveledUNet(nn.Module):
    """Encoder, bottleneck and decoder; every block of the encoder is joined to one after it."""

    def __init__(
        self,
        shape: tuple[int, int, int],
        classes: int,
        layout: Layout,
        *,
        form: Literal["ddpm++", "adm"],
        dropout: float,
        second_time: bool,
    ) -> None:
        super().__init__()
        image, height, _ = shape
        c, last, kind = layout.channels, len(layout.mult) - 1, FORMS[form]
        make = partial(Block, condition=4 * c, form=kind, dropout=dropout)
        self.condition = Condition(classes, 4 * c, second_time=second_time)
        self.entry = nn.Conv2d(image, c, 3, padding=1)
        self.encoder, self.decoder = nn.ModuleList(), nn.ModuleList()
        width, joined = c, [c]
        for level, factor in enumerate(layout.mult):
            attend = height >> level in layout.attention
            if level:
                self.encoder.append(make(width, width, resample="down"))
                joined.append(width)
            for _ in range(layout.blocks):
                self.encoder.append(make(width, c * factor, attend=attend))
                width = c * factor
                joined.append(width)
        self.coarse = Coarse(make(width, width, attend=True), make(width, width))
        for level, factor in reversed([*enumerate(layout.mult)]):
            attend = height >> level in layout.attention
            if level != last:
                self.decoder.append(make(width, width, resample="up"))
            for place in range(layout.blocks + 1):
                late = place == layout.blocks or not kind.attend_late
                self.decoder.append(make(width + joined.pop(), c * factor, attend=attend and late))
                width = c * factor
        self.norm = group_norm(width)
        self.exit = zeroed(nn.Conv2d(width, image, 3, padding=1))

    def forward(self, x: Tensor, noise: Tensor, labels: Tensor, *second: Tensor) -> Tensor:
        """Scaled noisy image (B, C, H, W), noise level (B,), labels (B,) to (B, C, H, W)."""
        condition = self.condition(noise, labels, *second)
        x = self.entry(x)
        joined = [x]
        for block in self.encoder:
            x = block(x, condition)
            joined.append(x)
        x = self.coarse(x, condition)
        for block in self.decoder:
            x = x if block.resample == "up" else torch.cat([x, joined.pop()], dim=1)
            x = block(x, condition)
        out: Tensor = self.exit(F.silu(self.norm(x)))
        return out


def ddpmpp(
    task: Task,
    *,
    form: Literal["ddpm++", "adm"] = "ddpm++",
    channels: int = 128,
    mult: Sequence[int] = (2, 2, 2),
    blocks: int = 4,
    attention: Sequence[int] = (16,),
    dropout: float = 0.13,
    second_time: bool = False,
    null_label: bool = False,
) -> Denoiser:
    """A preconditioned U-Net; by default DDPM++ as it was trained on CIFAR-10.

    That has 55,688,707 parameters. ADM as it was trained on ImageNet-64 has `form = "adm"`, 192
    channels, multipliers 1, 2, 3 and 4, three blocks a level and attention at 32, 16 and 8:
    295,776,387 parameters.

    Args:
        task: whose images can be halved once for every level after the first.
        form: which published network the blocks are those of.
        channels: a multiple of 32, or a small one of 4.
        mult: of the channels, for each level.
        blocks: residual blocks of a level of the encoder.
        attention: heights at which blocks attend.
        dropout: between the convolutions of a block.
        second_time: whether it is told one more number, as flows' networks are.
        null_label: whether it knows images of no given class.

    Raises:
        BadSpec: the images cannot be halved so often, or there is no such form.
    """
    if form not in FORMS or any(side % 2 ** (len(mult) - 1) for side in task.shape[1:]):
        size = "×".join(map(str, task.shape[1:]))
        raise BadSpec(f"ddpmpp@1 has no {form!r} of {len(mult)} levels for images of {size}.")
    network = LeveledUNet(
        task.shape,
        task.classes + null_label,
        Layout(channels, mult, blocks, attention),
        form=form,
        dropout=dropout,
        second_time=second_time,
    )
    return Denoiser(network, task.sigma_data, null_label=task.classes if null_label else None)
