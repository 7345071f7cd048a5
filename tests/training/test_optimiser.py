"""Optimisers against torch's own, schedules against their formulas, and what bf16 touches."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from kdbench.spec import Budget
from kdbench.training.optimiser import Trained, autocast, learning_rate

CPU = torch.device("cpu")
X, Y = torch.randn((2, 16, 3), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("name", "reference", "extra"),
    [
        ("adamw", torch.optim.AdamW, {}),
        ("radam", torch.optim.RAdam, {"decoupled_weight_decay": True}),
    ],
)
def test_a_budget_has_the_optimiser_that_it_names(
    name: Any, reference: type[torch.optim.Optimizer], extra: dict[str, Any]
) -> None:
    torch.manual_seed(0)
    ours = nn.Linear(3, 3)
    theirs = copy.deepcopy(ours)
    numbers: dict[str, Any] = {"lr": 0.05, "betas": (0.8, 0.9), "weight_decay": 0.3}
    budget = Budget(steps=20, optimiser=name, **numbers)
    pairs = (
        (ours, Trained.of(ours, budget).optimiser),
        (theirs, reference(theirs.parameters(), **numbers, **extra)),
    )
    for network, optimiser in pairs:
        for _ in range(20):
            optimiser.zero_grad()
            (network(X) - Y).square().mean().backward()
            optimiser.step()
    torch.testing.assert_close(ours.weight, theirs.weight)


def test_the_optimisers_are_not_one() -> None:
    kinds = {
        type(Trained.of(nn.Linear(1, 1), Budget(steps=1, optimiser=name)).optimiser)
        for name in ("adamw", "radam")
    }
    assert len(kinds) == 2


@pytest.mark.parametrize(
    ("schedule", "left"), [("constant", [1.0] * 4), ("linear", [1.0, 0.75, 0.5, 0.25])]
)
def test_a_schedule_is_its_formula_after_the_warm_up(schedule: Any, left: list[float]) -> None:
    budget = Budget(steps=4, lr=0.1, warmup=2, schedule=schedule)
    rates = [learning_rate(budget, step) for step in range(4)]
    expected = [0.1 * rise * part for rise, part in zip([0.5, 1, 1, 1], left, strict=True)]
    assert rates == pytest.approx(expected)


def test_bf16_is_what_products_are_computed_in_and_weights_are_not() -> None:
    network = nn.Linear(3, 3)
    outputs = {}
    for precision in ("fp32", "bf16"):
        with autocast(Budget(steps=1, precision=precision), CPU):
            outputs[precision] = network(X)
    assert outputs["fp32"].dtype == torch.float32
    assert outputs["bf16"].dtype == torch.bfloat16
    torch.testing.assert_close(outputs["bf16"].float(), outputs["fp32"], atol=0.02, rtol=0.02)
    outputs["bf16"].float().square().mean().backward()
    assert network.weight.dtype == torch.float32
    assert network.weight.grad is not None
    assert network.weight.grad.dtype == torch.float32
