"""The record: everything about one run, as JSON that refuses unknown fields and NaN.

Arrays live in artifacts beside it. `record/1` is frozen: fields may be added with defaults, and a
file of every version is kept among the tests.
"""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from kdbench.spec import Role

SCHEMA = "kdbench.record/1"

Status = Literal["ok", "failed", "diverged", "oom", "timeout", "skipped"]
Split = Literal["validation", "held-out"]


class Part(BaseModel):
    """Base of a record's parts: unknown fields, NaN and infinity are refused."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, ser_json_inf_nan="constants")


class Interval(Part):
    """Where the true value lies, at a stated level, from a stated source of noise."""

    level: float = 0.95
    low: float
    high: float
    source: Literal["sampling", "training", "timing"]
    method: str
    """How it was made: `u-statistic`, `jackknife`, `bootstrap`, `wilson`, `blocks-t`, …"""


class Score(Part):
    """One metric's value with everything that it depends on."""

    metric: str
    """`name@version`."""
    split: Split
    value: float | None
    reason: str | None = None
    """Why there is no value, or no interval."""
    unit: str | None = None
    higher_is_better: bool | None
    """None: neither direction is better by itself."""
    n: int
    """Generated images that entered."""
    n_reference: int | None = None
    """Reference images that entered."""
    n_failed: int = 0
    interval: Interval | None = None
    reference: str | None = None
    """SHA-256 of the reference images, or of the paired targets."""
    extractor: str | None = None
    """`name@version:sha256` of the feature network."""
    protocol: str
    """How it was measured, in words that are compared literally."""
    key: str
    """The score key: the same key means that it need not be measured again."""
    details: dict[str, float | None] = Field(default_factory=dict)
    """Further numbers of the same measurement (bias-corrected value, standard error, …)."""
    marks: list[str] = Field(default_factory=list)
    """What a reader must know before believing the value, e.g. too few samples."""


class Cost(Part):
    """One cost figure and the conditions under which it holds."""

    metric: str
    """`latency_ms`, `throughput_img_s`, `peak_memory_mib`, `parameters`, `macs`, `nfe`, …"""
    unit: str
    value: float | None
    reason: str | None = None
    stat: str
    """`median`, `total`, `peak`, `count`."""
    boundary: str | None = None
    """`core`, `pipe` or `e2e`."""
    batch: int | None = None
    interval: Interval | None = None
    n: int | None = None
    """Rounds that entered."""
    config_key: str
    """Hash of everything that must be equal before two costs are divided."""
    against: str | None = None
    """`pair/arm` that a ratio is against."""
    marks: list[str] = Field(default_factory=list)
    details: dict[str, float | str | None] = Field(default_factory=dict)


class Identity(Part):
    """Which run this is."""

    suite: str | None
    task: str
    pair: str
    arm: str
    role: Role
    reference: bool = False
    """Whether this arm is its family's reference teacher."""
    main_metric: str
    """The metric that the task ranks and compares by."""
    margin: float
    """The smallest difference of the main metric that matters."""
    family: str
    method: str | None
    params_passed: dict[str, Any] = Field(default_factory=dict)
    params: dict[str, Any] = Field(default_factory=dict)
    """Parameters with the method's defaults filled in."""
    recipe: str | None = None
    """Hash of network, method, parameters and budget: rows never pool two recipes."""
    network: str | None = None
    sampler: str | None = None
    nfe: int | None = None
    """Network evaluations per image."""
    parameters: int | None = None
    """Parameters of the network that is sampled."""
    teacher: str | None = None
    """`pair/arm` of the teacher whose images paired metrics compare with."""
    teacher_replicate: int | None = None
    """Which of the published teachers; differences are conditional on these."""
    train_seed: int
    tuning_trials: int = 0
    origin: Literal["trained", "published", "none"]
    inputs: dict[str, str] = Field(default_factory=dict)
    """SHA-256 of the inputs of each split: rows with equal hashes saw the same latents."""


class Code(Part):
    """Which code made this."""

    kdbench: str
    commit: str | None = None
    dirty: bool | None = None
    method_sha256: str | None = None


class Point(Part):
    """One point of the training curve."""

    step: int
    loss: float
    grad_norm: float | None = None


class Training(Part):
    """What the training cost and touched; prerequisites counted in `chain_*`."""

    seconds: float
    steps: int
    macs: float
    """Multiply–accumulates as dispatched, forward, backward and teacher queries."""
    chain_macs: float
    """The same with every prerequisite of this run; published teachers excluded (amortised)."""
    images_seen: int
    real_images_touched: int
    teacher_nfe: int
    networks_seen: list[str] = Field(default_factory=list)
    """Every network that a loss saw, `name@version:sha256`."""
    uses: list[str] = Field(default_factory=list)
    """`real images`, `teacher samples`, `teacher features`, …"""
    restarts: int = 0
    curve: list[Point] = Field(default_factory=list)


class Keys(Part):
    """Stage keys: equal keys mean that the stage need not be repeated."""

    version: int
    load: str
    sample: str
    cost: str | None = None


class Provenance(Part):
    """How to make this record again."""

    command: str
    weights: dict[str, str] = Field(default_factory=dict)
    """Weight files and their SHA-256."""
    data: str | None = None
    parent: str | None = None


class Record(Part):
    """One run: what it was, what it measured, what it cost, and where its artifacts are."""

    schema_: str = Field(SCHEMA, alias="schema")
    key: str
    """Identity of the run within its store: task, pair, arm and seed."""
    status: Status
    reason: str | None = None
    created: str
    """UTC, ISO 8601; a label, never a duration."""
    claim: Literal["own", "claimed", "verified"] = "own"
    identity: Identity
    keys: Keys | None = None
    code: Code
    environment: dict[str, Any]
    scores: list[Score] = Field(default_factory=list)
    costs: list[Cost] = Field(default_factory=list)
    stability: dict[str, float | None] = Field(default_factory=dict)
    training: Training | None = None
    artifacts: dict[str, str] = Field(default_factory=dict)
    """Name to `sha256.extension` in the artifact folder of the store."""
    provenance: Provenance

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, populate_by_name=True)

    def score(self, metric: str, split: Split = "held-out") -> Score | None:
        """The score of `metric` (with or without version) on `split`, or None."""
        for score in self.scores:
            if metric in (score.metric, score.metric.partition("@")[0]) and score.split == split:
                return score
        return None

    def cost(self, metric: str, batch: int | None = None) -> Cost | None:
        """The cost `metric` at `batch`, or None."""
        for cost in self.costs:
            if cost.metric == metric and cost.batch == batch:
                return cost
        return None

    def to_json(self) -> str:
        """Readable JSON, the same text for the same record."""
        value = self.model_dump(mode="json", by_alias=True)
        return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
