"""Metrics by name, and in another extractor's features: `fd[inception-v3-compat]@1`."""

from __future__ import annotations

import re
from functools import cache

from kdbench import registry
from kdbench.errors import BadSpec
from kdbench.metrics.base import TASK_EXTRACTOR, Metric, Use
from kdbench.metrics.features.base import Extractor, shared_extractor

_WRITTEN = re.compile(r"(?P<name>[^\[\]@]+)(\[(?P<extractor>[^\[\]]+)\])?(?P<version>@\d+)?")


def parse_use(text: str, *, n: int) -> Use:
    """The metric, and the extractor if one is named, that `text` stands for.

    Args:
        text: `name`, `name@version`, or either with `[extractor]` after the name.
        n: images a block.

    Raises:
        UnknownName: no such metric or extractor.
        BadSpec: `text` is not written like a metric.

    Example:
        >>> parse_use("fd[digits-cnn]", n=1000)
        Use(metric='fd@1', n=1000, blocks=1, extractor='digits-cnn@1')
    """
    parts = _WRITTEN.fullmatch(text.strip())
    if parts is None:
        raise BadSpec(f"{text!r} is not a metric: write name, name@version or name[extractor].")
    metric = registry.metrics.resolve(parts["name"] + (parts["version"] or ""))
    asked = parts["extractor"]
    return Use(metric, n=n, extractor=registry.extractors.resolve(asked) if asked else None)


def measured_name(metric: Metric, use: Use) -> str:
    """The name under which a value is recorded: with the extractor where the use chose one.

    Raises:
        BadSpec: the metric means one extractor, or none, and the use names another.
    """
    if use.extractor is None:
        return metric.id
    if metric.extractor != TASK_EXTRACTOR:
        takes = f"is measured in {metric.extractor}" if metric.extractor else "takes no extractor"
        raise BadSpec(f"{metric.id} {takes}: it cannot be measured in {use.extractor}.")
    return f"{metric.name}[{use.extractor.partition('@')[0]}]@{metric.version}"


@cache
def shared_metric(name: str) -> Metric:
    """A registered metric, checked to be one."""
    metric = registry.metrics.load(name)
    if not isinstance(metric, Metric):
        raise BadSpec(f"The metric {name!r} is not made with @kdbench.metric.")
    return metric


def judge_of(metric: Metric, use: Use, *, default: str | None) -> Extractor | None:
    """The extractor that a metric is measured with, loaded once for the whole process.

    Args:
        metric: which metric.
        use: may choose another extractor.
        default: what stands for the task's extractor.

    Returns:
        None for a metric that needs no extractor.

    Raises:
        WeightsError: the extractor's weights are missing or damaged.
        BadSpec: the metric needs the task's extractor and there is none.
    """
    name = use.extractor or metric.extractor
    if name == TASK_EXTRACTOR:
        name = default
        if name is None:
            raise BadSpec(
                f"{metric.id} needs features and the task has no extractor of its own: "
                f"name one, as in {metric.name}[inception-v3-compat]."
            )
    return shared_extractor(name) if name else None
