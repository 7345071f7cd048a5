"""The last room before the report: costs, one fresh process a program, when nothing else runs.

What an arm costs depends on its network's architecture and its sampler, not on the weights, so
one measurement serves every row that runs the same program, and says on which it was made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kdbench import registry
from kdbench.costs.run import measure_costs
from kdbench.environment import code_sha256, describe_machine, family_sha256, package_version
from kdbench.plan import compared_with
from kdbench.record import Cost, Record
from kdbench.spec import Pair, content_key
from kdbench.store import Store
from kdbench.weights import find_weights

COST_VERSION = 1
"""Version of the timing protocol."""
BATCHES = (1, 64)
THREADS = 1
TIMEOUT_S = 300.0

CODE = tuple(
    f"kdbench.costs.{name}"
    for name in (
        "boundary",
        "config",
        "counts",
        "latency",
        "macs",
        "marks",
        "measure",
        "memory",
        "order",
        "parameters",
        "ratio",
        "timing",
    )
)


@dataclass(frozen=True)
class Program:
    """What is timed: a network's architecture drawn from in one way."""

    pair: Pair
    arm: str
    seed: int

    @property
    def label(self) -> str:
        """`pair/arm`."""
        return f"{self.pair.name}/{self.arm}"


def add_costs(
    store: Store,
    records: list[Record],
    *,
    device: str,
    progress: Callable[[str, int, int], None],
) -> list[str]:
    """Measure what is missing and write it into the records of each row's lowest seed.

    Args:
        store: where the records and networks are.
        records: finished records of the plan.
        device: `cpu` or `cuda`.
        progress: told of each program before it is measured.

    Returns:
        One sentence for each program whose costs could not be measured.
    """
    missing = []
    for record in _lowest_seeds(records):
        program, against = _program_of(record), _against(store, record)
        key = cost_key(program, against=against, device=device)
        if record.keys is None or record.keys.cost != key:
            missing.append((record, program, against, key))
    failures = []
    for number, (record, program, against, key) in enumerate(missing):
        progress(program.label, number, len(missing))
        costs, reason = _measure(store, record, program, against, key, device)
        if reason:
            failures.append(f"{program.label}: {reason}")
        elif record.keys is not None:
            record.costs = costs
            record.keys.cost = key
            store.put_record(record)
    return failures


def _program_of(record: Record) -> Program:
    identity = record.identity
    return Program(registry.pairs.load(identity.pair), identity.arm, identity.train_seed)


def _against(store: Store, record: Record) -> Record | None:
    """The finished record of the teacher that a speed-up is measured against, if there is one."""
    beside = compared_with(registry.pairs.load(record.identity.pair))
    if beside is None:
        return None
    teacher = registry.pairs.load(beside[0])
    if (teacher.id, beside[1]) == (record.identity.pair, record.identity.arm):
        return None
    found = store.find_record(
        record.identity.task, teacher.id, beside[1], record.identity.train_seed
    )
    return found if found is not None and found.status == "ok" else None


def _lowest_seeds(records: list[Record]) -> list[Record]:
    """One record of every row that has a network, teachers first."""
    rows: dict[tuple[str, str], Record] = {}
    for record in records:
        identity = record.identity
        if record.status != "ok" or identity.network is None:
            continue
        row = identity.pair, identity.arm
        if row not in rows or identity.train_seed < rows[row].identity.train_seed:
            rows[row] = record
    return sorted(rows.values(), key=lambda r: (r.identity.role != "teacher", r.identity.pair))


def cost_key(program: Program, *, against: Record | None, device: str) -> str:
    """The identity of a cost: program, machine and protocol, never the weights.

    What the speed-up is against is part of it, so a teacher that is there only later is measured.
    """
    other = _program_of(against) if against else None
    return content_key(
        {
            "v": COST_VERSION,
            "program": _program(program.pair, program.arm),
            "against": _program(other.pair, other.arm) if other else None,
            "batches": BATCHES,
            "threads": THREADS,
            "device": device,
            "machine": describe_machine()["machine"],
            "torch": package_version("torch"),
            "code": [code_sha256(module) for module in CODE],
        }
    )


def _program(pair: Pair, arm: str) -> dict[str, Any]:
    sampling, network = pair.arms[arm].sampling, pair.network
    assert network is not None
    modules = (
        registry.networks.module(network.name),
        registry.samplers.module(sampling.sampler),
    )
    return {
        "task": pair.task,
        "network": network.model_dump(mode="json"),
        "sampling": sampling.model_dump(mode="json"),
        "code": [family_sha256(module) for module in modules],
    }


def _measure(
    store: Store,
    record: Record,
    program: Program,
    against: Record | None,
    key: str,
    device: str,
) -> tuple[list[Cost], str | None]:
    """Costs from an earlier row with the same program, or from a fresh process now."""
    done = store.stage(key)
    if done is not None:
        return [Cost.model_validate(cost) for cost in done["costs"]], None
    job: dict[str, Any] = {
        "build": _build(store, program.pair, program.arm, record, device),
        "against": None,
        "batches": list(BATCHES),
        "threads": THREADS,
        "machine": describe_machine()["machine"],
    }
    if against is not None:
        other = _program_of(against)
        job["against"] = _build(store, other.pair, other.arm, against, device)
        job["against_label"] = other.label
    costs, status, reason = measure_costs(job, timeout_s=TIMEOUT_S)
    if status != "ok" and not costs:
        return [], f"{status}: {reason}"
    for cost in costs:
        cost.details["measured_on"] = f"{program.label} seed {program.seed}"
    store.finish_stage(key, {"costs": [cost.model_dump(mode="json") for cost in costs]})
    return costs, None


def _build(store: Store, pair: Pair, arm: str, record: Record, device: str) -> dict[str, Any]:
    name = record.artifacts.get("checkpoint")
    if name is not None:
        path = store.artifact(name)
    else:
        path = find_weights(next(iter(record.provenance.weights)))
    return {
        "pair": pair.model_dump(mode="json"),
        "arm": arm,
        "weights": str(path),
        "device": device,
    }
