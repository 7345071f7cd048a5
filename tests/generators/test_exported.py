"""Programs from outside: run as they are, held to the contract, and never unpickled."""

from __future__ import annotations

import io
import json
import warnings
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from kdbench.errors import NothingMeasured
from kdbench.generators.base import sample
from kdbench.generators.exported import BadProgram, load_program
from kdbench.stages import shared_task

DIGITS = shared_task("digits@1")
INPUTS = DIGITS.inputs(7, split="held-out", replicate=0)


class Shaded(nn.Module):
    """A digit's label as its grey level, a little lighter where the latent is."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("levels", torch.arange(10) / 10)

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        return self.levels[labels][:, None, None, None] + 0.05 * torch.sigmoid(latents)


class Plain(nn.Module):
    """Of latents alone."""

    def forward(self, latents: Tensor) -> Tensor:
        return torch.sigmoid(latents)


class Optionally(nn.Module):
    """Of labels where they are given."""

    def forward(self, latents: Tensor, labels: Tensor | None = None, scale: float = 0.1) -> Tensor:
        images = torch.sigmoid(latents)
        return images if labels is None else 0 * images + scale * labels[:, None, None, None]


class Scaled(nn.Module):
    """Of latents and a number with a default."""

    def forward(self, latents: Tensor, scale: float = 0.5) -> Tensor:
        return scale * torch.sigmoid(latents)


class Raw(nn.Module):
    """Without its last activation."""

    def forward(self, latents: Tensor) -> Tensor:
        return 3 * latents


class Signed(nn.Module):
    """In another range."""

    def forward(self, latents: Tensor) -> Tensor:
        return torch.tanh(3 * latents)


class Wide(nn.Module):
    """Of 256 levels."""

    def forward(self, latents: Tensor) -> Tensor:
        return 255 * torch.sigmoid(latents)


class Bytes(nn.Module):
    """Not floating-point."""

    def forward(self, latents: Tensor) -> Tensor:
        return latents.byte()


class Flat(nn.Module):
    """Of another shape."""

    def forward(self, latents: Tensor) -> Tensor:
        return torch.sigmoid(latents).flatten(1)


class Broken(nn.Module):
    """Fails when it runs."""

    def forward(self, latents: Tensor) -> Tensor:
        return latents.view(3, 5)


class Three(nn.Module):
    """Of too much."""

    def forward(self, latents: Tensor, labels: Tensor, scale: Tensor) -> Tensor:
        return latents * scale


def scripted(folder: Path, module: nn.Module) -> Path:
    path = folder / "program.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(module).save(str(path))
    return path


def exported(folder: Path, module: nn.Module, n: int = 4, **options: Any) -> Path:
    path = folder / "program.pt2"
    few = DIGITS.inputs(n, split="held-out", replicate=1)
    torch.export.save(torch.export.export(module, (few.latents, few.labels), **options), path)
    return path


def drawn(path: Path) -> Tensor:
    program = load_program(path, DIGITS)
    images = sample(program, INPUTS, chunk=program.at_once)
    program.refuse_range(images)
    return images


def test_a_program_of_any_number_of_images(tmp_path: Path) -> None:
    n = torch.export.Dim("n", max=64)
    path = exported(tmp_path, Shaded(), dynamic_shapes=({0: n}, {0: n}))
    assert load_program(path, DIGITS).at_once == 64
    assert torch.equal(drawn(path), Shaded()(INPUTS.latents, INPUTS.labels))


def test_a_program_of_a_fixed_number_of_images_is_called_with_as_many(tmp_path: Path) -> None:
    path = exported(tmp_path, Shaded(), n=3)
    assert load_program(path, DIGITS).at_once == 3
    assert torch.equal(drawn(path), Shaded()(INPUTS.latents, INPUTS.labels))


def test_torchscript_with_and_without_labels(tmp_path: Path) -> None:
    two = scripted(tmp_path, Shaded())
    assert torch.equal(drawn(two), Shaded()(INPUTS.latents, INPUTS.labels))
    one = scripted(tmp_path, Plain()).rename(tmp_path / "one.ts")
    assert torch.equal(drawn(one), Plain()(INPUTS.latents))


def test_torchscript_with_optional_labels_is_given_them(tmp_path: Path) -> None:
    path = scripted(tmp_path, Optionally())
    assert load_program(path, DIGITS).notes == ()
    assert torch.equal(drawn(path), Optionally()(INPUTS.latents, INPUTS.labels))


@pytest.mark.parametrize("module", [Plain(), Scaled()], ids=lambda value: type(value).__name__)
def test_a_program_that_takes_no_labels_is_noted(tmp_path: Path, module: nn.Module) -> None:
    path = scripted(tmp_path, module)
    assert load_program(path, DIGITS).notes == ("called with latents alone",)
    assert torch.equal(drawn(path), module(INPUTS.latents))


@pytest.mark.parametrize(
    ("module", "said"),
    [
        (Signed(), r"from -1 to 1 \(return \(x \+ 1\) / 2"),
        (Wide(), "divide by 255"),
        (Raw(), r"from -\S+ to \S+ \(values are unbounded: apply the program's own output act"),
        (Bytes(), "returned torch.uint8"),
        (Flat(), r"the shape \(250, 64\) where \(250, 1, 8, 8\) was due"),
        (Three(), "takes 3 inputs"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_breaks_the_contract_is_said(tmp_path: Path, module: nn.Module, said: str) -> None:
    with pytest.raises(BadProgram, match=said) as error:
        drawn(scripted(tmp_path, module))
    assert error.value.exit_code == 2


def test_a_program_that_fails_is_a_failed_run(tmp_path: Path) -> None:
    with pytest.raises(NothingMeasured, match=r"'program.pt' failed on \(250, 1, 8, 8\)") as error:
        drawn(scripted(tmp_path, Broken()))
    assert error.value.exit_code == 4
    assert "\n" not in str(error.value)


def test_values_that_are_not_finite_are_left_to_be_counted(tmp_path: Path) -> None:
    program = load_program(scripted(tmp_path, Plain()), DIGITS)
    program.refuse_range(torch.full((2, 1, 8, 8), torch.nan))


class Opened:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, tuple[str, str]]:
        return open, (str(self.trace), "w")


def test_pickles_are_refused_unopened(tmp_path: Path) -> None:
    trace, path = tmp_path / "trace", tmp_path / "weights.pt"
    for new in (True, False):
        torch.save(Opened(trace), path, _use_new_zipfile_serialization=new)
        with pytest.raises(BadProgram, match="pickled Python objects"):
            load_program(path, DIGITS)
    assert not trace.exists()


@pytest.mark.parametrize("where", ["sample_inputs", "weights", "constants"])
def test_pickles_inside_an_exported_program_are_refused_unopened(
    tmp_path: Path, where: str
) -> None:
    trace, path = tmp_path / "trace", exported(tmp_path, Shaded())
    pickle = io.BytesIO()
    torch.save(Opened(trace), pickle)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for name, data in list(members.items()):
        if where == "sample_inputs" and name.endswith("sample_inputs/model.pt"):
            members[name] = pickle.getvalue()
        elif f"data/{where}/model_{where}_config.json" in name:
            config = json.loads(data)
            payload = {"path_name": "opaque_obj_0", "is_param": False, "use_pickle": False}
            config["config"]["levels"] = payload | {"tensor_meta": None}
            members[name] = json.dumps(config).encode()
            members[name.replace(f"model_{where}_config.json", "opaque_obj_0")] = pickle.getvalue()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    with pytest.raises(BadProgram, match="pickled Python objects"):
        load_program(path, DIGITS)
    assert not trace.exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive", b"\x89PNG"])
def test_other_files_are_no_programs(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "program.pt2"
    path.write_bytes(content)
    with pytest.raises(BadProgram, match="no archive of"):
        load_program(path, DIGITS)


def test_a_damaged_program_is_said_in_one_line(tmp_path: Path) -> None:
    path = exported(tmp_path, Shaded())
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, b"{}" if name.endswith("models/model.json") else data)
    with pytest.raises(BadProgram, match=r"'program\.pt2' cannot be loaded") as error:
        load_program(path, DIGITS)
    assert "\n" not in str(error.value)


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadProgram, match=r"There is no 'program\.pt2'"):
        load_program(tmp_path / "program.pt2", DIGITS)
