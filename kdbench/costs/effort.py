"""How long a cost is measured: when warming up, rounds and repetitions end."""

from __future__ import annotations

from kdbench.costs.order import half_width
from kdbench.spec import Spec


class Effort(Spec):
    """When warming up and when measuring ends; a cap in seconds ends either whatever the rest."""

    warmup_calls_min: int = 3
    warmup_min_s: float = 0.3
    warmup_max_s: float = 5.0
    rounds_min: int = 30
    rounds_max: int = 300
    measure_min_s: float = 2.0
    measure_max_s: float = 30.0
    half_width: float = 0.01
    """Reached half-width of the median's 95 % interval, as a share of the median."""
    block_s: float = 2.0
    """Shortest time over which throughput is measured."""

    def is_enough(self, values: list[float], elapsed_s: float) -> bool:
        """Whether rounds with these values, taken in this time, can end."""
        if elapsed_s >= self.measure_max_s:
            return True
        if len(values) < self.rounds_min or elapsed_s < self.measure_min_s:
            return False
        if len(values) >= self.rounds_max:
            return True
        width = half_width(values)
        return width is not None and width <= self.half_width
