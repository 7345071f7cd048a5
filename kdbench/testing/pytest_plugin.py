"""The pytest plug-in: the fixture `kdbench_benchmark`, on top of pytest-benchmark.

Loaded whenever pytest starts where kdbench is installed, so it imports pytest alone; torch comes
with the first measurement.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from kdbench.errors import KdbenchError

if TYPE_CHECKING:
    from kdbench.generators.base import Generator
    from kdbench.record import Cost
    from kdbench.tasks.base import Task
    from kdbench.testing.subject import Timed

    Measure = Callable[..., list[Cost]]

SUPPORTED = "pytest-benchmark 5.1 to 5.3"


def pytest_configure(config: pytest.Config) -> None:
    """Offer the fixture, or in its place what says how to get it."""
    # Asked of its option, not of its name: a plug-in can be loaded under any.
    present = hasattr(config.option, "benchmark_disable")
    config.pluginmanager.register(_Present() if present else _Absent(), "kdbench-benchmark")


class _Present:
    @pytest.fixture
    def kdbench_benchmark(self, benchmark: Any) -> Measure:
        """Measure a generator, compare it from run to run, and return its costs.

        `kdbench_benchmark(subject, *, task=None, against=None, variant="fp32", batch=1,
        profile="glance", boundary="e2e")`, once a test. A registered `pair/arm` is measured in
        fresh processes; a Generator object, with its task, in this one, and marked `in_process`.
        The rounds become ordinary statistics of pytest-benchmark, everything else its
        `extra_info["kdbench"]`.
        """

        def measure(
            subject: str | Generator,
            *,
            task: str | Task | None = None,
            against: str | Generator | None = None,
            variant: str = "fp32",
            batch: int = 1,
            profile: str = "glance",
            boundary: str = "e2e",
        ) -> list[Cost]:
            from kdbench.testing.subject import Asked

            try:
                asked = Asked(subject, task, against, variant, batch, profile, boundary)
                if not benchmark.disabled:
                    return hand_over(benchmark, asked.measure).costs
                asked.draw_once()
            except KdbenchError as error:
                # Chained, it would be printed twice.
                raise pytest.fail.Exception(f"kdbench_benchmark: {error}", pytrace=False) from None
            pytest.skip("drawn once and not timed: benchmarks are disabled")

        return measure


class _Absent:
    @pytest.fixture
    def kdbench_benchmark(self) -> None:
        """Say what is missing: a benchmark that is silently skipped looks like one that passed."""
        pytest.fail(
            "The fixture kdbench_benchmark needs pytest-benchmark: pip install pytest-benchmark",
            pytrace=False,
        )


def hand_over(benchmark: Any, measure: Callable[[], Timed]) -> Timed:
    """Measure, and make the rounds a benchmark's own: the one place that knows how.

    pytest-benchmark has no public way to take rounds that were timed elsewhere, so the steps of
    its own fixture are taken.
    """
    if not (hasattr(benchmark, "_make_stats") and hasattr(benchmark, "_mode")):
        pytest.fail(
            f"kdbench_benchmark works with {SUPPORTED}; the one that is installed keeps its "
            "statistics elsewhere.",
            pytrace=False,
        )
    if benchmark._mode:
        pytest.fail(f"One benchmark a test: this one has used {benchmark._mode}.", pytrace=False)
    benchmark._mode = "kdbench_benchmark(...)"
    timed = measure()
    benchmark.extra_info["kdbench"] = timed.facts
    stats = benchmark._make_stats(1)
    for seconds in timed.rounds_s:
        stats.update(seconds)
    return timed
