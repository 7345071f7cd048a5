"""Kills and repetitions: the same command always ends in the same records."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from kdbench.store import Store
from kdbench.training.checkpoint import load_checkpoint

Kdbench = Callable[..., Any]
Start = Callable[..., subprocess.Popen[str]]
Values = dict[str, Any]

PATIENCE_SECONDS = 120.0


# ---------------------------------------------------------------- what is compared


def records(out: Path) -> dict[str, Values]:
    """Every record of a folder by its path there."""
    return {
        str(path.relative_to(out)): json.loads(path.read_text())
        for path in sorted((out / "records").rglob("*.json"))
    }


def without_times(record: Values) -> Values:
    """A record without what depends on when, how fast and after how many kills it was made."""
    copy: Values = json.loads(json.dumps(record))
    copy.pop("created")
    copy["environment"].pop("load_average")
    for name in ("seconds", "restarts"):
        (copy["training"] or {}).pop(name, None)
    return copy


def timeless(out: Path) -> dict[str, Values]:
    return {path: without_times(record) for path, record in records(out).items()}


def restarts(out: Path) -> int:
    return sum((record["training"] or {}).get("restarts", 0) for record in records(out).values())


def files(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


# ---------------------------------------------------------------- killing


def until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Wait for a moment of a running process."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert process.poll() is None, "it ended before the moment of its kill"
        assert time.monotonic() < end
        time.sleep(0.002)


def workers_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def kill_tree(process: subprocess.Popen[str]) -> None:
    """SIGKILL to a process and everything that it started."""
    for one in [psutil.Process(process.pid), *workers_of(process)]:
        one.kill()
    process.communicate()


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def all_gone(processes: list[psutil.Process], *, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while alive(processes) and time.monotonic() < end:
        time.sleep(0.05)
    return not alive(processes)


def sample_stages(out: Path) -> int:
    """How many sets of images are finished."""
    return sum('"nfe"' in p.read_text() for p in (out / "stages").glob("*.json"))


def training(out: Path) -> bool:
    """Whether a checkpoint of a training in progress is there."""
    return any((out / "unfinished").glob("*.safetensors"))


@pytest.fixture
def start(start_kdbench: Start, quick_checkpoints: Path) -> Iterator[Start]:
    """Start a command that is killed at the latest when the test ends."""
    started: list[subprocess.Popen[str]] = []

    def begin(*words: str | Path) -> subprocess.Popen[str]:
        started.append(start_kdbench(*words, path=(quick_checkpoints,)))
        return started[-1]

    yield begin
    for process in started:
        if process.poll() is None:
            kill_tree(process)


def test_killed_in_training_and_in_measuring_it_ends_in_the_same_records(
    toy_run: Any, start: Start, kdbench: Kdbench, quick_checkpoints: Path, tmp_path: Path
) -> None:
    out = tmp_path / toy_run.out.name
    words = (*toy_run.command, out)

    process = start(*words)
    until(lambda: training(out), process)
    kill_tree(process)
    found = load_checkpoint(next((out / "unfinished").glob("*.safetensors")))
    assert found is not None, "the checkpoint is whole"
    assert found[1]["step"] >= 1

    before = sample_stages(out)
    process = start(*words)
    until(lambda: sample_stages(out) > before, process)
    kill_tree(process)
    assert sample_stages(out) > len(records(out)), "killed after drawing and before recording"

    done = kdbench(*words, path=(quick_checkpoints,))
    assert done.returncode == 0, done.stderr
    assert timeless(out) == timeless(toy_run.out)
    assert restarts(out) >= 1
    assert restarts(toy_run.out) == 0
    artifacts = {p.name for p in (out / "artifacts").rglob("*.*") if p.is_file()}
    whole = {name for name in artifacts if not name.startswith(".writing-")}
    assert whole == {p.name for p in (toy_run.out / "artifacts").rglob("*.safetensors")}
    assert all(Store(out).sound(name) for name in whole)
    assert not training(out)


def test_a_killed_parent_leaves_no_worker_and_no_lock(
    start: Start, kdbench: Kdbench, tmp_path: Path
) -> None:
    out = tmp_path / "runs"
    process = start("run", "toy-denoiser", "--seeds", "0", "--costs", "none", "--out", out)
    until(lambda: training(out), process)
    workers = workers_of(process)
    assert workers
    process.kill()
    process.communicate()
    assert all_gone(workers, seconds=10)
    with Store(out).locked():
        assert training(out)


def test_an_interrupt_keeps_finished_work_and_ends_with_130(start: Start, tmp_path: Path) -> None:
    out = tmp_path / "runs"
    process = start("run", "toy-denoiser", "--seeds", "0", "--costs", "none", "--out", out)
    until(lambda: training(out), process)
    workers = workers_of(process)
    os.kill(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 130
    assert "interrupted; finished work is kept" in errors
    assert "Traceback" not in errors
    assert all_gone(workers, seconds=5)
    assert training(out)


# ---------------------------------------------------------------- repeating


def test_a_second_run_does_nothing_and_is_quick(
    toy_run: Any, kdbench: Kdbench, tmp_path: Path
) -> None:
    out = toy_run.copy(tmp_path)
    before = {name: files(out / name) for name in ("records", "stages", "artifacts")}
    spent = _cpu_seconds()
    done = kdbench(*toy_run.command, out)
    spent = _cpu_seconds() - spent
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert [run["did"] for run in said["runs"]] == ["nothing"] * 4
    assert [run["did"] for run in toy_run.said["runs"]] == ["measured"] * 4
    assert {name: files(out / name) for name in before} == before
    assert spent < 10


def _cpu_seconds() -> float:
    """Of all processes that this one has started, directly or not, and that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def test_more_seeds_add_what_is_missing(toy_run: Any, kdbench: Kdbench, tmp_path: Path) -> None:
    out = toy_run.copy(tmp_path)
    before = files(out / "records")
    words = ["0-1" if word == "0" else word for word in toy_run.command]
    done = kdbench(*words, out)
    assert done.returncode == 0, done.stderr
    runs = json.loads(done.stdout)["runs"]
    assert len(runs) == 8
    assert {(run["seed"], run["did"]) for run in runs} == {(0, "nothing"), (1, "measured")}
    after = files(out / "records")
    assert len(after) == 8
    assert {path: after[path] for path in before} == before
    values = [
        record["scores"][0]["value"]
        for path, record in records(out).items()
        if "progressive" in path
    ]
    assert values[0] != values[1]


def test_a_lost_record_is_measured_again_and_not_trained_again(
    toy_run: Any, kdbench: Kdbench, tmp_path: Path
) -> None:
    out = toy_run.copy(tmp_path)
    before = records(out)
    lost = next(path for path in before if "progressive" in path)
    (out / lost).unlink()
    done = kdbench(*toy_run.command, out)
    assert done.returncode == 0, done.stderr
    did = {run["pair"]: run["did"] for run in json.loads(done.stdout)["runs"]}
    assert did.pop("toy-progressive-2@1") == "measured"
    assert set(did.values()) == {"nothing"}
    after = records(out)
    assert after[lost]["training"] == before[lost]["training"]  # the very seconds
    assert {p: without_times(r) for p, r in after.items()} == timeless(toy_run.out)


def test_a_damaged_network_is_trained_again(toy_run: Any, kdbench: Kdbench, tmp_path: Path) -> None:
    out = toy_run.copy(tmp_path)
    before = records(out)
    path = next(path for path in before if "progressive" in path)
    name = before[path]["artifacts"]["checkpoint"]
    damaged = Store(out).artifact(name)
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    shutil.rmtree(out / "reports")
    done = kdbench(*toy_run.command, out)
    assert done.returncode == 0, done.stderr
    assert Store(out).sound(name)
    assert timeless(out) == timeless(toy_run.out)
