"""The costs that are counted, not timed: parameters, multiply–accumulates, evaluations."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from kdbench.costs.boundary import EndToEnd
from kdbench.costs.config import network_of
from kdbench.costs.macs import COUNTER
from kdbench.costs.parameters import count_parameters
from kdbench.costs.sampling import Sampling, count_sampling
from kdbench.generators.base import Inputs
from kdbench.record import Cost
from kdbench.spec import content_key


def counts(subject: EndToEnd, inputs: Inputs, *, weights: Path | str | None = None) -> list[Cost]:
    """`parameters`, `macs` and `nfe` of one image, from one whole sampling of it.

    Parameters are those of the network as it is timed. Multiply–accumulates are counted eagerly;
    precision and layout do not change them.

    Args:
        subject: the generator, in any variant.
        inputs: of one image.
        weights: the file that the network was loaded from.
    """
    sampling, nfe = count_sampling(subject, inputs), subject.generator.nfe
    return [
        _parameters(network_of(subject.generator), weights),
        _macs(sampling, nfe),
        _nfe(nfe, sampling),
    ]


def _parameters(network: nn.Module | None, weights: Path | str | None) -> Cost:
    counted = None if network is None else count_parameters(network)
    reason = None if counted and counted.count else "the generator holds no network with parameters"
    return Cost(
        metric="parameters",
        unit="parameters",
        value=counted.count if counted and counted.count else None,
        reason=reason,
        stat="count",
        config_key=content_key({}),
        details={
            "bytes": counted.bytes if counted else None,
            "buffer_bytes": counted.buffer_bytes if counted else None,
            "bytes_on_disk": Path(weights).stat().st_size if weights is not None else None,
        },
    )


def _macs(sampling: Sampling, nfe: int) -> Cost:
    # Zero is a count where no network is called, and a miss where one is.
    macs = sampling.macs
    missed = macs.total == 0 and nfe > 0
    incomplete = [f"macs_incomplete:{','.join(macs.unknown)}"] if macs.unknown else []
    return Cost(
        metric="macs",
        unit="MAC/image",
        value=None if missed else macs.total,
        reason="no operation that the counter knows was dispatched" if missed else None,
        stat="count",
        boundary="e2e",
        batch=1,
        config_key=content_key({"counter": COUNTER}),
        marks=[*incomplete, *(["macs_disagree"] if sampling.disagrees else [])],
        details={
            "counter": COUNTER,
            "core_macs": sampling.core_macs,
            "rest_macs": sampling.rest_macs,
        },
    )


def _nfe(declared: int, sampling: Sampling) -> Cost:
    counted = sum(sampling.sizes)
    differs = counted > 0 and counted != declared
    return Cost(
        metric="nfe",
        unit="evaluations/image",
        value=declared,
        stat="count",
        config_key=content_key({}),
        marks=[f"nfe_counted:{counted}"] if differs else [],
        details={"counted": counted or None, "calls": len(sampling.sizes) or None},
    )
