"""The shape of the house: imports point one way, files stay small, and torch comes late."""

from __future__ import annotations

import ast
import statistics
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import kdbench

ROOT = Path(kdbench.__file__).parent
BASELINES = ROOT.parent / "baselines"

ROOMS = (
    ("errors",),
    ("digest", "mark_words", "spec", "seeds", "statistics"),
    ("environment", "pictures", "reading", "record", "registry"),
    ("store", "plan"),
    ("external_weights", "weights", "fetch"),
    ("tasks", "generators", "training", "metrics", "costs"),
    ("keys", "stages", "scoring", "costing", "runner", "evaluating", "blind", "programs"),
    ("engines", "cost_sheet"),
    ("report", "doctor"),
    ("screen", "running", "reporting", "run_screen", "evaluation_screen", "options"),
    ("cost_screen", "testing"),
    ("cli", "eval_command", "cost_command"),
    ("__main__",),
)
"""From the ground up; a room imports from its own line and from those above it in this list."""

REPORT_SEES = {
    *("report", "record", "store", "statistics", "registry", "spec", "errors", "mark_words"),
}
PLUGIN_SEES = {"tasks", "generators", "training", "metrics", "errors", "seeds", "spec"}
TOOLS = {"cards", "publish", "tuning"}
"""What publishes, tunes and writes the page of methods, run by hand from a checkout."""


def modules(folder: Path, package: str) -> Iterator[tuple[str, Path]]:
    """Dotted name and file of every module of a package."""
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        yield ".".join((package, *(p for p in parts if p != "__init__"))), path


KDBENCH = dict(modules(ROOT, "kdbench"))
ALL = KDBENCH | dict(modules(BASELINES, "kdbench_baselines"))


class _Imports(ast.NodeVisitor):
    """Every module that a file imports at run time, at its top or inside a function."""

    def __init__(self) -> None:
        self.found: set[str] = set()

    def visit_If(self, node: ast.If) -> None:
        if not (isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"):
            self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        self.found |= {alias.name for alias in node.names}

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        assert node.level == 0, "imports are absolute"
        assert node.module is not None
        below = {f"{node.module}.{alias.name}" for alias in node.names}
        inner = below & set(ALL)
        self.found |= inner or {node.module}


@cache
def imports(name: str) -> frozenset[str]:
    """What one of our modules imports, ours and others, as dotted module names."""
    visitor = _Imports()
    visitor.visit(ast.parse(ALL[name].read_text("utf-8")))
    return frozenset(visitor.found)


def room(name: str) -> str:
    """`kdbench.metrics.base` is in the room `metrics`."""
    return name.split(".")[1]


def floor(name: str) -> int:
    """The line of ROOMS that a module is on."""
    return next(i for i, rooms in enumerate(ROOMS) if room(name) in rooms)


INSIDE = [name for name in KDBENCH if name != "kdbench"]


def test_every_module_has_its_room() -> None:
    known = {name for rooms in ROOMS for name in rooms}
    assert {room(name) for name in INSIDE} == known


def own_imports(name: str) -> set[str]:
    """What a module imports from kdbench."""
    return {other for other in imports(name) if other.startswith("kdbench.")}


def test_imports_are_seen() -> None:
    assert {"kdbench.spec", "kdbench.store", "pydantic"} <= imports("kdbench.weights")
    assert "kdbench.report.write" in imports("kdbench.reporting")
    assert "kdbench.training.trainer" not in imports("kdbench.training.method")  # types only


def test_imports_point_one_way() -> None:
    upwards = [
        (name, other)
        for name in INSIDE
        for other in own_imports(name)
        if floor(other) > floor(name)
    ]
    assert not upwards


def test_the_report_sees_records_alone() -> None:
    beyond = [
        (name, other)
        for name in INSIDE
        for other in own_imports(name)
        if room(name) == "report" and room(other) not in REPORT_SEES
    ]
    assert not beyond


def test_no_module_imports_in_a_circle() -> None:
    state: dict[str, int] = {}

    def visit(name: str, above: tuple[str, ...]) -> None:
        if state.get(name) == 2:
            return
        assert name not in above, " → ".join((*above[above.index(name) :], name))
        for other in sorted(imports(name) & set(ALL)):
            visit(other, (*above, name))
        state[name] = 2

    for name in ALL:
        visit(name, ())
    assert set(state) == set(ALL)


def test_kdbench_knows_nothing_of_its_baselines() -> None:
    knowing = [
        (name, other)
        for name in KDBENCH
        for other in imports(name)
        if other.startswith("kdbench_baselines")
    ]
    assert not knowing


def test_baselines_stand_where_a_stranger_stands() -> None:
    """Methods, networks and samplers see what a plug-in sees; tools of a checkout see more."""
    families = [
        n for n in ALL if n.startswith("kdbench_baselines.") and n.split(".")[1] not in TOOLS
    ]
    assert len(families) > 8
    beyond = [
        (name, other)
        for name in families
        for other in own_imports(name)
        if room(other) not in PLUGIN_SEES
    ]
    assert not beyond


# ---------------------------------------------------------------- sizes


def lines(path: Path) -> int:
    return len(path.read_text("utf-8").splitlines())


def test_no_file_is_long() -> None:
    assert not {name: n for name, path in ALL.items() if (n := lines(path)) > 400}


def test_most_files_are_short() -> None:
    assert statistics.median(n for path in ALL.values() if (n := lines(path))) <= 150


def test_most_functions_are_short() -> None:
    lengths = [
        (node.end_lineno or 0) - node.lineno + 1
        for path in ALL.values()
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef)
    ]
    assert statistics.median(lengths) <= 12
    assert sum(length > 40 for length in lengths) <= len(lengths) / 20


# ---------------------------------------------------------------- torch comes late


def loaded_by(script: str, *words: str) -> set[str]:
    """Dotted names of all modules that a Python process holds when a script has ended well."""
    script += "\nimport sys\nprint('\\n'.join(sys.modules), file=sys.__stderr__)"
    done = subprocess.run(
        [sys.executable, "-c", script, *words], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return set(done.stderr.split())


COMMAND = """
from kdbench.cli import main
try:
    main()
except SystemExit as end:
    assert end.code in (0, None), end.code
"""


def heavy(loaded: set[str]) -> set[str]:
    """Torch and code of baselines, whose packages themselves are empty."""
    return {name for name in loaded if name == "torch" or name.startswith(CODE_OF_BASELINES)}


CODE_OF_BASELINES = ("kdbench_baselines.diffusion.", "kdbench_baselines.gan.")


def test_importing_torch_would_be_seen() -> None:
    loaded = loaded_by("import kdbench.registry as r; r.samplers.load('heun')")
    assert {"torch", "kdbench_baselines.diffusion.samplers"} <= heavy(loaded)


def test_import_kdbench_is_light() -> None:
    loaded = loaded_by("import kdbench; assert 'Task' in dir(kdbench)")
    assert not loaded & {"torch", "pandas", "numpy", "pydantic", "matplotlib", "kdbench_baselines"}


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["run", "--help"],
        ["eval", "--help"],
        ["cost", "--help"],
        ["list", "pairs"],
        ["list", "methods", "--json"],
        ["plan", "smoke"],
        ["plan", "toy-luhman", "--json"],
        ["doctor", "--json"],
    ],
    ids=" ".join,
)
def test_verbs_that_only_look_import_no_torch(words: list[str]) -> None:
    loaded = loaded_by(COMMAND, *words)
    assert not heavy(loaded)
    assert "click" in loaded


def test_a_report_is_made_without_torch(toy_run: Any, tmp_path: Path) -> None:
    folder = str(tmp_path / "report")
    loaded = loaded_by(COMMAND, "report", "--out", str(toy_run.out), "--to", folder)
    assert not heavy(loaded)
    assert (tmp_path / "report" / "leaderboard.md").stat().st_size > 500


def test_every_public_name_leads_somewhere() -> None:
    for name in kdbench.__all__:
        assert getattr(kdbench, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = kdbench.Nothing
