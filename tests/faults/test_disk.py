"""Full disks and folders that cannot be written: one sentence, exit code 2, nothing changed."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Kdbench = Callable[..., Any]

NOISE = ("run", "toy-noise", "--seeds", "0", "--costs", "none", "--json", "--out")


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()
    }


def limited(largest: int) -> Callable[[], None]:
    """Before a process starts: no file of it may grow beyond so many bytes (EFBIG)."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))


def assert_full(done: Any, out: Path) -> None:
    """Exit code 2, and sentences that name a path below `out` and say what to do."""
    assert done.returncode == 2, (done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    said = [line for line in done.stderr.splitlines() if line.startswith("kdbench: ")]
    assert said
    for line in said:
        assert "The disk is full" in line
        assert str(out) in line
        assert line.endswith("Free some space and run again.")


def test_a_full_disk_changes_nothing_that_was_recorded(
    toy_run: Any, kdbench: Kdbench, tmp_path: Path
) -> None:
    out = toy_run.copy(tmp_path)
    before = files(out)
    words = ["1" if word == "0" else word for word in toy_run.command]
    done = kdbench(*words, out, preexec_fn=limited(10_000))
    assert_full(done, out)
    after = files(out)
    assert {path: after[path] for path in before} == before
    assert not [path for path in after if path.startswith("records/") and path not in before]
    assert not [path for path in after if ".writing-" in path]


def test_a_disk_that_fills_in_training_leaves_no_record(
    kdbench: Kdbench, quick_checkpoints: Path, tmp_path: Path
) -> None:
    out = tmp_path / "runs"
    # images of one run fit in 100,000 bytes, a checkpoint with its moments does not
    words = ("run", "toy-denoiser", "--seeds", "0", "--costs", "none", "--json", "--out", out)
    done = kdbench(*words, path=(quick_checkpoints,), preexec_fn=limited(100_000))
    assert_full(done, out)
    assert "unfinished" in done.stderr
    after = files(out)
    assert not [path for path in after if path.startswith("records/")]
    assert not [path for path in after if ".writing-" in path]


def test_after_space_was_freed_the_same_command_ends_well(kdbench: Kdbench, tmp_path: Path) -> None:
    out = tmp_path / "runs"
    assert_full(kdbench(*NOISE, out, preexec_fn=limited(10_000)), out)
    assert not list((out / "records").rglob("*.json"))
    done = kdbench(*NOISE, out)
    assert done.returncode == 0, done.stderr
    assert len(list((out / "records").rglob("*.json"))) == 1


def test_a_small_file_system_is_full(kdbench: Kdbench, tmp_path: Path) -> None:
    """Real ENOSPC, where this user may mount a file system of 16 KiB in a namespace of its own."""
    unshare, script = shutil.which("unshare"), Path(sys.executable).with_name("kdbench")
    mount = f"mount -t tmpfs -o size=16k tmpfs {tmp_path}"
    allowed = unshare and subprocess.run([unshare, "-m", "sh", "-c", mount], capture_output=True)
    if not unshare or not allowed or allowed.returncode != 0:
        pytest.skip("no right to mount a file system")
    out = tmp_path / "runs"
    words = " ".join(map(str, (*NOISE, out)))
    done = subprocess.run(
        [unshare, "-m", "sh", "-c", f"{mount} && exec {script} {words}"],
        capture_output=True,
        text=True,
    )
    assert_full(done, out)


# ---------------------------------------------------------------- folders


@pytest.mark.parametrize("folder", ["/proc/kdbench", "/proc/self/fd/kdbench"])
def test_a_folder_that_even_root_cannot_make(folder: str, kdbench: Kdbench) -> None:
    done = kdbench(*NOISE, folder)
    assert done.returncode == 2
    assert done.stderr.startswith(f"kdbench: {folder} cannot be written: ")
    assert done.stderr.count("\n") == 1
    assert not done.stdout


@pytest.mark.parametrize("inner", ["records", "stages", "reports"])
def test_a_file_in_place_of_an_inner_folder_is_named(
    inner: str, kdbench: Kdbench, tmp_path: Path
) -> None:
    out = tmp_path / "runs"
    out.mkdir()
    (out / inner).write_text("mine")
    done = kdbench(*NOISE, out)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert f"{out / inner}" in done.stderr
    assert "cannot be written" in done.stderr
    assert (out / inner).read_text() == "mine"


def test_a_folder_in_place_of_the_lock_is_named(kdbench: Kdbench, tmp_path: Path) -> None:
    (tmp_path / "runs" / ".lock").mkdir(parents=True)
    done = kdbench(*NOISE, tmp_path / "runs")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert str(tmp_path / "runs") in done.stderr


def test_a_finished_run_can_be_reported_to_another_folder(
    toy_run: Any, kdbench: Kdbench, tmp_path: Path
) -> None:
    """Reading needs no right to write where the records are."""
    before = files(toy_run.out)
    done = kdbench("report", "--out", toy_run.out, "--to", tmp_path / "here", "--json")
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["wrote"]) >= 2
    assert files(toy_run.out) == before
