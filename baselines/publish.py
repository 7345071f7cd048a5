"""Publish trained teachers: `python -m kdbench_baselines.publish PAIR --out FOLDER`.

Takes the networks that `kdbench run PAIR --retrain --out FOLDER` left there, one a seed, and puts
them with a card each into the weights folder of the pair's family.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from kdbench import registry
from kdbench.errors import KdbenchError, NothingMeasured
from kdbench.record import Record
from kdbench.spec import Pair
from kdbench.store import Store
from kdbench.weights import WeightCard, write_weights

DATA = {
    "digits@1": "scikit-learn's digits (Alpaydin and Kaynak 1998, UCI, CC BY 4.0), "
    "training split of digits@1 (1,000 images) only",
    "mnist@1": "MNIST (LeCun, Cortes and Burges, CC BY-SA 3.0), training split of mnist@1 "
    "(55,000 images) only",
    "toy@1": "synthetic points of toy@1, training split (20,000 points); no terms",
}


@click.command()
@click.argument("name")
@click.option("--out", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--arm", help="The arm whose figures go on the card; by default the reference arm.")
def main(name: str, out: Path, arm: str | None) -> None:
    """Publish the retrained networks of the pair NAME."""
    pair = registry.pairs.load(name)
    chosen = arm or next(a for a, spec in pair.arms.items() if spec.reference)
    folder = registry.pairs.path(name).parent / "weights"
    for number, weights in enumerate(pair.weights):
        store = Store(out)
        record = store.find_record(pair.task, pair.id, chosen, number)
        if record is None or "checkpoint" not in record.artifacts:
            raise NothingMeasured(
                f"{out} has no retrained {name} of seed {number}. Make it with "
                f"`kdbench run {name} --retrain --seeds 0-{len(pair.weights) - 1} --out {out}`."
            )
        data = store.artifact(record.artifacts["checkpoint"]).read_bytes()
        write_weights(folder, make_card(pair, weights, record), data)
        click.echo(f"published {weights}")


def make_card(pair: Pair, name: str, record: Record) -> WeightCard:
    """The card of one network, with the scores of one of its arms."""
    figures = {
        f"{score.metric.partition('@')[0]} {score.split}": score.value
        for score in record.scores
        if score.value is not None
    }
    count, n = len(pair.weights), max(score.n for score in record.scores)
    return WeightCard(
        name=name,
        sha256=record.artifacts["checkpoint"].partition(".")[0],
        recipe=f"kdbench run {pair.name} --retrain --seeds 0-{count - 1} --out runs/retrained",
        data=DATA[pair.task],
        figures={key.replace(" ", "_").replace("-", "_"): value for key, value in figures.items()},
        summary=f"{pair.summary} Figures: arm {record.identity.arm}, {n} images.",
    )


if __name__ == "__main__":
    try:
        main()
    except KdbenchError as error:
        sys.exit(f"kdbench: {error}")
