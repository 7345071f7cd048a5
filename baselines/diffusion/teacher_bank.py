"""A teacher's answers made once and drawn from, for teachers that cost more than their students."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from kdbench.seeds import seed
from kdbench.training.method import Setting

CHUNK = 250


def teacher_bank(
    setting: Setting,
    size: int,
    identity: dict[str, Any],
    answer: Callable[[Tensor, Tensor], dict[str, Tensor]],
) -> dict[str, Tensor]:
    """Rows of `answer(images, labels)`, the same for every student of this teacher.

    Args:
        setting: whose task's training images are drawn with replacement, and whose cache is used.
        size: rows, rounded up to whole chunks.
        identity: what the answers depend on beside the teacher and the task.
        answer: asks the teacher about a chunk; draws from torch's global generator.

    Returns:
        Tensors of `size` rows each, on the training's device.
    """
    task = setting.task

    def fill() -> dict[str, Tensor]:
        split = task.split("train")
        torch.manual_seed(seed("teacher bank", task.id))
        parts = []
        for _ in range(0, size, CHUNK):
            chosen = torch.randint(len(split), (CHUNK,))
            images = task.encode(split.images[chosen]).to(setting.device)
            parts.append(answer(images, split.labels[chosen].to(setting.device)))
        return {name: torch.cat([part[name].cpu() for part in parts]) for name in parts[0]}

    whole = {"teacher": setting.teacher_sha256, "task": task.id, "rows": size, **identity}
    made = setting.cached("teacher bank", whole, fill)
    return {name: part.to(setting.device) for name, part in made.items()}


def draw(bank: dict[str, Tensor], rows: int) -> dict[str, Tensor]:
    """Rows of a bank, drawn with replacement."""
    first = next(iter(bank.values()))
    chosen = torch.randint(len(first), (rows,)).to(first.device)
    return {name: part[chosen] for name, part in bank.items()}
