"""Makes records of a made-up but realistic suite: two families on digits, three seeds."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kdbench.record import (
    SCHEMA,
    Code,
    Cost,
    Identity,
    Interval,
    Provenance,
    Record,
    Score,
    Split,
    Status,
    Training,
)
from kdbench.spec import Role, content_key

TASK = "digits@1"
EXTRACTOR = "digits-cnn@1:" + "ab" * 32
SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Plan:
    """One row: what it is, and the mean and spread of its main metric."""

    pair: str
    arm: str
    role: Role
    nfe: int
    kid: float
    spread: float
    parameters: int | None = 81_600
    family: str = "diffusion"
    method: str | None = None
    reference: bool = False
    teacher: str | None = None
    latency_ms: float | None = None
    seeds: tuple[int, ...] = SEEDS
    trained: bool = True


TEACHER = Plan(
    "edm-teacher@1", "heun-16", "teacher", 31, 0.42, 0.02, 650_000, method="edm@1", latency_ms=21.0
)
PLANS = (
    replace(TEACHER, reference=True),
    replace(TEACHER, arm="heun-8", nfe=15, kid=0.44, latency_ms=10.4),
    replace(TEACHER, arm="euler-4", role="few-step", nfe=4, kid=1.8, spread=0.05, latency_ms=2.9),
    replace(TEACHER, arm="euler-2", role="few-step", nfe=2, kid=3.4, spread=0.08, latency_ms=1.5),
    replace(TEACHER, arm="euler-1", role="few-step", nfe=1, kid=13.0, spread=0.5, latency_ms=0.8),
    Plan("gan-teacher@1", "one", "teacher", 1, 0.51, 0.02, 700_000, "gan", "rgan@1", True,
         latency_ms=0.82),
    Plan("edm-scratch@1", "heun-16", "scratch", 31, 0.63, 0.04, method="edm@1", latency_ms=7.4),
    Plan("edm-scratch@1", "euler-4", "scratch", 4, 2.4, 0.2, method="edm@1", latency_ms=1.1),
    Plan("edm-scratch@1", "euler-2", "scratch", 2, 4.7, 0.3, method="edm@1", latency_ms=0.56),
    Plan("gan-scratch@1", "one", "scratch", 1, 0.69, 0.05, 79_000, "gan", "rgan@1",
         latency_ms=0.29),
    Plan("progressive@1", "four", "student", 4, 0.55, 0.02, method="progressive@1",
         teacher="edm-teacher/heun-16", latency_ms=1.09),
    Plan("progressive@1", "two", "student", 2, 0.71, 0.07, method="progressive@1",
         teacher="edm-teacher/heun-16", latency_ms=0.55),
    Plan("luhman@1", "one", "student", 1, 0.96, 0.05, method="luhman@1",
         teacher="edm-teacher/heun-16", latency_ms=0.3),
    Plan("sid@1", "one", "student", 1, 0.62, 0.07, method="sid@1",
         teacher="edm-teacher/heun-16", latency_ms=0.3),
    Plan("gan-kd@1", "one", "student", 1, 0.6, 0.03, 79_000, "gan", "fitnet@1",
         teacher="gan-teacher/one", latency_ms=0.29),
    Plan("mean-image@1", "image", "trivial", 0, 9.7, 0.01, None, "trivial", trained=False,
         seeds=(0,)),
    Plan("real@1", "train", "floor", 0, 0.24, 0.01, None, "floor", trained=False, seeds=(0,)),
)  # fmt: skip


def make_score(
    metric: str,
    value: float | None,
    *,
    split: Split = "held-out",
    higher: bool | None = False,
    n: int = 1000,
    unit: str | None = None,
    reason: str | None = None,
    half: float | None = None,
    extractor: str | None = EXTRACTOR,
    protocol: str = "uint8",
    reference: str | None = "cd" * 32,
) -> Score:
    """One score with the conditions that all rows share unless told otherwise."""
    interval = None
    if value is not None and half is not None:
        interval = Interval(
            low=value - half, high=value + half, source="sampling", method="u-statistic"
        )
    return Score(
        metric=metric,
        split=split,
        value=value,
        reason=reason,
        unit=unit,
        higher_is_better=higher,
        n=n,
        n_reference=600 if reference else None,
        interval=interval,
        reference=reference,
        extractor=extractor,
        protocol=protocol,
        key=content_key([metric, split, value]),
    )


def make_cost(metric: str, value: float, *, batch: int, unit: str, **more: Any) -> Cost:
    """One cost of the machine that all rows share unless told otherwise."""
    conditions = {"boundary": "e2e", "config_key": content_key([batch, "machine"]), **more}
    return Cost(metric=metric, unit=unit, value=value, stat="median", batch=batch, **conditions)


def make_record(
    plan: Plan,
    seed: int,
    *,
    task: str = TASK,
    status: Status = "ok",
    reason: str | None = None,
    **changes: Any,
) -> Record:
    """The record of one row and seed, with the numbers of its plan; the same every time."""
    random = np.random.default_rng(zlib.crc32(f"{plan.pair}/{plan.arm}/{seed}".encode()))
    ok = status == "ok"
    return Record(
        schema_=SCHEMA,
        key=content_key([task, plan.pair, plan.arm, seed]),
        status=status,
        reason=reason,
        created="2026-01-01T00:00:00Z",
        identity=_identity(plan, seed, task, measured=ok),
        code=Code(kdbench="0.1.0"),
        environment={},
        scores=changes.pop("scores", _scores(plan, random) if ok else []),
        costs=changes.pop("costs", _costs(plan, random) if ok and seed == min(plan.seeds) else []),
        training=_training(plan) if ok and plan.trained else None,
        provenance=Provenance(command="kdbench run quick"),
        **changes,
    )


def _identity(plan: Plan, seed: int, task: str, *, measured: bool) -> Identity:
    return Identity(
        suite="quick@1",
        task=task,
        pair=plan.pair,
        arm=plan.arm,
        role=plan.role,
        reference=plan.reference,
        main_metric="kid@1",
        margin=0.05,
        family=plan.family,
        method=plan.method,
        nfe=plan.nfe if measured else None,
        parameters=plan.parameters if measured else None,
        teacher=plan.teacher,
        train_seed=seed,
        teacher_replicate=seed % 2 if plan.teacher else None,
        origin="trained" if plan.trained else "none",
        inputs={"held-out": content_key(["inputs", seed])},
    )


def _scores(plan: Plan, random: np.random.Generator) -> list[Score]:
    kid, validation = plan.kid + plan.spread * random.standard_normal(2)
    rates = np.clip(1 - plan.kid / 9 + 0.01 * random.standard_normal(4), 0, 1).tolist()
    names = ("precision@1", "recall@1", "coverage@1", "class-accuracy@1")
    scores = [
        make_score("kid@1", kid, half=0.03),
        make_score("kid@1", validation, split="validation", half=0.03),
        make_score("fd@1", 1.1 * kid + 0.1, half=0.05),
        *(make_score(m, v, higher=True, n=500) for m, v in zip(names, rates, strict=True)),
    ]
    if plan.teacher:
        paired = "uint8, against the teacher's image of the same input"
        target = content_key(int(random.integers(1 << 30)))
        psnr = 14 + 2 / plan.kid + random.standard_normal() / 4
        scores.append(
            make_score(
                "psnr@1", psnr, higher=True, unit="dB", extractor=None, protocol=paired,
                reference=target,
            )
        )  # fmt: skip
    return scores


def _costs(plan: Plan, random: np.random.Generator) -> list[Cost]:
    if plan.latency_ms is None:
        return []
    ms = plan.latency_ms * (1 + 0.02 * random.standard_normal())
    spread = Interval(low=0.98 * ms, high=1.03 * ms, source="timing", method="order-statistic")
    costs = [
        make_cost("latency_ms", ms, batch=1, unit="ms", interval=spread),
        make_cost("throughput_img_s", 9000 / ms, batch=64, unit="img/s"),
        make_cost("peak_memory_mib", 100 + ms, batch=64, unit="MiB"),
    ]
    if plan.teacher and plan.family == "diffusion":
        timing = Interval(low=20 / ms, high=22 / ms, source="timing", method="bootstrap")
        costs.append(
            make_cost(
                "speedup", 21 / ms, batch=1, unit="ratio", against=plan.teacher, interval=timing
            )
        )
    return costs


def _training(plan: Plan) -> Training:
    return Training(
        seconds=35 + 10 * plan.nfe,
        steps=4000,
        macs=2.4e12,
        chain_macs=3.1e12,
        images_seen=512_000,
        real_images_touched=512_000,
        teacher_nfe=0,
    )
