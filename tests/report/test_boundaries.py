"""Reports are made from records alone: what they may import, and that torch is not among it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import kdbench.report
import kdbench.statistics

FOLDER = Path(kdbench.report.__file__).parent
MODULES = sorted(f"kdbench.report.{path.stem}" for path in FOLDER.glob("[!_]*.py"))
ALLOWED = ("errors", "mark_words", "record", "registry", "report", "spec", "statistics", "store")


def imported(path: Path) -> set[str]:
    """The dotted names that a file imports."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    plain = {alias.name for n in nodes if isinstance(n, ast.Import) for alias in n.names}
    return plain | {n.module or "" for n in nodes if isinstance(n, ast.ImportFrom)}


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_reports_import_only_what_lies_before_them(path: Path) -> None:
    own = {name.split(".")[1] for name in imported(path) if name.startswith("kdbench.")}
    assert own <= set(ALLOWED)


def test_statistics_import_nothing_of_kdbench() -> None:
    assert not {name for name in imported(Path(kdbench.statistics.__file__)) if "kdbench" in name}


def test_nothing_here_imports_torch() -> None:
    names = ", ".join([*MODULES, "kdbench.statistics"])
    code = f"import sys, {names}; print('torch' in sys.modules, 'kdbench_baselines' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.split() == ["False", "False"]
