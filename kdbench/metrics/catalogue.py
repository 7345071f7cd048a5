"""All metrics on one page: `python -m kdbench.metrics.catalogue --write docs/metrics.md`."""

from __future__ import annotations

import inspect
from pathlib import Path

import click

from kdbench import registry
from kdbench.metrics.base import TASK_EXTRACTOR, Metric
from kdbench.metrics.naming import shared_metric
from kdbench.store import write_atomically

_HEAD = """\
# Metrics

Made by `python -m kdbench.metrics.catalogue --write docs/metrics.md`; do not edit.

Every value is recorded with its n, interval, reference, extractor and protocol. Values under
different protocols are never averaged, ranked or subtracted. A metric whose extractor has no
weights here is recorded without a value and with what is missing (`kdbench doctor`). *task* stands
for the extractor of the task that is measured; such a metric can be had in any other features:
`fd[dinov2-vit-l14]`.

What each metric sees, and what it is blind to, is measured in [failures.md](failures.md); how fast
they are beside other implementations in [speed.md](speed.md).
"""
_KINDS = {
    "set": "Of a set of images",
    "paired": "Of pairs of images, averaged",
    "per-image": "Of single images, averaged",
    "generator": "Of a generator",
}


def write_catalogue() -> str:
    """Every registered metric as Markdown, by kind and name."""
    metrics = [shared_metric(name) for name in registry.metrics]
    parts = [_HEAD]
    for kind, heading in _KINDS.items():
        own = [metric for metric in metrics if metric.kind == kind]
        if own:
            parts += [f"## {heading}", *map(_entry, own)]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _entry(metric: Metric) -> str:
    facts = {
        "better": {True: "higher", False: "lower", None: "neither by itself"}[
            metric.higher_is_better
        ],
        "unit": metric.unit,
        "bounds": _bounds(metric),
        "compared with": ", ".join(metric.sets) or None,
        "extractor": "*task*" if metric.extractor == TASK_EXTRACTOR else metric.extractor,
        "marked below": f"{metric.few:,} images" if metric.few else None,
        "protocol": metric.protocol or None,
        "source": metric.source or None,
    }
    lines = [f"- {name}: {value}" for name, value in facts.items() if value]
    return "\n".join([f"### `{metric.id}`", "", _said(metric), "", *lines])


def _bounds(metric: Metric) -> str | None:
    low, high = metric.bounds
    if low is None and high is None:
        return None
    return f"{'−∞' if low is None else f'{low:g}'} to {'∞' if high is None else f'{high:g}'}"


def _said(metric: Metric) -> str:
    """The docstring up to its sections."""
    said = inspect.getdoc(metric.function) or ""
    for section in ("\nArgs:", "\nReturns:", "\nRaises:", "\nExample", "\nSource", "\n>>>"):
        said = said.partition(section)[0]
    return said.strip()


@click.command()
@click.option("--write", type=click.Path(path_type=Path, dir_okay=False), help="The page to write.")
def main(write: Path | None) -> None:
    """Print the catalogue of metrics, or write it."""
    page = write_catalogue()
    if write is None:
        click.echo(page)
    else:
        write_atomically(write, page.encode())
        click.echo(f"wrote {write}")


if __name__ == "__main__":
    main()
