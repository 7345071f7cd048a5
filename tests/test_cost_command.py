"""The verb `cost`: names, variants, what is printed and written, and errors in one sentence."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result
from torch import Tensor, nn

import kdbench.costs
from kdbench import cost_sheet
from kdbench.cli import main
from kdbench.cost_screen import show
from kdbench.cost_sheet import CostSheet
from kdbench.costs.marks import NOISE
from kdbench.costs.missing import missing
from kdbench.costs.profiles import GLANCE
from kdbench.errors import BadSpec, KdbenchError
from kdbench.generators.build import build_generator
from kdbench.generators.exported import Exported
from kdbench.mark_words import EXPLAINED, explain_mark
from kdbench.programs import Finder, Named
from kdbench.record import Cost, Interval

Kdbench = Callable[..., Any]


def said(*words: str) -> Result:
    """What the verb says before it measures anything."""
    return CliRunner().invoke(main, ["cost", *words])


# ---------------------------------------------------------------- names


def test_a_pair_is_compared_with_its_own_reference() -> None:
    finder = Finder()
    student = finder.find("toy-edm/euler-1")
    teacher = finder.find_against(student, None)
    assert teacher is not None
    assert (student.label, student.task, teacher.label) == (
        "toy-edm/euler-1", "toy@1", "toy-edm/heun-15",
    )  # fmt: skip
    assert finder.find_against(student, "none") is None
    assert finder.find_against(teacher, None) is None
    other = finder.find_against(student, "toy-edm/euler-2")
    assert other is not None
    assert other.label == "toy-edm/euler-2"


def test_a_pair_with_one_arm_needs_no_arm() -> None:
    assert Finder().find("toy-real").build["weights"] is None
    assert Finder().find("toy-real").label.startswith("toy-real/")


def test_seeds_take_published_networks_in_turn() -> None:
    paths = [Finder(seed=seed).find("toy-edm/euler-1").build["weights"] for seed in range(3)]
    assert paths[0] != paths[1]
    assert paths[0] == paths[2]


def test_a_trained_network_comes_from_the_output_folder(toy_run: Any, tmp_path: Path) -> None:
    out = toy_run.copy(tmp_path)
    found = Finder(out=out).find("toy-progressive-2/student")
    generator, task = build_generator(found.build)
    assert task.id == found.task
    assert generator.nfe == 2
    Path(found.build["weights"]).write_bytes(b"damaged")
    with pytest.raises(KdbenchError, match="kdbench run toy-progressive-2 --seeds 0"):
        Finder(out=out).find("toy-progressive-2/student")


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["toy-edm/euler-1", "--variant", "fast"], 2, "No variant 'fast'; the words are fp32, tf3"),
        (["toy-edmm/euler-1"], 2, "There is no pair 'toy-edmm'. Did you mean 'toy-edm'?"),
        (["toy-edm"], 2, "Say which arm of toy-edm is meant: toy-edm/heun-15, "),
        (["nothing.pt2", "--task", "digits"], 2, "There is no 'nothing.pt2'."),
        (["images.zip"], 2, "'images.zip' is neither a registered pair nor a program; programs "),
        (["toy-edm/euler-1", "--against", "digits-edm/euler-1"], 2, "digits-edm/euler-1 makes im"),
        (["toy-luhman/student", "--out", "nowhere"], 4, "No network of toy-luhman with seed 0 is "),
    ],
)
def test_what_cannot_be_found_is_said_in_one_sentence(
    words: list[str], code: int, sentence: str
) -> None:
    done = said(*words)
    assert done.exit_code == code, done.output
    assert done.stderr.startswith(f"kdbench: {sentence}")
    assert done.stderr.count("\n") == 1
    assert not done.stdout


def test_a_pair_has_its_own_task() -> None:
    done = said("toy-edm/euler-1", "--task", "toy")
    assert done.exit_code == 2
    assert "a registered pair has its own" in done.stderr


# ---------------------------------------------------------------- programs


class Small(nn.Module):
    """A convolution of the latents; labels change nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        return torch.sigmoid(self.convolution(latents)) + 0 * labels[:, None, None, None]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program for any number of digits."""
    path = tmp_path_factory.mktemp("program") / "small.pt2"
    given = torch.randn(4, 1, 8, 8), torch.zeros(4).long()
    count = torch.export.Dim("count", min=1, max=1024)
    shapes = ({0: count}, {0: count})
    torch.export.save(torch.export.export(Small().eval(), given, dynamic_shapes=shapes), path)
    return path


def test_a_program_can_be_built_in_a_fresh_process(program: Path) -> None:
    found = Finder().find(str(program), task="digits")
    assert (found.label, found.task, found.teacher) == ("small.pt2", "digits@1", None)
    build = json.loads(json.dumps(found.build))
    generator, task = build_generator(build)
    assert isinstance(generator, Exported)
    assert task.id == "digits@1"


def test_a_program_needs_its_task_and_the_cpu(program: Path) -> None:
    with pytest.raises(BadSpec, match="say with --task"):
        Finder().find(str(program))
    with pytest.raises(BadSpec, match="measured on the CPU"):
        Finder(device="cuda").find(str(program), task="digits")


def test_a_program_is_measured_and_its_bf16_says_why_not(kdbench: Kdbench, program: Path) -> None:
    done = kdbench(
        "cost", program, "--task", "digits", "--profile", "glance",
        "--variant", "fp32", "--variant", "bf16",
    )  # fmt: skip
    assert done.returncode == 4, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert done.stdout.startswith("small.pt2 (digits@1)\n")
    eager, _, half = done.stdout.partition("\nbf16\n")
    assert "latency_ms" in eager
    assert re.search(r"Not measured: latency_ms.*bf16 needs a network that can be exchanged", half)
    assert done.stderr.endswith("kdbench: not timed: bf16; the reasons are above.\n")


# ---------------------------------------------------------------- what is measured


def test_json_is_what_is_saved(kdbench: Kdbench, tmp_path: Path) -> None:
    file = tmp_path / "costs" / "one.json"
    done = kdbench("cost", "toy-edm/euler-1", "--profile", "glance", "--json", "--save", file)
    assert done.returncode == 0, done.stderr
    assert file.read_text() == done.stdout
    found = json.loads(done.stdout)
    assert (found["program"], found["against"]) == ("toy-edm/euler-1", "toy-edm/heun-15")
    assert found["environment"]["torch_threads"] == 1
    assert list(found["variants"]) == ["fp32"]
    costs = {cost["metric"]: cost for cost in found["variants"]["fp32"]}
    assert costs["latency_ms"]["value"] > 0
    assert costs["speedup"]["against"] == "toy-edm/heun-15"
    assert costs["nfe"]["value"] == 1
    assert "fp32: latency" in done.stderr


class _Recorded:
    """In place of a session: keeps what it is asked for."""

    asked: list[Any] = []  # noqa: RUF012 (one list for all that a test makes)

    def __init__(self, program: Any, profile: Any, *, tell: Callable[[str], None]) -> None:
        self.asked.append(program)
        tell("latency")

    def costs(self) -> list[Cost]:
        return [missing("latency_ms", "of a test", boundary="e2e", batch=1)]


def test_program_and_teacher_run_in_the_same_variant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost_sheet, "Session", _Recorded)
    monkeypatch.setattr(_Recorded, "asked", [])
    names = ["bf16+compile", "fp32", "compile+bf16"]
    words = [word for name in names for word in ("--variant", name)]
    done = said("toy-edm/euler-1", *words, "--threads", "2", "--json")
    assert done.exit_code == 4
    assert list(json.loads(done.stdout)["variants"]) == ["bf16+compile", "fp32"]
    assert [one.variant for one in _Recorded.asked] == ["bf16+compile", "fp32"]
    for one in _Recorded.asked:
        assert one.against is not None
        assert (one.against["arm"], one.threads) == ("heun-15", 2)


@pytest.mark.parametrize("here", [False, True])
def test_a_device_that_is_not_here_costs_no_process(
    here: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: here)
    monkeypatch.setattr(cost_sheet, "Session", _Recorded)
    monkeypatch.setattr(_Recorded, "asked", [])
    done = said("toy-edm/euler-1", "--device", "cuda")
    assert [one.build["device"] for one in _Recorded.asked] == ["cuda"] * here
    if not here:
        assert done.exit_code == 2
        assert done.output.startswith("kdbench: torch finds no CUDA device here. Use --device cpu")
        assert done.output.count("\n") == 1


@pytest.mark.parametrize(
    ("reason", "code"),
    [("failed: KeyError: 'x'", 4), ("timeout: no figure after 300 s", 4), ("out of memory", 0)],
)
def test_a_process_that_failed_is_no_success(
    reason: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [latency(), missing("macs", reason), missing("nfe", reason)]
    monkeypatch.setattr(cost_sheet, "Session", _Recorded)
    monkeypatch.setattr(_Recorded, "costs", lambda _: found)
    done = said("toy-edm/euler-1", "--variant", "bf16")
    assert done.exit_code == code, done.output
    sentence = "kdbench: failed: bf16 macs, bf16 nfe; the reasons are above.\n"
    assert done.stderr.endswith(sentence) == (code == 4)
    assert f"Not measured: macs, nfe: {reason}" in done.stdout


# ---------------------------------------------------------------- what a reader sees


def sheet(*costs: Cost) -> CostSheet:
    """Costs of one variant, without a measurement."""
    found = {"bf16": list(costs)}
    return CostSheet(Named("a/b", "toy@1", {}), None, GLANCE, "cpu", 1, found)


def latency(**more: Any) -> Cost:
    """A latency of about a millisecond."""
    low_high = Interval(low=1.19, high=1.31, source="timing", method="order-statistic")
    return Cost(
        metric="latency_ms", unit="ms", value=1.23456, stat="median", boundary="e2e", batch=1,
        n=1234, interval=low_high, config_key="0" * 64, **more,
    )  # fmt: skip


def test_every_mark_that_occurs_is_explained_once(capsys: pytest.CaptureFixture[str]) -> None:
    show(sheet(latency(marks=["gap", "mismatch:dtype"]), latency(marks=["gap", "of_tomorrow"])))
    lines = capsys.readouterr().out.splitlines()
    row = next(line for line in lines if "mismatch:dtype" in line)
    assert row.split() == [
        "latency_ms", "e2e", "1", "1.23", "1.19", "to", "1.31", "1,234", "ms",
        "gap,", "mismatch:dtype",
    ]  # fmt: skip
    assert [line for line in lines if line.startswith("gap: ")] == [f"gap: {EXPLAINED['gap']}"]
    assert f"mismatch: {EXPLAINED['mismatch']}" in lines
    assert "of_tomorrow: not known to this version of kdbench" in lines


def test_images_that_differ_and_figures_that_are_missing_are_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show(
        sheet(
            latency(details={"images_psnr_db": 57.04, "images_max_step": 3.0}),
            latency(details={"images_psnr_db": None, "images_max_step": 0.0}),
            missing("energy_j_per_image", "no counter", boundary="e2e", batch=1),
            missing("latency_ms", "no counter", boundary="core", batch=1),
        )
    )
    lines = capsys.readouterr().out.splitlines()
    assert any("PSNR 57.0 dB or more, no value by more than 3.00." in line for line in lines)
    assert "Not measured: energy_j_per_image e2e, latency_ms core: no counter" in lines


def test_images_that_are_equal_are_no_remark(capsys: pytest.CaptureFixture[str]) -> None:
    show(sheet(latency(details={"images_psnr_db": None, "images_max_step": 0.0})))
    assert "Images" not in capsys.readouterr().out


def test_every_mark_of_the_code_is_explained() -> None:
    folder = Path(kdbench.costs.__path__[0])
    given = {mark for path in folder.glob("*.py") for mark in marks_in(path)}
    assert {"gap", "output_differs", "mismatch", "nfe_counted", "host_busy"} <= given
    assert {mark for mark in given | NOISE if explain_mark(mark) is None} == set()


def marks_in(path: Path) -> Iterator[str]:
    """Texts of a module that become marks, up to a colon."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        parts: list[ast.expr] = []
        if isinstance(node, ast.keyword) and node.arg == "marks":
            parts = [node.value]
        elif isinstance(node, ast.Dict):
            keyed = zip(node.keys, node.values, strict=True)
            parts = [v for k, v in keyed if isinstance(k, ast.Constant) and k.value == "marks"]
        elif isinstance(node, ast.Assign) and _names(node.targets[0]) & {"marks", "incomplete"}:
            parts = [node.value]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            parts = [ast.List(node.args)] if _names(node.func.value) & {"marks"} else []
        elif isinstance(node, ast.FunctionDef) and re.search("marks|mismatches|check", node.name):
            parts = [n.value for n in ast.walk(node) if isinstance(n, ast.Return) and n.value]
        for part in parts:
            yield from _texts(part)


def _names(node: ast.expr) -> set[str]:
    return {node.id} if isinstance(node, ast.Name) else set()


def _choices(node: ast.expr) -> list[ast.expr]:
    return [node.body, node.orelse] if isinstance(node, ast.IfExp) else [node]


def _texts(node: ast.AST) -> Iterator[str]:
    """Texts that are elements of lists, also formatted ones; no keys, subscripts or comparisons."""
    elements = node.elts if isinstance(node, ast.List) else []
    elements += [node.elt] if isinstance(node, ast.ListComp) else []
    elements = [e for one in elements for e in _choices(one)]
    for element in elements:
        first = element.values[0] if isinstance(element, ast.JoinedStr) else element
        if isinstance(first, ast.Constant):
            yield str(first.value).partition(":")[0]
    if not isinstance(node, ast.Dict | ast.Compare | ast.Subscript):
        for child in ast.iter_child_nodes(node):
            yield from _texts(child)


def test_a_pair_is_found_without_torch() -> None:
    code = (
        "from kdbench.programs import Finder; Finder().find('toy-edm/euler-1'); "
        "import sys, kdbench.cost_sheet; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
