"""What a measuring process is asked for."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from kdbench.costs.effort import Effort
from kdbench.spec import Spec

Figure = Literal["latency", "ratio", "throughput", "memory", "counts", "cold-start", "energy"]


class Job(Spec):
    """One figure of one generator, to be measured in a fresh process, alone."""

    figure: Figure
    build: dict[str, Any]
    """Opaque: what `kdbench.generators.build.build_generator` makes the generator of."""
    against: dict[str, Any] | None = None
    """Opaque: the teacher that a ratio is against."""
    against_label: str | None = None
    """`pair/arm` of the teacher."""
    variant: str = "fp32"
    """Precision, compilation and layout, of both generators."""
    batch: int = Field(1, ge=1)
    """Images a call."""
    boundaries: tuple[str, ...] = ("e2e",)
    """Of a latency."""
    effort: Effort = Effort()
    replicate: int = 0
    """Which inputs: drawn by the parent when the job is made, so that no generator can have seen
    them before, in another process or another year."""
    keep: tuple[int, ...] = ()
    """Numbers of timed rounds whose images are kept, as secret as the inputs. The last round's are
    kept besides."""
    show: tuple[tuple[int, int], ...] = ()
    """Replicate and number of the inputs whose images `counts` draws, without a clock."""
    out: str
    """Where the result is written, as JSON; images go beside it."""
    threads: int = Field(1, ge=1)
    """Threads of torch and its libraries."""
    machine: str
    """Hashed identity of the machine: costs are never compared across machines."""
