"""How the judges of a task were made: `python -m kdbench.metrics.features.recipe [TASK]`.

Trains both from their seeds, prints accuracy and SHA-256 beside the published ones, and with
`--write` replaces them. On one core about 40 seconds for digits, 3 minutes for mnist and an hour
for cifar10, whose images must be in the folder that KDBENCH_DATA names.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click
import torch
from torch import Tensor, nn

from kdbench.errors import KdbenchError, UnknownName
from kdbench.metrics.features.cifar10 import cifar10_aux_network, cifar10_cnn_network
from kdbench.metrics.features.classifiers import train_classifier
from kdbench.metrics.features.digits import DigitsCNN, DigitsMLP
from kdbench.metrics.features.mnist import mnist_aux_network, mnist_cnn_network
from kdbench.seeds import seed
from kdbench.tasks.base import Task
from kdbench.tasks.cifar10 import Cifar10, Cifar10Jpeg
from kdbench.tasks.digits import Digits
from kdbench.tasks.mnist import Mnist
from kdbench.training.checkpoint import network_bytes
from kdbench.weights import WeightCard, cards, write_weights


@dataclass(frozen=True)
class Recipe:
    """The two judges of a task and how they are trained."""

    task: Callable[[], Task]
    cnn: Callable[[], nn.Module]
    aux: Callable[[], nn.Module]
    data: str
    """Source and terms of the images, for the cards."""
    command: str
    steps: int = 1500
    mirrored: bool = False


COMMAND = "python -m kdbench.metrics.features.recipe"
_CIFAR = "CIFAR-10 (Krizhevsky 2009; no licence stated)"

RECIPES = {
    "digits": Recipe(
        *(Digits, DigitsCNN, DigitsMLP),
        "scikit-learn's digits (Alpaydin and Kaynak 1998, UCI, CC BY 4.0), "
        "training split of digits@1 (1,000 images) only",
        f"{COMMAND} --write",
    ),
    "mnist": Recipe(
        *(Mnist, mnist_cnn_network, mnist_aux_network),
        "MNIST (LeCun, Cortes and Burges, CC BY-SA 3.0), "
        "training split of mnist@1 (55,000 images) only",
        f"{COMMAND} mnist --write",
    ),
    "cifar10": Recipe(
        *(Cifar10, cifar10_cnn_network, cifar10_aux_network),
        f"{_CIFAR}, training split of cifar10@1 (45,000 images) only",
        f"{COMMAND} cifar10 --write",
        steps=8000,
        mirrored=True,
    ),
    "cifar10-jpeg": Recipe(
        *(Cifar10Jpeg, cifar10_cnn_network, cifar10_aux_network),
        f"{_CIFAR}, compressed again as JPEG, training split of cifar10-jpeg@1 (45,000 images) "
        "only",
        f"{COMMAND} cifar10-jpeg --write",
        steps=8000,
        mirrored=True,
    ),
}


def make_judge(name: str, *, steps: int | None = None) -> nn.Module:
    """Train one judge, e.g. `mnist-aux`, from its own seed."""
    torch.set_num_threads(1)
    task, _, kind = name.rpartition("-")
    recipe = RECIPES[task]
    split = recipe.task().split("train")
    torch.manual_seed(seed("judge", name))
    return train_classifier(
        recipe.cnn() if kind == "cnn" else recipe.aux(),
        *(split.images, split.labels),
        seed=seed("judge", name, "updates"),
        steps=recipe.steps if steps is None else steps,
        mirrored=recipe.mirrored,
    )


def accuracy(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Share of images whose largest logit is their label."""
    with torch.inference_mode():
        found = torch.cat([network(part)[1].argmax(1) for part in torch.split(images, 500)])
    return float((found == labels).double().mean())


@click.command()
@click.argument("task", type=click.Choice(list(RECIPES)), default="digits")
@click.option("--write", is_flag=True, help="Replace the published weights by what was made.")
def main(task: str, write: bool) -> None:
    """Make the judges of TASK again and compare them with the published ones."""
    held_out = RECIPES[task].task().split("held-out")
    for name in (f"{task}-cnn", f"{task}-aux"):
        network = make_judge(name)
        data = network_bytes(network)
        right = accuracy(network, held_out.images, held_out.labels)
        sha256 = hashlib.sha256(data).hexdigest()
        try:
            same = cards.load(name).sha256 == sha256
        except UnknownName:
            same = False
        click.echo(f"{name}: held-out accuracy {right:.3f}, sha256 {sha256[:16]}…, same: {same}")
        if write:
            card = _card(name, RECIPES[task], network, sha256=sha256, accuracy=right)
            write_weights(Path(__file__).parent / "weights", card, data)


def _card(
    name: str, recipe: Recipe, network: nn.Module, *, sha256: str, accuracy: float
) -> WeightCard:
    return WeightCard(
        name=name,
        sha256=sha256,
        recipe=recipe.command,
        data=recipe.data,
        figures={"held_out_accuracy": accuracy},
        summary=str(type(network).__doc__).partition("\n")[0],
    )


if __name__ == "__main__":
    try:
        main()
    except KdbenchError as error:
        sys.exit(f"kdbench: {error}")
