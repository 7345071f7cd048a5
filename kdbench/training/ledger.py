"""The budget ledger: what a training spent, counted by the harness and not by the method."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, cast

from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry


@dataclass
class Ledger:
    """Running totals of one training."""

    macs: float = 0.0
    """Multiply–accumulates with the backward pass, as the operations themselves report them."""
    images_seen: int = 0
    teacher_nfe: int = 0
    """Teacher evaluations, one an image and call."""
    seconds: float = 0.0
    restarts: int = 0
    per_update: dict[str, float] = field(default_factory=dict)
    """MACs of one update of each phase."""

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for a checkpoint."""
        return asdict(self)

    @contextmanager
    def counting(self) -> Any:
        """Charge every multiply–accumulate inside, forward and backward."""
        with _OperationCounter() as counter:
            yield
        self.macs += counter.flops / 2

    def charge_update(self, phase: str, update: Callable[[], float]) -> float:
        """Run one update; count its operations the first time, charge the same afterwards."""
        if phase in self.per_update:
            self.macs += self.per_update[phase]
            return update()
        before = self.macs
        with self.counting():
            result = update()
        self.per_update[phase] = self.macs - before
        return result


class _OperationCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up torch's own operation formulas over everything that is dispatched.

    torch's FlopCounterMode hooks into modules and cannot follow a gradient of a gradient, which
    GAN penalties need.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops = 0

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.flops += formula(*args, **(kwargs or {}), out_val=result)
        return result


class CountedTeacher(nn.Module):
    """A frozen teacher whose evaluations are entered in the ledger."""

    def __init__(self, network: nn.Module, ledger: Ledger) -> None:
        super().__init__()
        self.network = network.eval().requires_grad_(False)
        self._ledger = ledger

    def forward(self, *inputs: Tensor) -> Tensor:
        """Evaluate the teacher on a batch."""
        self._ledger.teacher_nfe += len(inputs[0])
        return cast(Tensor, self.network(*inputs))
