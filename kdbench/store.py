"""The output folder: records, content-addressed artifacts, finished stages, and its lock.

Everything is written to a temporary file of the same folder, flushed and renamed, so a kill at
any moment leaves either the old file or the new one. Layout below the root:

    records/<task>/<pair>/<arm>/seed-<n>-<key>.json
    artifacts/<first two digits>/<sha256>.<extension>
    stages/<key>.json            what a finished stage (load, sample, cost) left behind
    unfinished/<key>.safetensors the last checkpoint of a training in progress
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic import ValidationError

from kdbench.errors import StoreError
from kdbench.record import Record
from kdbench.spec import canonical_json, content_key

_WRITING = ".writing-"
"""Start of the names of files that are being written; a kill can leave one behind."""


def write_atomically(path: Path, data: bytes) -> None:
    """Replace `path` by `data`, or leave it as it was.

    Raises:
        StoreError: the folder cannot be written or the disk is full.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=_WRITING)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(name, 0o644)
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise StoreError(_explain(error, path)) from error


def _explain(error: OSError, path: Path) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"The disk is full: {path} could not be written. Free some space and run again."
    return (
        f"{path} cannot be written: {error.strerror}. Check the folder's permissions, "
        "or choose another with --out."
    )


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Store:
    """One output folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def artifacts(self) -> Path:
        """The folder of content-addressed files."""
        return self.root / "artifacts"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for one command; a second one is refused, not queued.

        Raises:
            StoreError: another run holds it, or the folder cannot be written.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.root / ".lock")
            lock.acquire(timeout=0)
        except Timeout as error:
            raise StoreError(
                f"Another kdbench run is using {self.root}. Wait for it to end, "
                "or choose another folder with --out."
            ) from error
        except OSError as error:
            raise StoreError(_explain(error, self.root)) from error
        try:
            for stale in self.root.rglob(f"{_WRITING}*"):
                stale.unlink(missing_ok=True)
            yield
        finally:
            lock.release()

    @contextmanager
    def stage_lock(self, key: str) -> Iterator[None]:
        """Let one worker make a shared stage while others wait for it."""
        folder = self.root / "stages"
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f".{key}.lock"):
            yield

    # ---------------------------------------------------------------- artifacts

    def put_artifact(self, data: bytes, extension: str) -> str:
        """Keep bytes under their hash; returns `sha256.extension`."""
        name = f"{hashlib.sha256(data).hexdigest()}.{extension}"
        if not self.sound(name):
            write_atomically(self.artifact(name), data)
        return name

    def artifact(self, name: str) -> Path:
        """Where the artifact `sha256.extension` lies."""
        return self.artifacts / name[:2] / name

    def sound(self, name: str) -> bool:
        """Whether an artifact is there and still has the hash of its name."""
        path = self.artifact(name)
        return path.is_file() and sha256_file(path) == name.partition(".")[0]

    # ---------------------------------------------------------------- stages

    def stage(self, key: str) -> dict[str, Any] | None:
        """What the stage `key` left, or None where it is not done or its artifacts are damaged."""
        try:
            value: dict[str, Any] = json.loads((self.root / "stages" / f"{key}.json").read_text())
        except (OSError, ValueError):
            return None
        return value if all(self.sound(name) for name in value.get("artifacts", [])) else None

    def finish_stage(self, key: str, value: dict[str, Any]) -> None:
        """Note that a stage is done; `value["artifacts"]` lists what it needs to stay done."""
        write_atomically(self.root / "stages" / f"{key}.json", canonical_json(value).encode())

    def unfinished(self, key: str) -> Path:
        """Where a training in progress keeps its last checkpoint."""
        return self.root / "unfinished" / f"{key}.safetensors"

    # ---------------------------------------------------------------- records

    def put_record(self, record: Record) -> Path:
        """Write one record; another key of the same run is kept beside it."""
        identity = record.identity
        key = record.keys.sample if record.keys else record.key
        path = self._run_folder(identity.task, identity.pair, identity.arm) / (
            f"seed-{identity.train_seed}-{key[:12]}.json"
        )
        write_atomically(path, record.to_json().encode())
        return path

    def _run_folder(self, task: str, pair: str, arm: str) -> Path:
        return self.root / "records" / task / pair / arm

    def records(self) -> list[Record]:
        """The newest record of every run, in the order of their names."""
        return load_records(self.root / "records")

    def find_record(self, task: str, pair: str, arm: str, seed: int) -> Record | None:
        """The newest record of one run, or None."""
        found = load_records(self._run_folder(task, pair, arm), pattern=f"seed-{seed}-*.json")
        return found[0] if found else None


def run_key(task: str, pair: str, arm: str, seed: int) -> str:
    """The identity of a run, whatever the state of its code."""
    return content_key({"task": task, "pair": pair, "arm": arm, "seed": seed})


def load_records(folder: Path, *, pattern: str = "**/*.json") -> list[Record]:
    """Read all records below a folder and keep the newest of every run.

    Raises:
        StoreError: a file is not a record; the message names it and the field.
    """
    newest: dict[str, Record] = {}
    for path in sorted(folder.glob(pattern)):
        try:
            record = Record.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise StoreError(
                f"{path} is not a readable record ({_first_line(error)}). "
                "Move it away, or restore it, and run again."
            ) from error
        known = newest.get(record.key)
        if known is None or known.created <= record.created:
            newest[record.key] = record
    return list(newest.values())


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        fault = error.errors()[0]
        return f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}"
    return str(error).splitlines()[0]
