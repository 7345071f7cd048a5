"""Block distillation: its three terms, its adapters that stay behind, its taps."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from kdbench_baselines.diffusion.block_distillation import (
    BlockDistillation,
    BlockDistillationParams,
    adapter,
    feature_error,
)
from kdbench_baselines.diffusion.denoising import Denoising, DenoisingParams
from kdbench_baselines.diffusion.precondition import Denoiser
from kdbench_baselines.diffusion.taps import tapped
from kdbench_baselines.diffusion.unet import unet
from torch import nn

from kdbench.errors import BadSpec
from kdbench.spec import Budget
from kdbench.training import trainer as trainer_module
from kdbench.training.checkpoint import network_bytes
from kdbench.training.ledger import CountedTeacher, Ledger
from kdbench.training.method import Batch
from kdbench.training.trainer import Trainer

from .conftest import Bench, Gaussian, Oracle

BLOCKS = ("network.fine", "network.coarse", "network.merge")


def network(channels: int, seed: int = 0) -> Denoiser:
    """A U-Net whose layers that start at 0 do not."""
    torch.manual_seed(seed)
    made = unet(Gaussian(), channels=channels, dropout=0.0)
    for parameter in made.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    return made


def batch_of(n: int = 16) -> Batch:
    split = Gaussian().split("train")
    return Batch(split.images[:n], split.labels[:n], 0)


def made(bench: Bench, student: nn.Module, teacher: nn.Module, **params: Any) -> Any:
    method = bench.method(BlockDistillation, BlockDistillationParams(**params), batch=16)
    method.prepare(student, CountedTeacher(teacher, method.setting.ledger))
    method.extra_networks()
    return method


# ---------------------------------------------------------------- terms


def test_a_copy_of_the_teacher_has_no_error_but_that_to_the_data(bench: Bench) -> None:
    teacher = network(16)
    student = copy.deepcopy(teacher)
    method = made(bench, student, teacher, task=0.0)
    loss = method.loss(student, CountedTeacher(teacher, Ledger()), batch_of())
    assert loss.item() == 0
    with torch.no_grad():
        student.network.coarse.conv_out.weight += 0.01
    task, output, feature = method.terms(student, CountedTeacher(teacher, Ledger()), batch_of())
    assert min(task.item(), output.item(), feature.item()) > 0


def test_the_task_term_is_that_of_training_from_scratch(bench: Bench) -> None:
    student, teacher = network(8), network(16, 1)
    method = made(bench, student, teacher, output=0.0, feature=0.0)
    torch.manual_seed(5)
    ours = method.loss(student, CountedTeacher(teacher, Ledger()), batch_of())
    torch.manual_seed(5)
    theirs = bench.method(Denoising, DenoisingParams()).loss(student, None, batch_of())
    assert torch.equal(ours, theirs)


def test_the_weights_of_the_sum_are_the_terms_own(bench: Bench) -> None:
    student, teacher = network(8), network(16, 1)
    counted = CountedTeacher(teacher, Ledger())
    method = made(bench, student, teacher, task=2.0, output=3.0, feature=0.5)
    torch.manual_seed(5)
    loss = method.loss(student, counted, batch_of())
    torch.manual_seed(5)
    task, output, feature = method.terms(student, counted, batch_of())
    torch.testing.assert_close(loss, 2 * task + 3 * output + 0.5 * feature)


def test_the_output_term_is_least_at_the_teacher_and_knows_the_oracle(bench: Bench) -> None:
    """λ(σ)·E(D* + c − D*)² = c²·E λ(σ), with E 1/σ² and 1/s² known in closed form."""

    class Shifted(nn.Module):
        def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
            moved: torch.Tensor = Oracle()(*inputs) + 0.1
            return moved

    method = made(bench, Shifted(), Oracle(), blocks={}, task=0.0, feature=0.0, p_std=0.2)
    images = Gaussian().split("train").images.repeat(5, 1, 1, 1)
    labels = torch.zeros(len(images), dtype=torch.int64)
    counted = CountedTeacher(Oracle(), Ledger())
    weight = torch.tensor(2.4 + 2 * 0.2**2).exp() + 1 / 0.6**2  # E 1/σ² of a log-normal σ
    _, found, _ = method.terms(Shifted(), counted, Batch(images, labels, 0))
    assert float(found) == pytest.approx(float(0.01 * weight), rel=0.02)
    _, none, _ = method.terms(Oracle(), counted, Batch(images, labels, 0))
    assert float(none) == 0


def test_features_are_compared_through_their_adapters() -> None:
    own, other = torch.randn(2, 3, 4, 4), torch.randn(2, 5, 4, 4)
    fit = adapter("x", (3, 4, 4), (5, 4, 4))
    by_hand = (torch.einsum("oi,bihw->bohw", fit.weight[:, :, 0, 0], own) - other) ** 2  # type: ignore[index]
    fit.bias.data.zero_()  # type: ignore[union-attr, operator]
    twice = feature_error([fit, nn.Identity()], [own, other], [other, other + 2])
    torch.testing.assert_close(twice, by_hand.mean() + 4)


def test_blocks_of_one_width_need_no_adapter_and_no_second_phase(bench: Bench) -> None:
    method = made(bench, network(16), network(16, 1))
    assert method.extra_networks() == {}
    assert method.phases == ("student",)
    narrow = made(bench, network(8), network(16, 1))
    assert set(narrow.extra_networks()) == {"adapters"}
    assert narrow.phases == ("student", "adapters")


# ---------------------------------------------------------------- who learns


def test_every_network_learns_in_its_own_phase_only(bench: Bench) -> None:
    student, teacher = network(8), network(16, 1)
    counted = CountedTeacher(teacher, Ledger())
    method = made(bench, student, teacher)
    method.adapters.requires_grad_(False)
    method.loss(student, counted, batch_of()).backward()
    assert all(p.grad is not None for p in student.parameters())
    assert all(p.grad is None for p in method.adapters.parameters())
    before = [p.grad.clone() for p in student.parameters() if p.grad is not None]
    method.adapters.requires_grad_(True)
    method.extra_loss("adapters", student, counted, batch_of()).backward()
    assert all(p.grad is not None and p.grad.any() for p in method.adapters.parameters())
    after = [p.grad for p in student.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True) if b is not None)
    assert all(p.grad is None for p in teacher.parameters())


def test_the_teacher_is_asked_once_an_image(bench: Bench) -> None:
    student, ledger = network(8), Ledger()
    method = made(bench, student, network(16, 1))
    counted = CountedTeacher(network(16, 1), ledger)
    method.loss(student, counted, batch_of(16))
    method.extra_loss("adapters", student, counted, batch_of(16))
    assert ledger.teacher_nfe == 16


def trained(bench: Bench, checkpoint: Path, steps: int = 40) -> tuple[Trainer, Any]:
    method = bench.method(BlockDistillation, BlockDistillationParams(), batch=16)
    trainer = Trainer(
        student=network(8),
        teacher=CountedTeacher(network(16, 1), method.setting.ledger),
        budget=Budget(steps=steps, batch=16, lr=1e-2, warmup=1, ema=0.9),
        setting=method.setting,
        checkpoint=checkpoint,
    )
    method.prepare(trainer.student, trainer.teacher)
    return trainer, method


def test_adapters_are_not_exported_and_all_terms_fall(bench: Bench, tmp_path: Path) -> None:
    trainer, method = trained(bench, tmp_path / "x")
    counted = CountedTeacher(network(16, 1), Ledger())
    method.extra_networks()
    torch.manual_seed(5)
    before = method.terms(trainer.student, counted, batch_of(64))
    trainer.run(method)
    torch.manual_seed(5)
    after = method.terms(trainer.student, counted, batch_of(64))
    assert all(b.item() < a.item() for a, b in zip(before[1:], after[1:], strict=True))
    assert set(trainer.ema.network.state_dict()) == set(network(8).state_dict())
    assert {"student", "adapters"} == set(method.setting.ledger.per_update)


def test_an_interruption_changes_no_bit(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(done: int, total: int) -> None:
        if done == 20:
            raise KeyboardInterrupt

    undisturbed, method = trained(bench, tmp_path / "undisturbed")
    undisturbed.run(method)
    monkeypatch.setattr(trainer_module, "CHECKPOINT_SECONDS", -1.0)
    disturbed, method = trained(bench, tmp_path / "disturbed")
    disturbed.progress = stop
    with pytest.raises(KeyboardInterrupt):
        disturbed.run(method)
    resumed, method = trained(bench, tmp_path / "disturbed")
    resumed.run(method)
    assert resumed.ledger.restarts == 1
    assert network_bytes(resumed.ema.network) == network_bytes(undisturbed.ema.network)


# ---------------------------------------------------------------- taps


def test_taps_see_what_passes_and_leave_nothing_behind() -> None:
    student = network(8)
    inputs = torch.randn(2, 1, 2, 2), torch.ones(2), torch.tensor([0, 1])
    with tapped(student, BLOCKS) as seen:
        tapped_output = student(*inputs)
    assert [tuple(seen[path].shape) for path in BLOCKS] == [
        (2, 8, 2, 2),
        (2, 16, 1, 1),
        (2, 8, 2, 2),
    ]
    norm = nn.functional.silu(student.network.norm(seen["network.merge"]))
    s = (1 + student.sigma_data**2) ** 0.5
    output = student.network.exit(norm) * student.sigma_data / s
    torch.testing.assert_close(tapped_output, student.sigma_data**2 / s**2 * inputs[0] + output)
    assert not any(module._forward_hooks for module in student.modules())


def test_a_path_that_leads_nowhere_is_refused_and_leaves_nothing_behind() -> None:
    student = network(8)
    with (
        pytest.raises(BadSpec, match=r"no module 'network.fin'; it has: network.condition, netw"),
        tapped(student, ["network.fine", "network.fin"]),
    ):
        pass
    assert not any(module._forward_hooks for module in student.modules())


def test_blocks_of_other_sizes_are_refused(bench: Bench) -> None:
    with pytest.raises(BadSpec, match=r"'network.fine' gives \(8, 2, 2\), its teacher's \(32, 1"):
        made(bench, network(8), network(16), blocks={"network.fine": "network.coarse"})
    with pytest.raises(BadSpec, match="both must be"):
        adapter("x", (68,), (68,))
