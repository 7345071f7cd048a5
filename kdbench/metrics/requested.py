"""Metrics that a command names: checked before anything is run."""

from __future__ import annotations

from collections.abc import Iterable

from kdbench.metrics.base import TASK_EXTRACTOR, Use
from kdbench.metrics.features.base import shared_extractor
from kdbench.metrics.naming import measured_name, parse_use, shared_metric
from kdbench.metrics.protocols import protocol_metrics


def requested_metrics(names: Iterable[str], protocols: Iterable[str] = ()) -> tuple[str, ...]:
    """The metrics of these names and protocols, each once, under their full names.

    A metric that a task lists and that lacks its weights is recorded without a value; one that
    somebody asks for by name and that cannot be measured is an error, before any time is spent.

    Args:
        names: as in `parse_use`.
        protocols: whose metrics are wanted as well.

    Raises:
        UnknownName: no such metric, extractor or protocol.
        BadSpec: a metric that takes no extractor is asked for in one.
        WeightsError: an extractor's weights are missing or damaged.

    Example:
        >>> requested_metrics(["fd[digits-cnn]", "kid"])
        ('fd[digits-cnn]@1', 'kid@1')
    """
    written = [*names, *(name for protocol in protocols for name in protocol_metrics(protocol))]
    uses = [parse_use(name, n=1) for name in written]
    found = tuple(dict.fromkeys(measured_name(shared_metric(use.metric), use) for use in uses))
    for extractor in dict.fromkeys(map(_extractor, uses)):
        if extractor not in (None, TASK_EXTRACTOR):
            shared_extractor(str(extractor))
    return found


def _extractor(use: Use) -> str | None:
    return use.extractor or shared_metric(use.metric).extractor
