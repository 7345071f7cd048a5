"""The last room before the report: costs, one fresh process a figure, when nothing else runs.

What an arm costs depends on its network's architecture and its sampler, not on the weights, so
one measurement serves every row that runs the same program, and says on which it was made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pkgutil import iter_modules
from typing import Any

import kdbench.costs
from kdbench import registry
from kdbench.costs.missing import is_failure
from kdbench.costs.profiles import PROFILES, Profile
from kdbench.costs.session import Program, Session
from kdbench.environment import code_sha256, describe_machine, family_sha256, package_version
from kdbench.plan import compared_with
from kdbench.record import Cost, Record
from kdbench.spec import Pair, content_key
from kdbench.store import Store
from kdbench.weights import find_weights

COST_VERSION = 2
"""Version of the timing protocol."""
THREADS = 1
UNMEASURED = {"name", "summary", "about_s", "timeout_s"}
"""What of a profile changes no figure."""

CODE = tuple(f"kdbench.costs.{m.name}" for m in iter_modules(kdbench.costs.__path__))


@dataclass(frozen=True)
class Arm:
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
    profile: Profile,
    retry: bool,
    progress: Callable[[str, int, int], None],
) -> list[str]:
    """Measure what is missing and write it into the records of each row's lowest seed.

    Costs of a more thorough profile are taken as they are.

    Args:
        store: where the records and networks are.
        records: finished records of the plan.
        device: `cpu` or `cuda`.
        profile: how thoroughly.
        retry: measure again what failed before.
        progress: told of each figure before it is measured.

    Returns:
        One sentence for each row with a figure whose process failed or hung, now or before.
    """
    rows = _lowest_seeds(records)
    waiting = []
    for record in rows:
        arm, against = _arm_of(record), _against(store, record)
        keys = [
            cost_key(arm, against=against, device=device, profile=other)
            for other in _no_briefer(profile)
        ]
        known = record.keys is not None and record.keys.cost in keys
        if not known or (retry and failures_of(record.costs)):
            waiting.append((record, arm, against, keys[0]))
    for number, (record, arm, against, key) in enumerate(waiting):
        tell = partial(_tell, progress, arm.label, number, len(waiting))
        costs = _measured_before(store, key)
        if costs is None or (retry and failures_of(costs)):
            costs = _measure(store, record, arm, against, device, profile, tell)
            store.finish_stage(key, {"costs": [cost.model_dump(mode="json") for cost in costs]})
        if record.keys is not None:
            record.costs = costs
            record.keys.cost = key
            store.put_record(record)
    return [
        f"{_arm_of(record).label}: {failed}"
        for record in rows
        if (failed := failures_of(record.costs))
    ]


def _measured_before(store: Store, key: str) -> list[Cost] | None:
    """Costs from an earlier row with the same program."""
    done = store.stage(key)
    return None if done is None else [Cost.model_validate(cost) for cost in done["costs"]]


def failures_of(costs: list[Cost]) -> str | None:
    """The reasons of figures whose process failed or hung."""
    reasons = {f"{cost.metric}: {cost.reason}" for cost in costs if is_failure(cost)}
    return "; ".join(sorted(reasons)) or None


def _no_briefer(profile: Profile) -> list[Profile]:
    profiles = list(PROFILES.values())
    return profiles[profiles.index(profile) :]


def _tell(
    progress: Callable[[str, int, int], None], label: str, done: int, total: int, figure: str
) -> None:
    progress(f"{label}, {figure}", done, total)


def _arm_of(record: Record) -> Arm:
    identity = record.identity
    return Arm(registry.pairs.load(identity.pair), identity.arm, identity.train_seed)


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


def cost_key(arm: Arm, *, against: Record | None, device: str, profile: Profile) -> str:
    """The identity of a cost: program, machine and protocol, never the weights.

    What the speed-up is against is part of it, so a teacher that is there only later is measured.
    """
    other = _arm_of(against) if against else None
    return content_key(
        {
            "v": COST_VERSION,
            "program": _program(arm.pair, arm.arm),
            "against": _program(other.pair, other.arm) if other else None,
            "profile": profile.model_dump(mode="json", exclude=UNMEASURED),
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
    arm: Arm,
    against: Record | None,
    device: str,
    profile: Profile,
    tell: Callable[[str], None],
) -> list[Cost]:
    """Costs from fresh processes, now."""
    program = Program(
        build=_build(store, arm, record, device),
        machine=describe_machine()["machine"],
        threads=THREADS,
    )
    if against is not None:
        other = _arm_of(against)
        program = replace(
            program, against=_build(store, other, against, device), against_label=other.label
        )
    costs = Session(program, profile, tell=tell).costs()
    for cost in costs:
        cost.details["measured_on"] = f"{arm.label} seed {arm.seed}"
    return costs


def _build(store: Store, arm: Arm, record: Record, device: str) -> dict[str, Any]:
    name = record.artifacts.get("checkpoint")
    if name is not None:
        path = store.artifact(name)
    else:
        path = find_weights(next(iter(record.provenance.weights)))
    return {
        "pair": arm.pair.model_dump(mode="json"),
        "arm": arm.arm,
        "weights": str(path),
        "device": device,
    }
