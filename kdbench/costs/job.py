"""What a measuring process is asked for."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from kdbench.spec import Spec


class Job(Spec):
    """One generator to be measured in a fresh process, alone."""

    build: dict[str, Any]
    """Opaque: what `kdbench.generators.build.build_generator` makes the generator of."""
    against: dict[str, Any] | None = None
    """Opaque: the teacher that the speed-up is against; None measures no speed-up."""
    against_label: str | None = None
    """`pair/arm` of the teacher."""
    batches: tuple[int, ...] = Field((1, 64), min_length=1)
    """Images a call; the largest one is also the batch that memory is measured at."""
    out: str
    """Where the result is written, as JSON."""
    threads: int = Field(1, ge=1)
    """Threads of torch and its libraries."""
    machine: str
    """Hashed identity of the machine: costs are never compared across machines."""
