"""What several metrics share is computed once and lives as long as its image set, no longer."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from kdbench.metrics.base import ImageSet

P = ParamSpec("P")
R = TypeVar("R")


def remembered(function: Callable[P, R]) -> Callable[P, R]:
    """A function of one or two image sets whose results are kept on the first of them.

    A result goes when either set does: a cache of the function's own would hold sets, and with
    them all their features, until the process ends. For that the result must hold neither set.

    Args:
        function: of one or two image sets, and anything hashable besides.

    >>> import torch
    >>> @remembered
    ... def mean(images, scale):
    ...     print("computed")
    ...     return scale * float(images.images.mean())
    >>> images = ImageSet(torch.ones(2, 1, 1, 1), torch.zeros(2))
    >>> mean(images, 3), mean(images, 3)
    computed
    (3.0, 3.0)
    """

    @wraps(function)
    def once(*args: P.args, **kwargs: P.kwargs) -> R:
        given = [*args, *kwargs.values()]
        sets = [one for one in given if isinstance(one, ImageSet)]
        first, last = sets if len(sets) == 2 else sets * 2
        rest = tuple(one for one in given if not isinstance(one, ImageSet))
        known = first.remembered.setdefault(last, {})
        key = (once, tuple(kwargs), rest)
        if key not in known:
            known[key] = function(*args, **kwargs)
        found: R = known[key]
        return found

    return once
