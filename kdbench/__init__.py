"""kdbench: benchmark and evaluation suite for distilled image generators.

Public names are loaded when they are first used, so `import kdbench` imports neither torch nor
pandas.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kdbench.evaluating.evaluate import evaluate
    from kdbench.generators.base import Generator, Inputs
    from kdbench.metrics.base import Estimate, ImageSet, Metric, Use, metric
    from kdbench.metrics.collection import Measured, measure_images
    from kdbench.metrics.nearest_images import closest_pairs
    from kdbench.record import Record
    from kdbench.report.results import load_results
    from kdbench.spec import Arm, Budget, Pair, Spec, Suite
    from kdbench.tasks.base import Split, Task
    from kdbench.training.method import Batch, Method, Setting

_HOMES = {
    "Arm": "kdbench.spec",
    "Batch": "kdbench.training.method",
    "Budget": "kdbench.spec",
    "Estimate": "kdbench.metrics.base",
    "Generator": "kdbench.generators.base",
    "ImageSet": "kdbench.metrics.base",
    "Inputs": "kdbench.generators.base",
    "Method": "kdbench.training.method",
    "Metric": "kdbench.metrics.base",
    "Pair": "kdbench.spec",
    "Record": "kdbench.record",
    "Setting": "kdbench.training.method",
    "Spec": "kdbench.spec",
    "Split": "kdbench.tasks.base",
    "Suite": "kdbench.spec",
    "Task": "kdbench.tasks.base",
    "Use": "kdbench.metrics.base",
    "evaluate": "kdbench.evaluating.evaluate",
    "load_results": "kdbench.report.results",
    "Measured": "kdbench.metrics.collection",
    "closest_pairs": "kdbench.metrics.nearest_images",
    "measure_images": "kdbench.metrics.collection",
    "metric": "kdbench.metrics.base",
}

__all__ = [
    "Arm",
    "Batch",
    "Budget",
    "Estimate",
    "Generator",
    "ImageSet",
    "Inputs",
    "Measured",
    "Method",
    "Metric",
    "Pair",
    "Record",
    "Setting",
    "Spec",
    "Split",
    "Suite",
    "Task",
    "Use",
    "closest_pairs",
    "evaluate",
    "load_results",
    "measure_images",
    "metric",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'kdbench' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
