"""CIFAR-10 and ImageNet-64 by configuration: every pair is whole, and a small form of it runs.

None of these pairs was run as it is. Here each one trains twice four images of a few, in the form
in which the data sets are published, with its own method, sampler and network of four channels.
"""

from __future__ import annotations

import hashlib
import io
import math
import pickle
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from kdbench_baselines.diffusion import teacher_bank, teacher_pairs
from kdbench_baselines.diffusion.gan_head import features_at
from kdbench_baselines.tuning.trials import Trial, register
from PIL import Image
from torch import nn
from torchvision.datasets import CIFAR10

from kdbench import registry
from kdbench.digest import sha256_of
from kdbench.generators.base import Inputs
from kdbench.generators.build import build_generator, build_network, build_sampler
from kdbench.keys import resolved_params
from kdbench.plan import make_plan
from kdbench.seeds import image_generators
from kdbench.spec import Pair, canonical_json
from kdbench.stages import Stages, build_spec, shared_task
from kdbench.store import Store
from kdbench.tasks import cifar10, cifar10_files, cifar10_jpeg, imagenet64, imagenet64_files
from tests.tasks.imagenet64_set import batches_of, stand_in, write_archives
from tests.tasks.test_cifar10 import archive, old_pickle, set_of

NAMES = [name for name in registry.pairs if name.startswith(("cifar10", "imagenet64"))]
TRAINED = [n for n in NAMES if not n.endswith(("-mean", "-noise", "-real"))]
OFFICIAL = [n for n in TRAINED if n.startswith(("cifar10-official", "imagenet64"))]
SMALL = [n for n in TRAINED if n not in OFFICIAL]


def load(name: str) -> Pair:
    return registry.pairs.load(name)


# ---------------------------------------------------------------- what the files say


@pytest.mark.parametrize("name", NAMES)
def test_nobody_is_said_to_have_run_it(name: str) -> None:
    pair = load(name)
    assert pair.unrun
    assert pair.tuning.trials == 0
    assert pair.weights == ()


IMAGES = {
    "cifar10-official-edm": (1e-3, 512, 200),
    "cifar10-official-luhman": (2e-4, 512, 25 * 1.024),
    "cifar10-official-progressive-1": (5e-5, 128, 6.4),
    "cifar10-official-cd": (4e-4, 512, 409.6),
    "cifar10-official-ect": (1e-4, 128, 25.6),
    "cifar10-official-dmd2": (1e-4, 2048, 40.96),
    "cifar10-official-sid": (1e-5, 256, 500),
    "cifar10-official-reflow": (2e-4, 512, 409.6),
    "cifar10-official-meanflow": (6e-4, 1024, 1024),
    "imagenet64-edm": (1e-4, 4096, 2500),
    "imagenet64-luhman": (5e-5, 512, 35 * 1.024),
    "imagenet64-progressive-1": (1e-4, 2048, 102.4),
    "imagenet64-cd": (8e-6, 2048, 1228.8),
    "imagenet64-ect": (1e-3, 128, 12.8),
    "imagenet64-dmd2": (2e-6, 280, 11.2),
    "imagenet64-sid": (4e-6, 8192, 1000),
    "imagenet64-reflow": (1e-4, 2048, 1433.6),
}
"""Learning rate, images an update, and million images, as the sources in the pairs' notes say."""


@pytest.mark.parametrize("name", OFFICIAL)
def test_official_lengths_and_rates_are_as_published(name: str) -> None:
    pair = load(name)
    known = IMAGES[name if name in IMAGES else f"{name.rsplit('-', 1)[0]}-1"]
    budget = pair.budget
    assert budget is not None
    assert (budget.lr, budget.batch) == known[:2]
    assert budget.steps * budget.batch / 1e6 == pytest.approx(known[2], rel=1e-3)
    assert "Differs" in pair.tuning.note


def test_both_forms_of_cifar_have_the_same_pairs() -> None:
    plain = {n.removeprefix("cifar10-") for n in NAMES if not n.startswith("cifar10-jpeg")}
    for name in sorted(plain - {n for n in plain if n.startswith(("official", "imagenet64"))}):
        facts = load(f"cifar10-{name}").model_dump_json().replace("cifar10", "cifar10-jpeg")
        assert Pair.model_validate_json(facts) == load(f"cifar10-jpeg-{name}")


# ---------------------------------------------------------------- what the files lead to


@cache
def full_network(described: str) -> nn.Module:
    """The network of a pair at its full size, without memory for its weights."""
    pair = Pair.model_validate_json(described)
    with torch.device("meta"):
        return build_network(pair, shared_task(pair.task))


def network_of(name: str) -> nn.Module:
    pair = load(name)
    bare = Pair.model_validate(
        {
            **pair.model_dump(include={"task", "network", "method", "budget"}),
            "name": "network",
            "family": "test",
            "summary": "s",
            "arms": {"one": {"role": "student"}},
        }
    )
    return full_network(canonical_json(bare))


@pytest.mark.parametrize("name", TRAINED)
def test_networks_methods_and_samplers_fit_at_full_size(name: str) -> None:
    pair = load(name)
    params = resolved_params(pair)
    shapes = {key: value.shape for key, value in network_of(name).state_dict().items()}
    assert shapes
    if pair.start:
        start = network_of(pair.start).state_dict()
        assert {key: value.shape for key, value in start.items()} == shapes
    for arm, spec in pair.arms.items():
        sampler = build_sampler(spec.sampling)
        number = arm.rsplit("-", 1)[-1]
        if number.isdecimal():
            assert sampler.nfe == int(number)
    if "bottleneck" in params:
        assert pair.teacher is not None
        task, teacher = shared_task(pair.task), network_of(pair.teacher)
        inputs = torch.zeros(1, *task.shape), torch.ones(1), torch.zeros(1, dtype=torch.int64)
        with torch.device("meta"):
            found = features_at(teacher, params["bottleneck"], *(i.to("meta") for i in inputs))
        assert found.shape[2] == found.shape[3] == 8


@pytest.mark.parametrize("name", [n for n in TRAINED if "progressive" in n])
def test_halvings_nest_and_are_sampled_where_they_are_trained(name: str) -> None:
    pair = load(name)
    params = resolved_params(pair)
    assert pair.teacher is not None
    before = load(pair.teacher)
    assert before.method is not None
    if before.method.name == "progressive@1":
        assert resolved_params(before) == params | {"calls": 2 * params["calls"]}
    else:
        assert params["finest"] == 2 * params["calls"]
    args = pair.arms["student"].sampling.args
    assert args == {
        "steps": params["calls"],
        **{key: params[key] for key in ("finest", "sigma_min", "sigma_max")},
    }


@pytest.mark.parametrize("name", TRAINED)
def test_students_are_called_where_they_are_trained(name: str) -> None:
    pair = load(name)
    params = resolved_params(pair)
    level = params.get("sigma_init") or (params.get("sigma_max") if "pairs" in params else None)
    for arm in pair.arms.values():
        args = arm.sampling.args
        if arm.role == "student" and level:
            assert args.get("sigmas", [args.get("sigma_max")])[0] == level
        if arm.sampling.sampler == "consistency@1" and "sigma_min" in params:
            assert args["sigma_min"] == params["sigma_min"]
            assert args["sigma_data"] == shared_task(pair.task).sigma_data


@pytest.mark.parametrize("name", TRAINED)
def test_students_stand_beside_rows_of_as_many_calls(name: str) -> None:
    pair = load(name)
    students = {a: s for a, s in pair.arms.items() if s.role == "student"}
    plan = make_plan(name, seeds=(0,))
    assert set(plan.unrun) >= {run.pair for run in plan.runs}
    rows = [(run.role, nfe(run.pair, run.arm)) for run in plan.runs if run.pair != name]
    for arm in students:
        calls = nfe(name, arm)
        wanted = {("few-step", calls), ("trivial", 0), ("floor", 0)}
        if name in SMALL:
            wanted |= {("scratch", calls), ("inherited", calls)}
        assert wanted <= set(rows)
    if students:
        assert "teacher" in {role for role, _ in rows}


def nfe(name: str, arm: str) -> int:
    """Calls of a row; none of what has no network."""
    pair = load(name)
    return 0 if pair.generator else build_sampler(pair.arms[arm].sampling).nfe


# ---------------------------------------------------------------- what they do

TINY = {"ddpmpp@1": 4, "conv-generator@1": 4}


@dataclass
class Workshop:
    """Small forms of pairs, and the networks that they were trained to."""

    folder: Path
    names: dict[str, str] = field(default_factory=dict)

    def shrunk(self, name: str) -> str:
        """The pair with a block of four channels and two updates of four images, as its teacher."""
        if name not in self.names:
            self.names[name] = register(self._trial(load(name)), self.folder).name
        return self.names[name]

    def _trial(self, pair: Pair) -> Trial:
        change: dict[str, Any] = {}
        if pair.method and pair.network:
            change = {
                "budget.steps": 2,
                "budget.batch": 4,
                "network.args.channels": TINY[pair.network.name],
            }
            if pair.network.name == "ddpmpp@1":
                change["network.args.blocks"] = 1
                levels = len(pair.network.args.get("mult", (2, 2, 2)))
            if "attention" in pair.network.args:
                change["network.args.attention"] = [16, 8]  # 1024 places cost more than all else
            if "bottleneck" in pair.method.params:
                change["method.params.bottleneck"] = f"network.encoder.{2 * levels - 2}"  # its end
            if "pairs" in pair.method.params:
                change |= {"method.params.pairs": 4, "method.params.sampler_args.steps": 2}
            if pair.method.name == "adversarial@1":
                change["method.params.channels"] = 4
        for arm, spec in pair.arms.items():
            if spec.sampling.sampler in ("heun@1", "multistep@1"):
                change[f"arms.{arm}.sampling.args.steps"] = 2
        for role in ("teacher", "start", "beside"):
            if other := getattr(pair, role):
                change[role] = self.shrunk(other)
        return Trial(label="small", pair=pair.name, set=change)

    @property
    def stages(self) -> Stages:
        return Stages(Store(self.folder / "runs"))


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    """All three data sets, a few pictures each, in their published forms."""
    folder, data = tmp_path_factory.mktemp("workshop"), tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KDBENCH_DATA", str(data))
        patch.setattr(cifar10, "VALIDATION_PER_CLASS", 1)
        patch.setattr(teacher_bank, "CHUNK", 4)
        patch.setattr(teacher_pairs, "CHUNK", 4)
        write_cifar10(data, patch)
        write_jpegs(data, patch)
        stand_in(patch, folder / "cache", n=4)
        patch.setattr(imagenet64_files, "SHA256", write_archives(data, batches_of(4)))
        for read in (cifar10._published, cifar10._jpeg, imagenet64._splits):
            read.cache_clear()
        yield Workshop(folder)
        for read in (cifar10._published, cifar10._jpeg, imagenet64._splits):
            read.cache_clear()
        registry.pairs.added.clear()


def write_cifar10(data: Path, patch: pytest.MonkeyPatch) -> None:
    """Python batches in a folder; their checksums stand for the published ones."""
    made = {name: old_pickle(set_of(20 + i)) for i, name in enumerate(cifar10_files.BATCHES)}
    (data / cifar10_files.FOLDER).mkdir()
    for name, batch in made.items():
        (data / cifar10_files.FOLDER / name).write_bytes(batch)
    sums = {name: hashlib.md5(batch).hexdigest() for name, batch in made.items()}
    patch.setattr(cifar10_files, "BATCHES", sums)


def write_jpegs(data: Path, patch: pytest.MonkeyPatch) -> None:
    """The archive of JPEGs; the checksums of its pixels stand for the known ones."""
    patch.setattr(cifar10_jpeg, "PARTS", {"train": 3, "test": 2})
    files, sums = {}, {}
    for part, n in cifar10_jpeg.PARTS.items():
        images = []
        for label, number in ((a, b) for a in cifar10_jpeg.NAMES for b in range(n)):
            out = io.BytesIO()
            pixels = np.random.default_rng(len(images)).integers(256, size=(4, 4, 3))
            picture = Image.fromarray(pixels.astype(np.uint8)).resize((32, 32))
            picture.save(out, "jpeg")
            files[f"{part}/{label}/{number:04}.jpg"] = out.getvalue()
            images.append(torch.from_numpy(np.array(Image.open(out))).permute(2, 0, 1))
        sums[part] = sha256_of(torch.stack(images), torch.arange(10).repeat_interleave(n))
    archive(data / cifar10_jpeg.ARCHIVE, files, "w:xz")
    patch.setattr(cifar10_jpeg, "SHA256", sums)


def test_torchvision_reads_the_same_cifar10(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    *train, test = map(list, cifar10_files.BATCHES.items())
    names = pickle.dumps({"label_names": list(cifar10_jpeg.NAMES)}, protocol=2)
    sums = {"md5": hashlib.md5(names).hexdigest()}
    shutil.copytree(cifar10.DATA.folder() / cifar10_files.FOLDER, tmp_path / cifar10_files.FOLDER)
    (tmp_path / cifar10_files.FOLDER / "batches.meta").write_bytes(names)
    monkeypatch.setattr(CIFAR10, "train_list", train)
    monkeypatch.setattr(CIFAR10, "test_list", [test])
    monkeypatch.setattr(CIFAR10, "meta", CIFAR10.meta | sums)
    theirs = CIFAR10(str(tmp_path), train=False)
    ours = shared_task("cifar10@1").split("held-out")
    assert np.array_equal(theirs.data.transpose(0, 3, 1, 2), ours.images.numpy())
    assert theirs.targets == ours.labels.tolist()


@pytest.mark.parametrize("name", NAMES)
def test_a_small_form_trains_and_draws(workshop: Workshop, name: str) -> None:
    pair = load(workshop.shrunk(name))
    task, path = shared_task(pair.task), None
    if pair.method:
        trained = workshop.stages.network(pair, seed=0)
        assert trained.training is not None
        assert trained.training["steps"] == 2
        assert trained.training["macs"] > 0
        curve = trained.training["curve"]
        assert [math.isfinite(point["loss"] + point["grad_norm"]) for point in curve] == [True] * 2
        assert any(point["grad_norm"] > 0 for point in curve)
        path = trained.path
    labels = task.split("train").labels[:2]
    latents = [torch.randn(task.shape, generator=g) for g in image_generators(0, 0, 2)]
    for arm in pair.arms:
        generator, _ = build_generator(build_spec(pair, arm, path, "cpu"))
        with torch.inference_mode():
            images = generator(Inputs(torch.stack(latents), labels, torch.arange(2)))
        assert images.shape == (2, *task.shape)
        assert images.isfinite().all()
        assert task.finish(images).dtype == torch.uint8
