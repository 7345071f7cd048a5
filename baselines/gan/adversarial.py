"""A GAN from scratch: how GAN teachers and the one-call controls learn."""

from __future__ import annotations

import torch
from kdbench_baselines.gan.discriminator import Discriminator
from kdbench_baselines.gan.losses import discriminator_loss, generator_loss
from torch import Tensor, nn

from kdbench.spec import Spec
from kdbench.training.method import Batch, Method


class AdversarialParams(Spec):
    """The discriminator and its penalty."""

    channels: int = 12
    """Channels of the discriminator's first layer."""
    gamma: float = 0.5
    """Weight of the R1 and R2 penalties."""


class Adversarial(Method):
    """Train a generator against a discriminator on real images; no teacher."""

    Params = AdversarialParams
    uses = ("real images",)
    phases = ("discriminator", "student")
    params: AdversarialParams

    def extra_networks(self) -> dict[str, nn.Module]:
        """The discriminator."""
        made = Discriminator(self.setting.task, channels=self.params.channels)
        self.discriminator = made.to(self.setting.device)
        return {"discriminator": self.discriminator}

    def extra_loss(
        self, phase: str, student: nn.Module, teacher: nn.Module | None, batch: Batch
    ) -> Tensor:
        """The discriminator's loss on real images and on the student's of the same labels."""
        with torch.no_grad():
            fake = student(torch.randn_like(batch.images), batch.labels)
        return discriminator_loss(
            self.discriminator, batch.images, fake, batch.labels, gamma=self.params.gamma
        )

    def loss(self, student: nn.Module, teacher: nn.Module | None, batch: Batch) -> Tensor:
        """The generator's loss from fresh latents."""
        fake = student(torch.randn_like(batch.images), batch.labels)
        return generator_loss(self.discriminator, batch.images, fake, batch.labels)
