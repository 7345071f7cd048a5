"""Strangers' packages: one that works, installed as pip installs it, and ones that are broken."""

from __future__ import annotations

import ast
import json
import math
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Kdbench = Callable[..., Any]
MakePlugin = Callable[..., Path]

EXAMPLE = Path(__file__).parent / "plugin"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example, installed without a network into a folder of its own."""
    source = shutil.copytree(EXAMPLE, tmp_path_factory.mktemp("source") / "plugin")
    target = tmp_path_factory.mktemp("installed")
    words = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet"]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", *words, "--target", str(target), str(source)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return target


# ---------------------------------------------------------------- one that works


def test_everything_that_a_stranger_writes_is_short() -> None:
    blocks = [
        node
        for path in (EXAMPLE / "kdbench_plugin_example").glob("*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef | ast.FunctionDef)
    ]
    assert {"Moons", "mean_error", "Centre", "ConsistentDenoising"} <= {b.name for b in blocks}
    assert max((b.end_lineno or 0) - b.lineno + 1 for b in blocks) <= 32
    assert all(len(p.read_text().splitlines()) < 30 for p in EXAMPLE.rglob("moons-*.toml"))


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("tasks", "moons@1"),
        ("methods", "consistent-denoising@1"),
        ("metrics", "mean-error@1"),
        ("generators", "centre@1"),
        ("pairs", "moons-one-step"),
    ],
)
def test_it_is_listed(kind: str, name: str, kdbench: Kdbench, installed: Path) -> None:
    done = kdbench("list", kind, "--json", path=(installed,))
    assert done.returncode == 0, done.stderr
    entries = {entry["name"]: entry for entry in json.loads(done.stdout)}
    assert name in entries
    assert entries[name].get("package", "kdbench-plugin-example") == "kdbench-plugin-example"
    assert name not in kdbench("list", kind, "--json").stdout


def test_it_is_planned(kdbench: Kdbench, installed: Path) -> None:
    for name in ("moons", "moons-one-step"):
        done = kdbench("plan", name, "--seeds", "0", "--json", path=(installed,))
        assert done.returncode == 0, done.stderr
        assert {(run["pair"], run["arm"]) for run in json.loads(done.stdout)["runs"]} == {
            ("moons-one-step", "one"),
            ("moons-centre", "centre"),
        }


def test_it_is_run_and_recorded(kdbench: Kdbench, installed: Path, tmp_path: Path) -> None:
    out = tmp_path / "runs"
    words = ("run", "moons-one-step", "--seeds", "0", "--costs", "none", "--json", "--out", out)
    done = kdbench(*words, path=(installed,))
    assert done.returncode == 0, done.stderr
    records = {
        record["identity"]["pair"]: record
        for record in map(json.loads, (p.read_text() for p in (out / "records").rglob("*.json")))
    }
    assert set(records) == {"moons-one-step@1", "moons-centre@1"}
    for record in records.values():
        scores = {s["metric"]: s["value"] for s in record["scores"] if s["split"] == "held-out"}
        assert set(scores) == {"wasserstein2@1", "mean-error@1"}
        assert 0 <= scores["mean-error@1"] < 0.5
        assert 0.2 < scores["wasserstein2@1"] < 1
    trained, trivial = records["moons-one-step@1"], records["moons-centre@1"]
    assert trivial["identity"]["method"] == "centre@1"
    assert trained["identity"]["method"] == "consistent-denoising@1"
    assert trained["identity"]["params"] == {"sigma": 20.0}
    assert trained["identity"]["params_passed"] == {}
    assert trained["training"]["steps"] == 60
    assert len(trained["code"]["method_sha256"]) == 64
    page = Path(json.loads(done.stdout)["wrote"][0]).read_text()
    assert "moons-centre" in page


def test_its_trivial_generator_scores_as_geometry_says(
    kdbench: Kdbench, installed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "runs"
    words = ("run", "moons-centre", "--seeds", "0", "--costs", "none", "--json", "--out", out)
    assert kdbench(*words, path=(installed,)).returncode == 0
    record = json.loads(next((out / "records").rglob("*.json")).read_text())
    distance = next(s["value"] for s in record["scores"] if s["metric"] == "wasserstein2@1")
    # root mean square distance of a half circle to its centre of mass: √(1 − (2/π)²)
    assert distance == pytest.approx(math.sqrt(1 - (2 / math.pi) ** 2), abs=0.06)


# ---------------------------------------------------------------- ones that are broken

BROKEN = "no_such_stranger.deep:Thing"


@pytest.fixture(scope="module")
def broken(make_plugin: MakePlugin, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package whose every entry leads nowhere, but for pairs that use the broken ones."""
    kinds = ("tasks", "methods", "metrics", "generators", "networks", "samplers", "extractors")
    entries = {f"kdbench.{kind}": {"gone@1": BROKEN} for kind in kinds}
    head = 'name = "{name}"\ntask = "{task}"\nfamily = "f"\nsummary = "s"\n'
    trivial = '[arms.a]\nrole = "trivial"\n'
    student = '[budget]\nsteps = 5\n[arms.a]\nrole = "student"\n'
    generator = '[generator]\nname = "{}"\n'
    network = '[network]\nname = "{}"\n'
    method = '[method]\nname = "{}"\n'
    sampler = 'sampling = {{ sampler = "{}", args = {{ steps = 1 }} }}\n'
    resmlp, denoising = network.format("resmlp@1"), method.format("denoising@1")
    euler = sampler.format("euler@1")
    texts = {
        "gone-task": ("gone@1", generator.format("noise@1") + trivial),
        "gone-generator": ("toy@1", generator.format("gone@1") + trivial),
        "gone-method": ("toy@1", resmlp + method.format("gone@1") + student + euler),
        "gone-network": ("toy@1", network.format("gone@1") + denoising + student + euler),
        "gone-sampler": ("toy@1", resmlp + denoising + student + sampler.format("gone@1")),
    }
    files = {
        f"stranger_pairs/{name}.toml": head.format(name=name, task=task) + text
        for name, (task, text) in texts.items()
    }
    suite = 'name = "gone-metric"\nsummary = "s"\npairs = ["toy-noise"]\nmetrics = ["gone"]\n'
    entries["kdbench.pairs"] = {"stranger": "stranger_pairs"}
    entries["kdbench.suites"] = {"stranger": "stranger_suites"}
    files |= {"stranger_suites/gone-metric.toml": suite}
    files |= {"stranger_suites/__init__.py": "", "stranger_pairs/__init__.py": ""}
    return make_plugin(tmp_path_factory.mktemp("broken"), entries, files)


@pytest.mark.parametrize("kind", ["tasks", "methods", "metrics", "samplers", "pairs", "suites"])
def test_a_broken_package_does_not_stop_listing(kind: str, kdbench: Kdbench, broken: Path) -> None:
    done = kdbench("list", kind, "--json", path=(broken,))
    assert done.returncode == 0, done.stderr
    names = {entry["name"] for entry in json.loads(done.stdout)}
    assert any(name.startswith("gone") for name in names)
    assert len(names) >= 2


def test_a_broken_package_does_not_stop_the_doctor(kdbench: Kdbench, broken: Path) -> None:
    done = kdbench("doctor", "--json", path=(broken,))
    assert "Traceback" not in done.stderr
    found = {finding["what"]: finding for finding in json.loads(done.stdout)}
    for kind in ("tasks", "methods", "metrics", "generators", "networks", "samplers"):
        assert not found[kind]["ok"]
        assert "gone@1" in found[kind]["found"]
        assert found[kind]["advice"]
    assert found["torch"]["ok"]
    assert "disk" in found


def test_a_broken_package_does_not_stop_others(
    kdbench: Kdbench, broken: Path, tmp_path: Path
) -> None:
    words = (
        "run",
        "toy-noise",
        "--seeds",
        "0",
        "--costs",
        "none",
        "--json",
        "--out",
        tmp_path / "runs",
    )
    done = kdbench(*words, path=(broken,))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "name",
    ["gone-task", "gone-generator", "gone-method", "gone-network", "gone-sampler", "gone-metric"],
)
def test_using_a_broken_entry_gives_one_clear_sentence(
    name: str, kdbench: Kdbench, broken: Path, tmp_path: Path
) -> None:
    words = ("run", name, "--seeds", "0", "--costs", "none", "--json", "--out", tmp_path / "runs")
    done = kdbench(*words, path=(broken,))
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    errors = json.loads(done.stdout)["errors"]
    assert len(errors) == 1
    assert "no_such_stranger" in errors[0]
    assert "ModuleNotFoundError" not in errors[0]
    assert "\n" not in errors[0]
    assert not list((tmp_path / "runs").glob("records/**/*.json"))


@pytest.mark.parametrize("package", ["no_such_pairs", "no_such_package.pairs"])
@pytest.mark.parametrize("kind", ["pairs", "suites", "weights"])
def test_a_folder_that_is_not_there_does_not_stop_others(
    kind: str, package: str, kdbench: Kdbench, make_plugin: MakePlugin, tmp_path: Path
) -> None:
    make_plugin(tmp_path, {f"kdbench.{kind}": {"stranger": package}})
    for words in (("list", "pairs", "--json"), ("plan", "smoke", "--json"), ("doctor", "--json")):
        done = kdbench(*words, path=(tmp_path,))
        assert "Traceback" not in done.stderr
        assert json.loads(done.stdout), (words, done.stderr)
    assert package in done.stdout, "the doctor names it"
