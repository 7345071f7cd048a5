"""The optimiser loop: bit by bit the same after an interruption, counted, clipped, and honest."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from kdbench.errors import BadSpec, Diverged, StoreError
from kdbench.spec import Budget
from kdbench.tasks.base import Split, Task
from kdbench.training import trainer as trainer_module
from kdbench.training.checkpoint import load_checkpoint, network_bytes, save_checkpoint
from kdbench.training.ledger import CountedTeacher, Ledger
from kdbench.training.method import Batch, Method, Setting
from kdbench.training.optimiser import learning_rate
from kdbench.training.trainer import Trainer

BATCH, IN, HIDDEN, OUT = 8, 3, 5, 3


class Triples(Task):
    """Sixty-four triples of numbers, which are what is to be learnt."""

    name = "triples"
    kind = "test"
    shape = (IN, 1, 1)
    classes = 2
    sigma_data = 1.0
    quantised = False
    main = "kid@1"
    margin = 0.0
    n = 4
    uses = ()

    def split(self, name: str) -> Split:
        generator = torch.Generator().manual_seed(len(name))
        return Split(torch.randn((64, *self.shape), generator=generator), torch.arange(64) % 2)

    def encode(self, images: Tensor) -> Tensor:
        return images


class Regress(Method):
    """Learn the identity from noisy triples; with a teacher, learn what it says."""

    def loss(self, student: nn.Module, teacher: nn.Module | None, batch: Batch) -> Tensor:
        x = batch.images.flatten(1)
        noisy = x + 0.1 * torch.randn_like(x)
        target = x if teacher is None else teacher(noisy)
        loss: Tensor = (student(noisy) - target).square().mean()
        return loss


class Adversarial(Regress):
    """Regression with a second network that is trained beside the student."""

    phases = ("critic", "student")

    def extra_networks(self) -> dict[str, nn.Module]:
        self.critic = nn.Linear(OUT, 1)
        return {"critic": self.critic}

    def extra_loss(
        self, phase: str, student: nn.Module, teacher: nn.Module | None, batch: Batch
    ) -> Tensor:
        x = batch.images.flatten(1)
        loss: Tensor = (self.critic(student(x).detach()) - self.critic(x)).square().mean()
        return loss


class OfThreeToOne(Adversarial):
    """Three updates of the critic to one of the student, as an instance decides."""

    def __init__(self, setting: Setting, params: Any) -> None:
        super().__init__(setting, params)
        self.phases = ("critic",) * 3 + ("student",)
        self.seen: list[Tensor] = []

    def extra_loss(
        self, phase: str, student: nn.Module, teacher: nn.Module | None, batch: Batch
    ) -> Tensor:
        self.seen.append(batch.images)
        return super().extra_loss(phase, student, teacher, batch)


class Averaged(Regress):
    """Learns what a moving average of the student says, which itself follows after each step."""

    def prepare(self, student: nn.Module, teacher: nn.Module | None) -> None:
        self.target = copy.deepcopy(student)
        self.steps: list[int] = []

    def frozen_networks(self) -> dict[str, nn.Module]:
        return {"target": self.target}

    def loss(self, student: nn.Module, teacher: nn.Module | None, batch: Batch) -> Tensor:
        x = batch.images.flatten(1)
        return super().loss(student, teacher, batch) + (student(x) - self.target(x)).square().mean()

    def after_step(self, student: nn.Module, step: int) -> None:
        self.steps.append(step)
        for average, weight in zip(self.target.parameters(), student.parameters(), strict=True):
            average.lerp_(weight, 0.2)


def perceptron() -> nn.Module:
    return nn.Sequential(nn.Linear(IN, HIDDEN), nn.SiLU(), nn.Linear(HIDDEN, OUT))


def batch_normed() -> nn.Module:
    return nn.Sequential(
        nn.Linear(IN, HIDDEN), nn.BatchNorm1d(HIDDEN), nn.Dropout(0.3), nn.Linear(HIDDEN, OUT)
    )


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., tuple[Trainer, Method]]:
    """`make(build, method, **budget)`: a trainer and its method, always from the same start."""

    def build_both(
        build: Callable[[], nn.Module] = perceptron,
        method: type[Method] = Regress,
        *,
        teacher: nn.Module | None = None,
        progress: Callable[[int, int], None] = lambda step, steps: None,
        checkpoint: str = "checkpoint",
        **budget: Any,
    ) -> tuple[Trainer, Method]:
        torch.manual_seed(0)
        ledger = Ledger()
        setting = Setting(
            task=Triples(),
            seed=7,
            batch=BATCH,
            device=torch.device("cpu"),
            ledger=ledger,
            teacher_sha256=None,
            cached=lambda what, identity, make: make(),
        )
        trainer = Trainer(
            student=build(),
            teacher=CountedTeacher(teacher, ledger) if teacher else None,
            budget=Budget(**{"steps": 60, "batch": BATCH, "lr": 1e-2, "ema": 0.9, **budget}),
            setting=setting,
            checkpoint=tmp_path / checkpoint,
            progress=progress,
        )
        made = method(setting, None)
        made.prepare(trainer.student, trainer.teacher)
        return trainer, made

    return build_both


class Interruption(Exception):
    """What a kill looks like from inside."""


def interrupt_at(step: int) -> Callable[[int, int], None]:
    def progress(done: int, total: int) -> None:
        if done == step:
            raise Interruption

    return progress


# ---------------------------------------------------------------- resuming


@pytest.mark.parametrize(
    ("method", "budget"),
    [
        (Regress, {}),
        (Adversarial, {}),
        (OfThreeToOne, {}),
        (Averaged, {}),
        (Adversarial, {"optimiser": "radam", "schedule": "linear"}),
        (Adversarial, {"precision": "bf16", "schedule": "constant"}),
    ],
)
@pytest.mark.parametrize("build", [perceptron, batch_normed])
def test_an_interrupted_training_ends_in_the_same_bits(
    build: Callable[[], nn.Module],
    method: type[Method],
    budget: dict[str, Any],
    make: Callable[..., tuple[Trainer, Method]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    undisturbed, learns = make(build, method, checkpoint="undisturbed", **budget)
    undisturbed.run(learns)
    monkeypatch.setattr(trainer_module, "CHECKPOINT_SECONDS", -1.0)
    for step in (20, 40):
        disturbed, learns = make(build, method, progress=interrupt_at(step), **budget)
        with pytest.raises(Interruption):
            disturbed.run(learns)
    torch.manual_seed(123)  # the state that a new process happens to have
    disturbed, learns = make(build, method, **budget)
    starts: list[int] = []
    disturbed.progress = lambda step, steps: starts.append(step)
    disturbed.run(learns)
    assert starts == [40, 60]  # updates 0 to 38 were not done again
    assert network_bytes(disturbed.ema.network) == network_bytes(undisturbed.ema.network)
    assert network_bytes(disturbed.student) == network_bytes(undisturbed.student)
    assert disturbed.curve == undisturbed.curve
    ours, theirs = disturbed.ledger.as_dict(), undisturbed.ledger.as_dict()
    assert (ours.pop("restarts"), theirs.pop("restarts")) == (2, 0)
    assert ours.pop("seconds") > 0
    theirs.pop("seconds")
    assert ours == theirs


@pytest.mark.parametrize("damage", [b"", b"no safetensors", None])
def test_a_damaged_checkpoint_means_from_the_start(
    damage: bytes | None,
    make: Callable[..., tuple[Trainer, Method]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    undisturbed, learns = make(checkpoint="undisturbed")
    undisturbed.run(learns)
    monkeypatch.setattr(trainer_module, "CHECKPOINT_SECONDS", -1.0)
    disturbed, learns = make(progress=interrupt_at(40))
    with pytest.raises(Interruption):
        disturbed.run(learns)
    whole = disturbed.checkpoint.read_bytes()
    disturbed.checkpoint.write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    disturbed, learns = make()
    disturbed.run(learns)
    assert disturbed.ledger.restarts == 0
    assert network_bytes(disturbed.ema.network) == network_bytes(undisturbed.ema.network)


def test_a_checkpoint_that_cannot_be_written_leaves_the_old_one(
    make: Callable[..., tuple[Trainer, Method]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer_module, "CHECKPOINT_SECONDS", -1.0)
    trainer, learns = make()
    whole = save_checkpoint

    def full(path: Path, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
        if meta["step"] == 30:
            raise StoreError("The disk is full.")
        whole(path, tensors, meta)

    monkeypatch.setattr(trainer_module, "save_checkpoint", full)
    with pytest.raises(StoreError):
        trainer.run(learns)
    found = load_checkpoint(trainer.checkpoint)
    assert found is not None
    assert found[1]["step"] == 29


def test_seed_and_data_decide_the_weights(make: Callable[..., tuple[Trainer, Method]]) -> None:
    weights: list[bytes] = []
    for seed in (7, 7, 8):
        trainer, learns = make(checkpoint=f"of-{len(weights)}")
        object.__setattr__(trainer.setting, "seed", seed)
        trainer.run(learns)
        weights.append(network_bytes(trainer.ema.network))
    assert weights[0] == weights[1] != weights[2]


# ---------------------------------------------------------------- the moving average


def test_the_moving_average_is_taken_after_every_update(
    make: Callable[..., tuple[Trainer, Method]],
) -> None:
    trainer, learns = make(steps=1)
    before = trainer.student[0].weight.detach().clone()  # type: ignore[index]
    trainer.run(learns)
    after = trainer.student[0].weight.detach()  # type: ignore[index]
    assert not torch.equal(before, after)
    torch.testing.assert_close(trainer.ema.network[0].weight, 0.1 * before + 0.9 * after)  # type: ignore[index]


# ---------------------------------------------------------------- networks beside the student


def test_a_frozen_network_follows_after_every_update_and_is_not_trained(
    make: Callable[..., tuple[Trainer, Method]],
) -> None:
    trainer, learns = make(method=Averaged, steps=1)
    assert isinstance(learns, Averaged)
    before = learns.target[0].weight.detach().clone()  # type: ignore[index]
    trainer.run(learns)
    after = trainer.student[0].weight.detach()  # type: ignore[index]
    torch.testing.assert_close(learns.target[0].weight, 0.8 * before + 0.2 * after)  # type: ignore[index]
    assert learns.steps == [0]
    for parameter in learns.target.parameters():
        assert parameter.grad is None
        assert not parameter.requires_grad
        assert parameter.is_leaf


def test_a_phase_that_comes_again_is_updated_again_on_a_fresh_batch(
    make: Callable[..., tuple[Trainer, Method]],
) -> None:
    once, learns = make(method=Adversarial, checkpoint="once")
    once.run(learns)
    trainer, learns = make(method=OfThreeToOne)
    trainer.run(learns)
    assert isinstance(learns, OfThreeToOne)
    assert len(learns.seen) == 3 * 60
    assert not torch.equal(learns.seen[0], learns.seen[1])
    assert trainer.ledger.images_seen == 3 * 60 * BATCH
    critic = once.ledger.per_update["critic"]
    assert trainer.ledger.macs == once.ledger.macs + 2 * 60 * critic


@pytest.mark.parametrize(
    ("extra_lr", "expected"), [(None, 0.1), (0.02, 0.02), ({"critic": 0.03}, 0.03), ({}, 0.1)]
)
def test_networks_beside_the_student_have_their_own_rate(
    extra_lr: Any, expected: float, make: Callable[..., tuple[Trainer, Method]]
) -> None:
    trainer, _ = make(method=Adversarial, steps=4, lr=0.1, warmup=1, extra_lr=extra_lr)
    budget = trainer.budget
    assert learning_rate(budget, 0, phase="critic") == pytest.approx(expected)
    assert learning_rate(budget, 0) == pytest.approx(0.1)


def test_a_rate_for_a_network_that_is_not_there_is_refused(
    make: Callable[..., tuple[Trainer, Method]],
) -> None:
    trainer, learns = make(method=Adversarial, extra_lr={"critics": 0.03})
    with pytest.raises(BadSpec, match=r"critics a learning rate; .* trained: critic\."):
        trainer.run(learns)


# ---------------------------------------------------------------- divergence


class NanAt(Regress):
    """The loss is not finite at update 7."""

    bad = math.nan

    def loss(self, student: nn.Module, teacher: nn.Module | None, batch: Batch) -> Tensor:
        loss = super().loss(student, teacher, batch)
        return loss * self.bad if batch.step == 7 else loss


class InfiniteAt(NanAt):
    bad = math.inf


class SteepAt(Regress):
    """The loss is finite at update 7 and its gradient is not: √x at 0."""

    def loss(self, student: nn.Module, teacher: nn.Module | None, batch: Batch) -> Tensor:
        loss = super().loss(student, teacher, batch)
        return loss + (loss * 0).sqrt() if batch.step == 7 else loss


class BrokenCritic(Adversarial):
    def extra_loss(
        self, phase: str, student: nn.Module, teacher: nn.Module | None, batch: Batch
    ) -> Tensor:
        loss = super().extra_loss(phase, student, teacher, batch)
        return loss * math.nan if batch.step == 7 else loss


@pytest.mark.parametrize("method", [NanAt, InfiniteAt, SteepAt])
def test_divergence_names_the_update(
    method: type[Method], make: Callable[..., tuple[Trainer, Method]]
) -> None:
    trainer, learns = make(method=method)
    with pytest.raises(Diverged, match=r"student.* at update 7\.") as caught:
        trainer.run(learns)
    assert caught.value.exit_code == 4
    assert all(torch.isfinite(p).all() for p in trainer.student.parameters())


def test_divergence_names_the_phase(make: Callable[..., tuple[Trainer, Method]]) -> None:
    trainer, learns = make(method=BrokenCritic)
    with pytest.raises(Diverged, match=r"The critic's loss or gradient .* at update 7"):
        trainer.run(learns)


class Overflowing(nn.Module):
    """A buffer grows past the largest number while the loss stays finite."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = perceptron()
        self.register_buffer("count", torch.tensor(1e30))

    def forward(self, x: Tensor) -> Tensor:
        self.get_buffer("count").mul_(10)
        out: Tensor = self.inner(x)
        return out


def test_weights_that_are_not_finite_at_the_end_are_divergence(
    make: Callable[..., tuple[Trainer, Method]],
) -> None:
    trainer, learns = make(Overflowing)
    with pytest.raises(Diverged, match="A weight is not finite after 60 updates"):
        trainer.run(learns)


# ---------------------------------------------------------------- the ledger

FORWARD = BATCH * (IN * HIDDEN + HIDDEN * OUT)
BACKWARD = BATCH * (IN * HIDDEN + 2 * HIDDEN * OUT)
"""Gradients of both weights, and of the hidden values; none of the data."""


def test_multiply_accumulates_of_a_training_are_those_of_its_matrices(
    make: Callable[..., tuple[Trainer, Method]],
) -> None:
    trainer, learns = make()
    trainer.run(learns)
    assert trainer.ledger.macs == 60 * (FORWARD + BACKWARD)
    assert trainer.ledger.images_seen == 60 * BATCH
    assert trainer.ledger.teacher_nfe == 0
    assert trainer.ledger.seconds > 0


def test_a_teacher_is_counted_in_calls_an_image_and_in_operations(
    make: Callable[..., tuple[Trainer, Method]],
) -> None:
    trainer, learns = make(teacher=perceptron())
    trainer.run(learns)
    assert trainer.ledger.teacher_nfe == 60 * BATCH
    assert trainer.ledger.macs == 60 * (2 * FORWARD + BACKWARD)


def test_a_teacher_is_frozen_and_in_evaluation_mode(
    make: Callable[..., tuple[Trainer, Method]],
) -> None:
    teacher = batch_normed()
    before = network_bytes(teacher)
    trainer, learns = make(teacher=teacher)
    trainer.run(learns)
    assert network_bytes(teacher) == before
    assert not teacher.training
    assert not any(parameter.requires_grad for parameter in teacher.parameters())


def test_every_phase_is_counted(make: Callable[..., tuple[Trainer, Method]]) -> None:
    trainer, learns = make(method=Adversarial)
    trainer.run(learns)
    critic = 2 * BATCH * OUT + 2 * BATCH * OUT  # two calls, and the weight's gradient in each
    assert trainer.ledger.macs == 60 * (FORWARD + BACKWARD + FORWARD + critic)
    assert trainer.ledger.images_seen == 60 * BATCH


# ---------------------------------------------------------------- the optimiser


@pytest.mark.parametrize("clip", [0.01, 1e6])
def test_gradients_are_clipped_to_their_global_norm(
    clip: float, make: Callable[..., tuple[Trainer, Method]]
) -> None:
    trainer, learns = make(steps=1, clip=clip)
    trainer.run(learns)
    gradients = [p.grad for p in trainer.student.parameters() if p.grad is not None]
    norm = float(torch.cat([g.flatten() for g in gradients]).double().norm())
    noted = trainer.curve[0]["grad_norm"]
    assert noted > 0.02  # as it was before it was clipped
    assert norm == pytest.approx(min(clip, noted), rel=1e-3)


def test_the_rate_rises_along_a_line_and_falls_along_a_cosine(
    make: Callable[..., tuple[Trainer, Method]], monkeypatch: pytest.MonkeyPatch
) -> None:
    rates: list[float] = []
    step = torch.optim.AdamW.step

    def noting(self: torch.optim.AdamW, *arguments: Any) -> Any:
        rates.append(self.param_groups[0]["lr"])
        return step(self, *arguments)

    monkeypatch.setattr(torch.optim.AdamW, "step", noting)
    trainer, learns = make(steps=4, lr=0.1, warmup=2)
    trainer.run(learns)
    cosine = [1.0, 0.5 + math.sqrt(2) / 4, 0.5, 0.5 - math.sqrt(2) / 4]
    expected = [0.1 * rise * fall for rise, fall in zip([0.5, 1, 1, 1], cosine, strict=True)]
    assert rates == pytest.approx(expected, rel=1e-6)


def test_the_curve_is_short_and_has_both_ends(
    make: Callable[..., tuple[Trainer, Method]],
) -> None:
    trainer, learns = make(steps=100)
    trainer.run(learns)
    steps = [point["step"] for point in trainer.curve]
    assert (steps[0], steps[-1]) == (0, 99)
    assert len(steps) <= 22
    assert trainer.curve[-1]["loss"] < trainer.curve[0]["loss"]


def test_a_method_without_a_loss_says_so(make: Callable[..., tuple[Trainer, Method]]) -> None:
    trainer, learns = make(method=Method)
    with pytest.raises(TypeError, match="Method overrides neither loss nor fit"):
        trainer.run(learns)
