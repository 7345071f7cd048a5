"""Make the table of failures: `python -m kdbench.metrics.blindness --write docs/failures.md`."""

from __future__ import annotations

from pathlib import Path

import click
import torch
from rich.progress import Progress

from kdbench import registry
from kdbench.metrics.base import Metric
from kdbench.metrics.blindness.mixture import DIMENSIONS
from kdbench.metrics.blindness.page import write_page
from kdbench.metrics.blindness.table import DRAWS, NULL_DRAWS, N, respond
from kdbench.metrics.naming import shared_metric
from kdbench.store import write_atomically

ALIASES = {
    "fid@1": "`fd@1` in Inception features",
    "fd-dinov2@1": "`fd@1` in DINOv2 features",
    "fd-clip@1": "`fd@1` in CLIP features",
    "pairwise-lpips@1": "`feature-distance@1` in the LPIPS embedding",
    "pairwise-lpips-within@1": "`feature-distance-within@1` in the LPIPS embedding",
    "pairwise-lpips-ratio@1": "`feature-distance-ratio@1` in the LPIPS embedding",
    "pairwise-lpips-within-ratio@1": "`feature-distance-within-ratio@1` in the LPIPS embedding",
    "modes-covered@1": "counts the modes of the task `toy` in the plane",
    "wasserstein2@1": "compares points of the plane",
}
"""Set metrics that the mixture could show to, or nearly so, and that have no row of their own."""
PIXELS = "looks at pixels, of which a point has none"


def rows() -> list[Metric]:
    """Every registered set metric that the mixture can show to, by name."""
    return [metric for metric in set_metrics() if metric.id not in left_out()]


def left_out() -> dict[str, str]:
    """Set metrics without a row, and why."""
    pixels = {metric.id: PIXELS for metric in set_metrics() if not metric.needs_features}
    return pixels | ALIASES


def set_metrics() -> list[Metric]:
    """Every registered set metric."""
    metrics = [shared_metric(name) for name in registry.metrics]
    return [metric for metric in metrics if metric.kind == "set"]


@click.command()
@click.option("--write", type=click.Path(path_type=Path, dir_okay=False), help="The page to write.")
@click.option("--metric", "names", multiple=True, help="Only this one; can be given again.")
def main(write: Path | None, names: tuple[str, ...]) -> None:
    """Measure every set metric on generators that fail in known ways (about ten minutes)."""
    torch.set_num_threads(1)
    metrics = [shared_metric(name) for name in names] if names else rows()
    with Progress(transient=True) as bar:
        task = bar.add_task("draws")
        responses = respond(
            metrics, progress=lambda done, total: bar.update(task, completed=done, total=total)
        )
    page = write_page(
        responses,
        aliases=left_out(),
        setting={
            "command": "python -m kdbench.metrics.blindness --write docs/failures.md",
            "dimensions": DIMENSIONS,
            "n": N,
            "null_draws": NULL_DRAWS,
            "draws": DRAWS,
        },
    )
    if write is None:
        click.echo(page)
    else:
        write_atomically(write, page.encode())
        click.echo(f"wrote {write}")


if __name__ == "__main__":
    main()
