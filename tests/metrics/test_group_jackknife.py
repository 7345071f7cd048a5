"""A standard error that is 0 but for rounding counts as 0."""

from __future__ import annotations

import pytest
import torch

from kdbench.metrics.group_jackknife import GROUPS, Replicates
from kdbench.metrics.kernel import estimated

VALUE = 8.40493135720877


@pytest.mark.parametrize(("spread", "known"), [(0.0, False), (4e-15, False), (1e-9, True)])
def test_replicates_that_differ_by_rounding_give_no_interval(spread: float, known: bool) -> None:
    left = VALUE + spread * torch.linspace(-1, 1, GROUPS, dtype=torch.float64)[None]
    found = Replicates(VALUE, left).estimate()
    assert (found.interval is not None) == known
    assert ("the same whichever" in (found.reason or "")) != known


@pytest.mark.parametrize(("error", "known"), [(0.0, False), (4e-15, False), (1e-9, True)])
def test_a_kernel_distance_is_judged_alike(error: float, known: bool) -> None:
    found = estimated(-VALUE, error)
    assert (found.interval is not None) == known
    assert ("the same whichever" in (found.reason or "")) != known
