"""How the networks that judge digits were made: `python -m kdbench.metrics.features.recipe`.

Trains both from their seeds, prints accuracy and SHA-256 beside the published ones, and with
`--write` replaces them. About 40 seconds on one core.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import click
import torch
from torch import Tensor, nn

from kdbench.errors import UnknownName
from kdbench.metrics.features.digits import DigitsCNN, DigitsMLP, train_classifier
from kdbench.seeds import seed
from kdbench.tasks.digits import Digits
from kdbench.training.checkpoint import network_bytes
from kdbench.weights import WeightCard, cards, write_weights

JUDGES: dict[str, type[nn.Module]] = {"digits-cnn": DigitsCNN, "digits-aux": DigitsMLP}
DATA = (
    "scikit-learn's digits (Alpaydin and Kaynak 1998, UCI, CC BY 4.0), "
    "training split of digits@1 (1,000 images) only"
)


def make_judge(name: str, *, steps: int = 1500) -> nn.Module:
    """Train one judge from its own seed."""
    torch.set_num_threads(1)
    split = Digits().split("train")
    torch.manual_seed(seed("judge", name))
    return train_classifier(
        JUDGES[name](), split.images, split.labels, seed=seed("judge", name, "updates"), steps=steps
    )


def accuracy(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Share of images whose largest logit is their label."""
    with torch.inference_mode():
        return float((network(images)[1].argmax(1) == labels).double().mean())


@click.command()
@click.option("--write", is_flag=True, help="Replace the published weights by what was made.")
def main(write: bool) -> None:
    """Make the judges again and compare them with the published ones."""
    held_out = Digits().split("held-out")
    for name in JUDGES:
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
            card = WeightCard(
                name=name,
                sha256=sha256,
                recipe="python -m kdbench.metrics.features.recipe --write",
                data=DATA,
                figures={"held_out_accuracy": right},
                summary=str(DigitsMLP.__doc__ if name == "digits-aux" else DigitsCNN.__doc__),
            )
            write_weights(Path(__file__).parent / "weights", card, data)


if __name__ == "__main__":
    main()
