"""What is to be run, as frozen data: pairs, suites, runs, and the keys that identify their stages.

Nothing here imports torch; a pair or a suite is read from TOML and checked once, at the door.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, ValidationError, model_validator

from kdbench.errors import BadSpec

Role = Literal["teacher", "student", "scratch", "few-step", "inherited", "trivial", "floor"]
"""What an arm is in a comparison: reference, candidate, control or mark."""

FROM_SCRATCH: tuple[Role, ...] = ("scratch",)
"""The roles that an anchor is chosen from: trained without any teacher."""


def canonical_json(value: Any) -> str:
    """One text for one value: sorted keys, no spaces, NaN and infinity refused.

    >>> canonical_json({"b": 1, "a": [0.5, None]})
    '{"a":[0.5,null],"b":1}'
    """
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def content_key(value: Any) -> str:
    """SHA-256 of the canonical JSON of `value`, as 64 hexadecimal digits."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


class Spec(BaseModel):
    """Base of everything that is described: frozen, and an unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Network(Spec):
    """A registered network and its arguments."""

    name: str
    """Registry name, `name@version`."""
    args: dict[str, Any] = Field(default_factory=dict)
    """Keyword arguments of the network, beside the task's image shape and number of classes."""


class Budget(Spec):
    """How long and how a training runs; the same words for methods and controls."""

    steps: int = Field(gt=0)
    """Optimiser updates of the student."""
    batch: int = Field(128, gt=0)
    """Images per update."""
    lr: float = Field(1e-3, gt=0)
    """Peak learning rate."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """How the learning rate goes from its peak to 0, or that it stays."""
    optimiser: Literal["adamw", "radam"] = "adamw"
    """Both with decoupled weight decay."""
    extra_lr: PositiveFloat | dict[str, PositiveFloat] | None = None
    """Peak learning rate of networks beside the student (a discriminator), one for all or by
    name; `lr` if not given."""
    warmup: int = Field(100, ge=0)
    """Updates over which the learning rate rises linearly to its peak."""
    weight_decay: float = Field(0.0, ge=0)
    betas: tuple[float, float] = (0.9, 0.999)
    """The optimiser's moment decays."""
    ema: float = Field(0.999, ge=0, lt=1)
    """Decay per update of the weights' moving average, which is what is measured."""
    clip: float = Field(1.0, gt=0)
    """Largest global gradient norm."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """What losses are computed in; weights and their moments are float32 in both."""

    def peak_lr(self, phase: str) -> float:
        """The peak learning rate of the student or of a network beside it.

        >>> budget = Budget(steps=1, lr=1e-3, extra_lr={"fake": 2e-3})
        >>> [budget.peak_lr(phase) for phase in ("student", "fake", "head")]
        [0.001, 0.002, 0.001]
        """
        if phase == "student":
            return self.lr
        own = self.extra_lr.get(phase) if isinstance(self.extra_lr, dict) else self.extra_lr
        return own or self.lr


class MethodUse(Spec):
    """A registered method with the parameters that the pair passes to it."""

    name: str
    params: dict[str, Any] = Field(default_factory=dict)


class Sampling(Spec):
    """How images are drawn from a network."""

    sampler: str = "direct@1"
    """Registry name of the sampler."""
    args: dict[str, Any] = Field(default_factory=dict)
    """The sampler's own arguments (steps, grid)."""


class Arm(Spec):
    """One row of a table: a pair's generator, drawn from in one way, in one role."""

    role: Role
    sampling: Sampling = Sampling()
    reference: bool = False
    """Whether this is the teacher's arm that students are measured against."""
    summary: str = ""


class Tuning(Spec):
    """What was tried before the numbers were fixed, and where it is written down."""

    trials: int = Field(ge=0)
    """Validation trials of this training, its samplers and its grid."""
    record: str | None = None
    """The trials' file below `baselines/tuning/`."""
    note: str = ""


class Pair(Spec):
    """A teacher, a student and what happens between them; or a control, which has no teacher.

    Exactly one of `method`, `generator` says where the images come from; `weights` are
    published checkpoints that stand for the training when it is not repeated.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$", max_length=80)
    version: int = Field(1, ge=1)
    task: str
    family: str
    summary: str
    network: Network | None = None
    method: MethodUse | None = None
    generator: MethodUse | None = None
    """A registered generator that needs no training, in place of a network."""
    teacher: str | None = None
    """The pair whose trained or published network teaches."""
    start: str | None = None
    """The pair whose trained network is the first state of the student."""
    beside: str | None = None
    """The pair whose reference arm paired metrics compare with; by default the first teacher."""
    weights: tuple[str, ...] = ()
    """Published weights, one a teacher seed; replicate r takes number r modulo their count."""
    budget: Budget | None = None
    arms: dict[str, Arm] = Field(min_length=1)
    controls: tuple[str, ...] = ()
    """`pair/arm` rows that must stand beside this pair's students."""
    tuning: Tuning = Tuning(trials=0)
    expected_seconds: float = Field(1.0, ge=0)
    """Training and sampling on one core of the machine of the published records."""
    unrun: str = ""
    """Why nobody has run this pair as it is, in a few words; empty where somebody has."""

    @property
    def id(self) -> str:
        """`name@version`."""
        return f"{self.name}@{self.version}"

    @property
    def prerequisites(self) -> tuple[str, ...]:
        """The names of the pairs whose networks this one needs, without versions and repeats."""
        return tuple(dict.fromkeys(p.partition("@")[0] for p in (self.teacher, self.start) if p))

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if (self.method is None) == (self.generator is None):
            raise ValueError("a pair has either a method or a generator")
        if self.method is not None and (self.network is None or self.budget is None):
            raise ValueError("a pair with a method has a network and a budget")
        return self


class Comparison(Spec):
    """A comparison that is named before it is run."""

    student: str
    """`pair/arm` of the candidate: a distilled student, or one that learns without a teacher."""
    few_step: str | None = None
    """`pair/arm` of the teacher with as many calls."""
    teacher: str
    """`pair/arm` of the reference teacher."""


class Suite(Spec):
    """A list of pairs that are run and compared together."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$", max_length=80)
    version: int = Field(1, ge=1)
    summary: str
    pairs: tuple[str, ...] = Field(min_length=1)
    seeds: tuple[int, ...] = (0, 1, 2)
    metrics: tuple[str, ...] = ()
    """Metrics beyond those of the task."""
    comparisons: tuple[Comparison, ...] = ()
    costs: str = "brief"
    """How thoroughly costs are measured, or `none`, unless a run says otherwise."""

    @property
    def id(self) -> str:
        """`name@version`."""
        return f"{self.name}@{self.version}"


class Run(Spec):
    """One row and seed to be made: what `plan` lists and `run` executes."""

    suite: str | None
    task: str
    pair: str
    arm: str
    role: Role
    seed: int = Field(ge=0)
    needs: tuple[str, ...] = ()
    """Pairs whose networks of the same seed must be there first."""
    metrics: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """`pair/arm seed N`, as progress lines and errors name it."""
        return f"{self.pair}/{self.arm} seed {self.seed}"


SpecT = TypeVar("SpecT", bound=Spec)


def load_toml(path: Path, model: type[SpecT]) -> SpecT:
    """Read one pair or suite from a TOML file.

    Raises:
        BadSpec: the file is unreadable, is not TOML, or does not fit `model`; the message names
            the file and every field that is wrong.
    """
    try:
        return model.model_validate(tomllib.loads(path.read_text("utf-8")))
    except FileNotFoundError as error:
        raise BadSpec(f"There is no file {path}.") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadSpec(f"{path.name} cannot be read as TOML: {error}.") from error
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc'])) or model.__name__.lower()}: {fault['msg']}"
            for fault in error.errors()
        )
        raise BadSpec(f"{path.name} is not a valid {model.__name__.lower()}: {faults}.") from error
