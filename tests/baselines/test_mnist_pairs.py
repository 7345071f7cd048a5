"""The pairs of mnist@1: their network on patches, their budgets, and that each of them trains."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from kdbench_baselines.diffusion.dmd2 import Dmd2Params
from kdbench_baselines.diffusion.gan_head import features_at
from kdbench_baselines.diffusion.patch_unet import PatchUNet, patch_unet
from kdbench_baselines.diffusion.unet import UNet
from kdbench_baselines.tuning.trials import to_toml
from torch import Tensor, nn

from kdbench import registry
from kdbench.errors import BadSpec
from kdbench.generators.build import build_network, build_sampler
from kdbench.plan import make_plan
from kdbench.spec import FROM_SCRATCH, Pair
from kdbench.stages import Stages
from kdbench.store import Store
from kdbench.tasks import mnist
from kdbench.tasks.data_files import DataError
from kdbench.tasks.mnist import Mnist

STUDENTS = ("mnist-luhman", "mnist-progressive-4", "mnist-progressive-2", "mnist-cd", "mnist-dmd")
TRAINED = (*STUDENTS, "mnist-edm", "mnist-start", "mnist-denoiser", "mnist-gan-scratch")
NETWORK = 192, 2
"""Width and depth of the students' perceptron."""
BOTTLENECK = Dmd2Params.model_fields["bottleneck"].default


def pair_of(name: str) -> Pair:
    return registry.pairs.load(name)


class Inner(nn.Module):
    """Stands for the inside of the U-Net: keeps the patches that it is given."""

    def forward(self, x: Tensor, *conditions: Tensor) -> Tensor:
        self.seen = x
        return 2 * x


def inputs(n: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn((n, 1, 28, 28), generator=generator), torch.ones(n), torch.arange(n)


# ---------------------------------------------------------------- network


def test_patches_are_two_by_two_pixels_and_come_back_where_they_were(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    inner = Inner()
    monkeypatch.setattr(UNet, "forward", lambda self, *arguments: inner(*arguments))
    x, sigma, labels = inputs()
    assert torch.equal(PatchUNet(1, 10, 8, 0.0)(x, sigma, labels), 2 * x)
    assert inner.seen.shape == (2, 4, 14, 14)
    assert torch.equal(inner.seen[0, :, 3, 5], x[0, 0, 6:8, 10:12].flatten())


def test_the_teacher_has_its_parameters_and_a_bottleneck_for_the_classifier() -> None:
    network = build_network(pair_of("mnist-edm"), Mnist())
    assert sum(parameter.numel() for parameter in network.parameters()) == 398_372
    assert network(*inputs()).shape == (2, 1, 28, 28)
    assert features_at(network, BOTTLENECK, *inputs()).shape == (2, 64, 7, 7)


def test_an_untrained_network_denoises_by_its_skip_alone() -> None:
    x, sigma, labels = inputs()
    own = Mnist.sigma_data**2
    expected = own / (1 + own) * x
    torch.testing.assert_close(patch_unet(Mnist())(x, sigma, labels), expected)


def test_second_times_and_null_labels_are_taken() -> None:
    network = patch_unet(Mnist(), channels=8, second_time=True, null_label=True)
    x, sigma, _ = inputs()
    assert network.null_label == 10
    assert network(x, sigma, torch.tensor([3, 10]), sigma).shape == x.shape


@pytest.mark.parametrize("side", [26, 30])
def test_sides_that_cannot_be_halved_twice_are_refused(side: int) -> None:
    class Odd(Mnist):
        shape = (1, side, side)

    with pytest.raises(BadSpec, match="multiples of 4"):
        patch_unet(Odd())


# ---------------------------------------------------------------- pairs


@pytest.mark.parametrize("name", STUDENTS)
def test_every_student_has_the_same_network_and_its_controls(name: str) -> None:
    pair = pair_of(name)
    assert pair.network is not None
    assert (pair.network.args["width"], pair.network.args["depth"]) == NETWORK
    rows = {control: pair_of(control.partition("/")[0]) for control in pair.controls}
    arms = {row: other.arms[row.partition("/")[2]] for row, other in rows.items()}
    calls = {build_sampler(arm.sampling).nfe for arm in pair.arms.values()}
    for role in ("few-step", *FROM_SCRATCH):
        same = {build_sampler(arm.sampling).nfe for arm in arms.values() if arm.role == role}
        reference = {build_sampler(arm.sampling).nfe for arm in arms.values() if arm.reference}
        assert calls <= same | reference, role
    assert any(arm.reference for arm in arms.values())
    assert {"mnist-mean/mean", "mnist-noise/noise", "mnist-real/floor"} <= set(arms)
    assert (1 in calls) == ("mnist-gan-scratch/scratch" in arms)
    assert {row for row in arms if row.startswith("mnist-start")} or pair.start != "mnist-start"


def test_the_gan_has_the_students_size() -> None:
    sizes = [
        sum(parameter.numel() for parameter in build_network(pair_of(name), Mnist()).parameters())
        for name in ("mnist-gan-scratch", "mnist-luhman")
    ]
    assert math.isclose(*sizes, rel_tol=0.05)


def test_a_student_is_planned_with_what_it_needs() -> None:
    plan = make_plan("mnist-dmd")
    assert {"mnist-edm", "mnist-dmd"} <= {run.pair for run in plan.runs}


# ---------------------------------------------------------------- training


@pytest.fixture
def data() -> None:
    """The published files; the test is skipped where there are none."""
    try:
        mnist.DATA.folder()
        Mnist().split("train")
    except DataError as error:
        pytest.skip(str(error))


def shrunken(name: str, folder: Path) -> Pair:
    """The pair for two small updates, from random weights, taught by a teacher of two updates."""
    description: dict[str, Any] = pair_of(name).model_dump(mode="json", exclude_defaults=True)
    description["budget"] |= {"steps": 2, "batch": 4}
    description.pop("start", None)
    description.pop("weights", None)
    if "teacher" in description:
        teacher = shrunken("mnist-edm", folder)
        path = folder / "mnist-edm--tiny.toml"
        path.write_text(to_toml(teacher.model_copy(update={"name": path.stem})))
        description["teacher"] = registry.pairs.add(path).name
    params = description["method"].get("params", {})
    description["method"]["params"] = params | dict.fromkeys({"bank", "pairs"} & set(params), 250)
    return Pair.model_validate(description)


@pytest.mark.usefixtures("data")
@pytest.mark.parametrize("name", TRAINED)
def test_every_pair_trains(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry.pairs, "added", dict(registry.pairs.added))
    done = Stages(Store(tmp_path)).network(shrunken(name, tmp_path), seed=0)
    assert done.training is not None
    assert done.training["steps"] == 2
    assert all(math.isfinite(point["loss"]) for point in done.training["curve"])
