"""Search the few-step grids of a denoiser: `python -m kdbench_baselines.tuning.grids digits-edm`.

A few-step control is fair only with its best sampler and grid. This tries a fixed list of them at
1, 2 and 4 calls on the validation split alone, with latents that no suite uses, and writes
`baselines/tuning/grids-<pair>.json`.
"""

from __future__ import annotations

import itertools
import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import torch

from kdbench import registry
from kdbench.errors import KdbenchError
from kdbench.generators.base import sample
from kdbench.generators.build import build_sampler, load_network
from kdbench.generators.direct import NetworkGenerator
from kdbench.metrics.base import Estimate
from kdbench.metrics.naming import shared_metric
from kdbench.scoring import image_set, reference_set
from kdbench.spec import Sampling
from kdbench.stages import Stages, shared_task
from kdbench.store import Store, write_atomically

SEEDS = (100, 101)
"""One for each published teacher; not those of any suite."""

ONE_CALL = (1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 40.0)
TWO_CALLS = itertools.product(
    (1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 40.0), (0.2, 0.3, 0.5, 0.8, 1.2)
)
FOUR_CALLS = itertools.product(
    (2.0, 3.0, 5.0, 10.0, 20.0, 40.0), (0.05, 0.1, 0.2, 0.4), (2.0, 3.0, 5.0)
)


def candidates() -> Iterator[Sampling]:
    """Every sampler and grid that is tried."""
    for sigma in ONE_CALL:
        yield Sampling(sampler="euler@1", args={"sigmas": [sigma]})
    for first, second in TWO_CALLS:
        yield Sampling(sampler="euler@1", args={"sigmas": [first, second]})
    for high, low, rho in FOUR_CALLS:
        levels = {"steps": 4, "sigma_max": high, "sigma_min": low, "rho": rho}
        for sampler in ("euler@1", "multistep@1"):
            yield Sampling(sampler=sampler, args=levels)


def search(name: str, out: Path) -> list[dict[str, Any]]:
    """Mean main metric on validation over `SEEDS` of every candidate, the best first."""
    pair = registry.pairs.load(name)
    task = shared_task(pair.task)
    metric, reference = shared_metric(task.main), reference_set(task.id, "validation")
    stages = Stages(Store(out))
    networks = [load_network(pair, task, stages.network(pair, seed=s).path) for s in SEEDS]
    inputs = [task.inputs(task.n, split="validation", replicate=seed) for seed in SEEDS]
    rows = []
    for sampling in candidates():
        sampler = build_sampler(sampling)
        values: list[float] = []
        for network, own in zip(networks, inputs, strict=True):
            images = task.finish(sample(NetworkGenerator(network, sampler, task), own))
            found = metric(image_set(task, images, own.labels), reference)
            assert isinstance(found, Estimate)
            values.append(math.inf if found.value is None else found.value)
        rows.append(
            {
                "nfe": sampler.nfe,
                "sampler": sampling.sampler,
                "args": sampling.args,
                "metric": metric.id,
                "validation": mean if math.isfinite(mean := sum(values) / len(values)) else None,
                "seeds": list(SEEDS),
                "n": task.n,
            }
        )
    return sorted(rows, key=_rank)


def _rank(row: dict[str, Any]) -> tuple[int, float]:
    value = row["validation"]
    return row["nfe"], math.inf if value is None else value


@click.command()
@click.argument("name")
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs/tuning"))
def main(name: str, out: Path) -> None:
    """Search the grids of the pair NAME and write down every value."""
    torch.set_num_threads(1)
    rows = search(name, out)
    path = Path(__file__).parent / f"grids-{name}.json"
    write_atomically(path, (json.dumps(rows, indent=1) + "\n").encode())
    for nfe, group in itertools.groupby(rows, key=lambda row: row["nfe"]):
        for row in itertools.islice(group, 3):
            click.echo(f"{nfe} calls {row['validation']:+.4f} {row['sampler']} {row['args']}")


if __name__ == "__main__":
    try:
        main()
    except KdbenchError as error:
        sys.exit(f"kdbench: {error}")
