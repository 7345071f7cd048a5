"""Cold start: from nothing to the first image, in a process that has just begun."""

from __future__ import annotations

from collections.abc import Callable

# Bound here, before the code of any generator is imported and could replace it.
from time import perf_counter_ns

import torch

from kdbench.costs.boundary import Boundary, Prepared
from kdbench.costs.config import Config, config_key
from kdbench.record import Cost


def first_images(
    place: Callable[[], Callable[[str], tuple[Boundary, Config]]],
    *,
    batch: int,
    replicate: int,
    import_s: float,
) -> Cost:
    """Seconds from the start of imports to the first images on the host.

    The interpreter's own start, some hundredths of a second, is not in it. A compiled generator
    compiles in its first call: `first_s` less `second_s` is what that takes.

    Args:
        place: builds the generator: network, weights from their file, the way to the device.
        batch: images a call.
        replicate: which inputs.
        import_s: seconds that the imports took.
    """
    start = perf_counter_ns()
    subject, config = place()("e2e")
    built = perf_counter_ns()
    inputs = subject.task.inputs(2 * batch, split="held-out", replicate=replicate)
    given = [subject.prepare(inputs.take(slice(i * batch, (i + 1) * batch))) for i in range(2)]
    calls = [_seconds(subject, one, batch) for one in given]
    build_s = (built - start) / 1e9
    return Cost(
        metric="cold_start_s",
        unit="s",
        value=import_s + build_s + calls[0],
        stat="total",
        boundary="e2e",
        batch=batch,
        n=1,
        config_key=config_key(config, batch=batch, boundary="e2e"),
        details={
            "import_s": import_s,
            "build_s": build_s,
            "first_s": calls[0],
            "second_s": calls[1],
        },
    )


def _seconds(subject: Boundary, given: Prepared, batch: int) -> float:
    subject.synchronise()
    start = perf_counter_ns()
    with torch.inference_mode():
        output = subject(given)
    subject.synchronise()
    end = perf_counter_ns()
    subject.check(output, batch)
    return (end - start) / 1e9
