"""A smaller denoiser learns the data, its teacher's output and its teacher's blocks.

Kim et al. 2023, BK-SDM, arXiv:2305.15798, section 3.3:
λ_task·‖S − x‖² + λ_out·‖S − T‖² + λ_feat·Σ_l ‖A_l S_l − T_l‖², weights 1 in the official code. Two
things differ: the paper removes blocks and copies the others, so its features fit without A, while
here a student may be narrower, and then A_l is a 1×1 convolution as in FitNets (Romero et al. 2015,
arXiv:1412.6550) that is trained beside it and thrown away; and errors have EDM's weight λ(σ), where
the paper predicts ε.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from kdbench_baselines.diffusion.precondition import denoising_weight
from kdbench_baselines.diffusion.taps import tapped
from pydantic import Field
from torch import Tensor, nn

from kdbench.errors import BadSpec
from kdbench.spec import Spec
from kdbench.training.ledger import CountedTeacher
from kdbench.training.method import Batch, Method


class BlockDistillationParams(Spec):
    """The weights of the three terms, the blocks that are compared, and the training noise."""

    task: float = 1.0
    """λ_task, of real images."""
    output: float = 1.0
    """λ_out."""
    feature: float = 1.0
    """λ_feat, of the sum over blocks of mean squared errors."""
    blocks: dict[str, str] = Field(
        default_factory=lambda: {
            path: path for path in ("network.fine", "network.coarse", "network.merge")
        }
    )
    """Path of a student's module, and of the teacher's that it follows. The default is for `unet`;
    without any, what is left is output distillation."""
    p_mean: float = -1.2
    """Mean of ln σ."""
    p_std: float = 1.2
    """Standard deviation of ln σ."""


class BlockDistillation(Method):
    """Follow a teacher's output and blocks on noisy real images."""

    Params = BlockDistillationParams
    uses = ("real images", "teacher outputs", "teacher features")
    params: BlockDistillationParams

    def prepare(self, student: nn.Module, teacher: nn.Module | None) -> None:
        """Look at the shapes of the blocks with one image; not charged, as no update is."""
        assert isinstance(teacher, CountedTeacher)
        task, device, paths = self.setting.task, self.setting.device, self.params.blocks
        inputs = (torch.zeros(1, *task.shape), torch.ones(1), torch.zeros(1, dtype=torch.int64))
        there = [tensor.to(device) for tensor in inputs]
        with torch.no_grad(), tapped(student, paths) as own:
            student(*there)
        with torch.no_grad(), tapped(teacher.network, paths.values()) as others:
            teacher.network(*there)
        self._shapes = [
            (path, tuple(own[path].shape[1:]), tuple(others[theirs].shape[1:]))
            for path, theirs in paths.items()
        ]

    def extra_networks(self) -> dict[str, nn.Module]:
        """The adapters, if any has weights."""
        self.adapters = nn.ModuleList(adapter(*shapes) for shapes in self._shapes)
        self.adapters.to(self.setting.device)
        trained = any(True for _ in self.adapters.parameters())
        self.phases = ("student", "adapters") if trained else ("student",)
        return {"adapters": self.adapters} if trained else {}

    def loss(self, student: nn.Module, teacher: nn.Module | None, batch: Batch) -> Tensor:
        """The weighted sum of the three terms."""
        p = self.params
        terms = self.terms(student, teacher, batch)
        return p.task * terms[0] + p.output * terms[1] + p.feature * terms[2]

    def terms(
        self, student: nn.Module, teacher: nn.Module | None, batch: Batch
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The errors to the data, to the teacher's output and to its blocks, without weights."""
        assert isinstance(teacher, CountedTeacher)
        x, blocks = batch.images, self.params.blocks
        sigma = (
            self.params.p_mean + self.params.p_std * torch.randn(len(x), device=x.device)
        ).exp()
        noisy = x + sigma.view(-1, 1, 1, 1) * torch.randn_like(x)
        with torch.no_grad(), tapped(teacher.network, blocks.values()) as others:
            target = teacher(noisy, sigma, batch.labels)
        with tapped(student, blocks) as own:
            denoised = student(noisy, sigma, batch.labels)
        weight = denoising_weight(sigma, self.setting.task.sigma_data)
        self._own = [own[path] for path in blocks]
        self._others = [others[path] for path in blocks.values()]
        return (
            (weight * (denoised - x).square().mean(dim=(1, 2, 3))).mean(),
            (weight * (denoised - target).square().mean(dim=(1, 2, 3))).mean(),
            feature_error(self.adapters, self._own, self._others),
        )

    def extra_loss(
        self, phase: str, student: nn.Module, teacher: nn.Module | None, batch: Batch
    ) -> Tensor:
        """The adapters' own error on the features that the student's update has just seen."""
        own = [features.detach() for features in self._own]
        return feature_error(self.adapters, own, self._others)


def feature_error(
    adapters: Iterable[nn.Module], own: Sequence[Tensor], others: Sequence[Tensor]
) -> Tensor:
    """Σ_l of the mean of (A_l S_l − T_l)², over features (B, C, H, W)."""
    errors = (
        (fit(features) - target).square().mean()
        for fit, features, target in zip(adapters, own, others, strict=True)
    )
    return sum(errors, start=torch.zeros(()))


def adapter(path: str, own: tuple[int, ...], other: tuple[int, ...]) -> nn.Module:
    """What brings a student's features to the width of its teacher's.

    Args:
        path: of the block, for messages.
        own, other: shapes of one image's features, (C, H, W).

    Raises:
        BadSpec: they are not pictures of one size.
    """
    if len(own) != 3 or own[1:] != other[1:]:
        raise BadSpec(
            f"The block {path!r} gives {own}, its teacher's {other}: both must be (C, H, W) of "
            "one H and W."
        )
    return nn.Identity() if own == other else nn.Conv2d(own[0], other[0], 1)
