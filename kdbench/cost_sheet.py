"""Costs of one program in several variants, each beside its teacher in the same variant."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from kdbench.costs.missing import is_failure
from kdbench.costs.profiles import Profile
from kdbench.costs.session import Program, Session
from kdbench.costs.variant import parse_variant
from kdbench.environment import describe_environment
from kdbench.errors import BadSpec
from kdbench.programs import Named
from kdbench.record import Cost


@dataclass(frozen=True)
class CostSheet:
    """What was measured, of what, and how."""

    program: Named
    against: Named | None
    """The teacher of every speed-up."""
    profile: Profile
    device: str
    threads: int
    variants: dict[str, list[Cost]]
    """By the variant's full name, in the order asked for."""

    @property
    def unmeasured(self) -> dict[str, str]:
        """Variants that could not even be timed at batch 1, with the reason."""
        firsts = {name: costs[0] for name, costs in self.variants.items()}
        return {name: str(cost.reason) for name, cost in firsts.items() if cost.value is None}

    @property
    def failed(self) -> list[str]:
        """Figures, as `variant metric`, whose process failed, of variants that could be timed."""
        names = [
            f"{name} {cost.metric}"
            for name, costs in self.variants.items()
            for cost in costs
            if name not in self.unmeasured and is_failure(cost)
        ]
        return list(dict.fromkeys(names))

    def as_dict(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        return {
            "program": self.program.label,
            "task": self.program.task,
            "against": self.against.label if self.against else None,
            "profile": self.profile.model_dump(mode="json"),
            "environment": describe_environment(device=self.device, threads=self.threads),
            "variants": {
                name: [cost.model_dump(mode="json") for cost in costs]
                for name, costs in self.variants.items()
            },
        }


def check_variants(names: Sequence[str]) -> list[str]:
    """Full names of variants, each once.

    Raises:
        BadSpec: a word is unknown, or words contradict each other; the message has all words.
    """
    return list(dict.fromkeys(parse_variant(name).name for name in names))


def check_device(device: str) -> None:
    """Refuse a device that is not here, before a process is spent on every figure.

    Raises:
        BadSpec: torch finds no CUDA device.
    """
    if device == "cpu":
        return
    import torch

    if not torch.cuda.is_available():
        raise BadSpec("torch finds no CUDA device here. Use --device cpu, or see `kdbench doctor`.")


def measure_costs(
    program: Named,
    against: Named | None,
    *,
    variants: Sequence[str],
    profile: Profile,
    device: str,
    threads: int,
    tell: Callable[[str], None],
) -> CostSheet:
    """Measure in fresh processes, one after another, nothing beside them.

    Args:
        program: whose costs.
        against: what its speed-up is against, in the same variant.
        variants: checked names.
        profile: how thoroughly.
        device: `cpu` or `cuda`.
        threads: of torch in every process.
        tell: told of each figure before it is measured.
    """
    environment = describe_environment(device=device, threads=threads)
    found = {}
    for variant in variants:
        asked = Program(
            build=program.build,
            machine=environment["machine"],
            against=against.build if against else None,
            against_label=against.label if against else None,
            variant=variant,
            threads=threads,
        )
        found[variant] = Session(asked, profile, tell=partial(_tell, tell, variant)).costs()
    return CostSheet(program, against, profile, device, threads, found)


def _tell(tell: Callable[[str], None], variant: str, figure: str) -> None:
    tell(f"{variant}: {figure}")
