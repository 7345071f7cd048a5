"""Multiply–accumulates, counted while they are dispatched.

torch.utils.flop_counter counts two operations a multiply–accumulate, from the shapes of matrix
products, convolutions (transposed ones on their input grid) and attention. It counts 0 for what
it has no formula for, so everything else that is dispatched must be known to have none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import (
    FlopCounterMode,
    flop_registry,
    sdpa_backward_flop_count,
    sdpa_flop_count,
)

COUNTER = f"torch.utils.flop_counter/2, torch {torch.__version__}"
"""What must be equal before two counts are divided."""

# Operations without multiply-accumulates that torch tags neither as pointwise nor as a reduction
# and that are no views. Interpolation, pooling and normalisation count 0, as is usual.
_NO_MACS = re.compile(
    r"""
      (new_)?(empty|zeros|ones|full|rand|randn|randint)(_like|_strided|_permuted)?  # makes
    | arange | eye | linspace | logspace | randperm | scalar_tensor | tril | triu
    | bernoulli | exponential | multinomial | normal | random | uniform  # draws
    | clone | copy | detach | fill | resize | zero | _local_scalar_dense | _to_copy  # copies
    | cat | stack | flip | roll | repeat(_interleave)? | (un)?squeeze | _unsafe_view | unfold
    | (unsafe_)?split(_with_sizes)? | im2col | pixel_(un)?shuffle | polar  # rearranges
    | constant_pad_nd | (reflection|replication)_pad[123]d
    | (_unsafe_)?index(_add|_copy|_put|_select)? | embedding | gather | scatter(_add)?  # looks up
    | bucketize | histc | nonzero | searchsorted | sort | topk
    | cum(max|min|prod|sum) | var_mean | (_log|_safe)?_softmax | glu | _prelu_kernel  # scales
    | (cudnn_|_?native_)(batch|group|layer)_norm(_legit(_no_training)?)? | _batch_norm_no_update
    | _fused_rms_norm | native_dropout
    | _?upsample_\w+ | grid_sampler_[23]d  # resamples
    | _?(adaptive_)?(avg|max)_pool[123]d(_with_indices)?
    | _assert_async | _assert_tensor_metadata | _fused_sdp_choice | _linalg_check_errors  # asks
    """,
    re.VERBOSE,
)
_TAGS = {torch.Tag.pointwise, torch.Tag.reduction}

# torch registers its formulas of fused attention for the kernels of CUDA alone. They are given
# shapes, and dropout, masks and scales count nothing.
_MORE_FORMULAS: dict[Any, Callable[..., int]] = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: (
        lambda q, k, v, *_, **__: sdpa_flop_count(q, k, v)  # type: ignore[no-untyped-call]
    ),
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: (
        lambda d, q, k, v, *_, **__: sdpa_backward_flop_count(d, q, k, v)  # type: ignore[no-untyped-call]
    ),
}


@dataclass(frozen=True)
class Macs:
    """A count, and the operations that it may have missed."""

    total: int
    unknown: tuple[str, ...]
    """Dispatched operations with neither a formula nor a known absence of one; then `total` is a
    lower bound."""


class _Unknown(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Lists every dispatched operation that the counter can have missed."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names: set[str] = set()

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if not _is_known(func):
            self.names.add(str(getattr(func, "_overloadpacket", func)))
        return func(*args, **(kwargs or {}))


def count_macs(function: Callable[[], object]) -> Macs:
    """Multiply–accumulates that `function` dispatches, forward and backward as they come.

    >>> layer = torch.nn.Linear(3, 2)
    >>> count_macs(lambda: layer(torch.ones(5, 3))).total
    30
    """
    with counting() as so_far:
        function()
        return so_far()


@contextmanager
def counting() -> Iterator[Callable[[], Macs]]:
    """Counts what is dispatched inside; what it gives tells the count so far.

    The fused path of `nn.MultiheadAttention`, which the counter takes for nothing, is off
    meanwhile. Work outside torch's dispatcher (ONNX Runtime, NumPy) is not seen.
    """
    counter = FlopCounterMode(display=False, custom_mapping=_MORE_FORMULAS)
    # Entered first, the list sees only what the counter could not take apart.
    with _no_fused_attention(), _Unknown() as unknown, counter:
        yield lambda: Macs(counter.get_total_flops() // 2, tuple(sorted(unknown.names)))


def _is_known(func: Any) -> bool:
    packet = getattr(func, "_overloadpacket", func)
    if packet in flop_registry or packet in _MORE_FORMULAS:
        return True
    # Tags are believed of torch's own operations only; a stranger's may carry any.
    if getattr(func, "namespace", None) not in ("aten", "prim"):
        return False
    in_name = _NO_MACS.fullmatch(packet.__name__.removesuffix("_"))
    return func.is_view or bool(_TAGS & set(func.tags)) or in_name is not None


@contextmanager
def _no_fused_attention() -> Iterator[None]:
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
