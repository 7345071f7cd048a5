"""What tests of the whole command share: the command itself, one finished run, plug-ins."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from kdbench import registry

torch.set_num_threads(1)

SCRIPT = str(Path(sys.executable).with_name("kdbench"))
"""The console script of the Python that runs the tests."""

PAIR = "toy-progressive-2"
"""The smallest pair with a published teacher, a trained start and a trained student."""

Kdbench = Callable[..., subprocess.CompletedProcess[str]]
MakePlugin = Callable[..., Path]
WritePair = Callable[..., Path]


@dataclass(frozen=True)
class FinishedRun:
    """What `kdbench run` of one pair and seed left behind; copy it before changing it."""

    out: Path
    command: tuple[str, ...]
    said: dict[str, Any]
    """Its `--json`."""

    def copy(self, folder: Path) -> Path:
        """The same output folder elsewhere, under its own name."""
        return shutil.copytree(self.out, folder / self.out.name)


def environment(*path: Path) -> dict[str, str]:
    """This process's environment with folders before all others on Python's path."""
    before = os.environ.get("PYTHONPATH")
    folders = [str(p) for p in path] + ([before] if before else [])
    return {**os.environ, "PYTHONPATH": os.pathsep.join(folders), "COLUMNS": "200"}


@pytest.fixture(scope="session")
def kdbench() -> Kdbench:
    """`kdbench(*words, path=(), more={}, **options)`: run the command line and wait for it."""

    def run(
        *words: str | Path,
        path: tuple[Path, ...] = (),
        more: Mapping[str, str] | None = None,
        **options: Any,
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [SCRIPT, *map(str, words)],
            capture_output=True,
            text=True,
            env=environment(*path) | dict(more or {}),
            timeout=300,
            **options,
        )

    return run


@pytest.fixture(scope="session")
def start_kdbench() -> Callable[..., subprocess.Popen[str]]:
    """The same without waiting: for runs that are killed."""

    def start(*words: str | Path, path: tuple[Path, ...] = ()) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [SCRIPT, *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(*path),
            start_new_session=True,
            # Where the tests themselves run in the background, Ctrl-C is ignored and inherited.
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
        )

    return start


@pytest.fixture(scope="session")
def toy_run(kdbench: Kdbench, tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    """One undisturbed run of a pair with a trained student, made once for the whole session."""
    out = tmp_path_factory.mktemp("undisturbed") / "runs"
    command = ("run", PAIR, "--seeds", "0", "--costs", "none", "--json", "--out")
    done = kdbench(*command, out)
    assert done.returncode == 0, done.stderr
    return FinishedRun(out, command, json.loads(done.stdout))


@pytest.fixture(scope="session")
def quick_checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for `path`: workers save a checkpoint five times a second, not every 10 seconds."""
    folder = tmp_path_factory.mktemp("quick")
    (folder / "sitecustomize.py").write_text(
        "import sys\n"
        "if 'kdbench.engines.worker' in sys.orig_argv:\n"
        "    import kdbench.training.trainer as trainer\n"
        "    trainer.CHECKPOINT_SECONDS = 0.2\n"
    )
    return folder


@pytest.fixture(scope="session")
def make_plugin() -> MakePlugin:
    """`make_plugin(folder, entry_points, files)`: an installed distribution, without installing.

    `entry_points` maps group to {name: object}; `files` maps paths below the folder to texts.
    The folder is to stand on Python's path.
    """

    def make(
        folder: Path,
        entry_points: Mapping[str, Mapping[str, str]],
        files: Mapping[str, str] | None = None,
        *,
        name: str = "kdbench-stranger",
    ) -> Path:
        info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        groups = (
            f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in named.items())
            for group, named in entry_points.items()
        )
        (info / "entry_points.txt").write_text("\n".join(groups))
        for path, text in (files or {}).items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
        return folder

    return make


@pytest.fixture(scope="session")
def write_pair() -> WritePair:
    """`write_pair(folder, name, text)`: a pair's TOML on the toy task; `text` has its arms."""

    def write(folder: Path, name: str, text: str) -> Path:
        path = folder / f"{name}.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        head = f'name = "{name}"\ntask = "toy@1"\nfamily = "test"\nsummary = "Of a test."\n'
        path.write_text(head + text)
        return path

    return write


@pytest.fixture(scope="session")
def trained() -> str:
    """The tables of a pair that trains a small network and has one arm, `student`."""
    return """
[network]
name = "resmlp@1"
[method]
name = "denoising@1"
[budget]
steps = 10
[arms.student]
role = "student"
"""


@pytest.fixture
def add_pair(write_pair: WritePair, trained: str, tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """`add_pair(name, fields, tables)`: a trained pair with more fields and tables, registered
    until the test ends."""

    def add(name: str, fields: str = "", tables: str = "") -> Path:
        path = write_pair(tmp_path, name, fields + trained + tables)
        registry.pairs.add(path)
        return path

    yield add
    registry.pairs.added.clear()
