"""The built wheel, installed outside the checkout, has everything and works there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SHIPPED = {".py", ".toml", ".safetensors", ".json", ".typed", ".html"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    files = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True
    ).stdout.split("\0")
    source = folder / "source"
    for name in filter(None, files):
        if (ROOT / name).is_file() and not (ROOT / name).is_symlink():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    done = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, source],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return next(folder.glob("*.whl"))


def test_every_module_and_data_file_is_in_it(wheel: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    for top, installed in (("kdbench", "kdbench"), ("baselines", "kdbench_baselines")):
        for path in (ROOT / top).rglob("*"):
            if path.suffix in SHIPPED and "__pycache__" not in path.parts:
                assert f"{installed}/{path.relative_to(ROOT / top)}" in inside


def test_it_runs_where_there_is_no_checkout(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "site"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", target, wheel],
        check=True,
    )
    env = {**os.environ, "PYTHONPATH": str(target)}
    where = "import kdbench, kdbench_baselines; print(kdbench.__file__, kdbench_baselines.__file__)"
    found = subprocess.run(
        [sys.executable, "-c", where], cwd=tmp_path, env=env, capture_output=True, text=True
    )
    assert found.stdout.count(str(target)) == 2
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "kdbench",
            "run",
            "toy-edm",
            "--seeds",
            "0",
            "--costs",
            "none",
            "--json",
        ],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert {run["status"] for run in json.loads(done.stdout)["runs"]} == {"ok"}
