"""Metrics that a command names: checked before anything is run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from kdbench import registry
from kdbench.errors import BadSpec
from kdbench.metrics.base import TASK_EXTRACTOR, Use
from kdbench.metrics.features.base import make_extractor
from kdbench.metrics.naming import measured_name, parse_use, shared_metric
from kdbench.metrics.protocols import protocol_metrics


def requested_metrics(
    names: Iterable[str], protocols: Iterable[str] = (), *, tasks: Sequence[str] = ()
) -> tuple[str, ...]:
    """The metrics of these names and protocols, each once, under their full names.

    A metric that a task lists and that lacks its weights is recorded without a value; one that
    somebody asks for by name and that cannot be measured is an error, before any time is spent.

    Args:
        names: as in `parse_use`.
        protocols: whose metrics are wanted as well.
        tasks: names of the tasks that are to be measured.

    Raises:
        UnknownName: no such metric, extractor or protocol.
        BadSpec: a metric that takes no extractor is asked for in one, or one that takes the task's
            is asked for without naming another, on a task that has none.
        WeightsError: an extractor's weights are missing or damaged.

    Example:
        >>> requested_metrics(["vendi[digits-cnn]", "psnr"])
        ('vendi[digits-cnn]@1', 'psnr@1')
    """
    written = [*names, *(name for protocol in protocols for name in protocol_metrics(protocol))]
    uses = [parse_use(name, n=1) for name in written]
    found = [measured_name(shared_metric(use.metric), use) for use in uses]
    for extractor in dict.fromkeys(name for use in uses for name in _extractors(use, tasks)):
        make_extractor(extractor)
    return tuple(dict.fromkeys(found))


def _extractors(use: Use, tasks: Sequence[str]) -> Iterator[str]:
    """Names of extractors that a metric needs on these tasks."""
    metric = shared_metric(use.metric)
    name = use.extractor or metric.extractor
    if name != TASK_EXTRACTOR:
        yield from [name] if name else []
        return
    for task in tasks:
        own = registry.tasks.load(task)().extractor
        if own is None:
            raise BadSpec(
                f"{metric.id} needs features and {task} has no extractor of its own: name one, as "
                f"in {metric.name}[inception-v3-compat]."
            )
        yield own
