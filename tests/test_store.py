"""The output folder: whole files or old ones, sound artifacts, newest records, one user."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kdbench.errors import StoreError
from kdbench.record import SCHEMA, Code, Identity, Keys, Provenance, Record
from kdbench.store import Store, load_records, run_key, write_atomically

SHARED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


def record(
    *,
    pair: str = "one@1",
    arm: str = "student",
    seed: int = 0,
    created: str = "2026-01-01T00:00:00.000000+00:00",
    sample: str | None = "5" * 64,
    reason: str | None = None,
) -> Record:
    """A record of one run; `sample` is its sample key."""
    return Record(
        schema=SCHEMA,
        key=run_key("toy@1", pair, arm, seed),
        status="ok" if sample else "failed",
        reason=reason,
        created=created,
        identity=Identity(
            suite=None, task="toy@1", pair=pair, arm=arm, role="student", main_metric="m@1",
            margin=0.1, family="test", method=None, train_seed=seed, origin="none",
        ),
        keys=Keys(version=1, load="4" * 64, sample=sample) if sample else None,
        code=Code(kdbench="0"),
        environment={},
        provenance=Provenance(command="kdbench run one"),
    )  # fmt: skip


def leftovers(folder: Path) -> list[Path]:
    return list(folder.rglob(".writing-*"))


# ---------------------------------------------------------------- atomic writes


def test_folders_are_made_and_files_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file"
    write_atomically(path, b"old")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert not leftovers(tmp_path)
    assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("fails", ["write", "fsync", "replace"])
@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (errno.ENOSPC, "The disk is full: "),
        (errno.EDQUOT, "The disk is full: "),
        (errno.EACCES, "cannot be written: Permission denied"),
    ],
)
def test_a_failed_write_leaves_the_old_file(
    fails: str, code: int, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def fail(*arguments: Any) -> None:
        raise OSError(code, os.strerror(code))

    if fails == "write":
        whole = os.fdopen

        def broken(handle: int, mode: str) -> Any:
            file = whole(handle, mode, buffering=0)
            return _Broken(file, fail)

        monkeypatch.setattr(os, "fdopen", broken)
    else:
        monkeypatch.setattr(os, fails, fail)
    with pytest.raises(StoreError) as caught:
        write_atomically(path, b"new")
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert not leftovers(tmp_path)
    assert sentence in str(caught.value)
    assert str(path) in str(caught.value)
    assert caught.value.exit_code == 2


class _Broken:
    """A file whose `write` fails."""

    def __init__(self, file: Any, fail: Any) -> None:
        self._file, self.write = file, fail

    def __enter__(self) -> _Broken:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()


def test_an_interrupt_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def interrupt(handle: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert not leftovers(tmp_path)


def test_a_file_in_place_of_a_folder_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match="cannot be written"):
        write_atomically(tmp_path / "file" / "deeper", b"")


# ---------------------------------------------------------------- artifacts and stages


@SHARED
@given(data=st.binary(max_size=300))
def test_artifacts_are_kept_under_their_hash(data: bytes, store: Store) -> None:
    name = store.put_artifact(data, "bin")
    assert store.artifact(name).read_bytes() == data
    assert store.sound(name)
    assert store.put_artifact(data, "bin") == name


def test_different_data_never_share_a_name(store: Store) -> None:
    names = {store.put_artifact(bytes([i]), "bin") for i in range(50)}
    assert len(names) == 50


@pytest.mark.parametrize("damage", [b"", b"nearly the sam", None])
def test_a_damaged_artifact_undoes_its_stage_and_is_healed(
    damage: bytes | None, store: Store
) -> None:
    name = store.put_artifact(b"nearly the same", "bin")
    store.finish_stage("key", {"artifacts": [name], "nfe": 2})
    assert store.stage("key") == {"artifacts": [name], "nfe": 2}
    path = store.artifact(name)
    path.unlink() if damage is None else path.write_bytes(damage)
    assert not store.sound(name)
    assert store.stage("key") is None
    store.put_artifact(b"nearly the same", "bin")
    assert store.sound(name)
    assert store.stage("key") is not None


@pytest.mark.parametrize("text", ["", "{", "nonsense", '{"artifacts": ["gone.bin"]}'])
def test_a_damaged_stage_is_not_done(text: str, store: Store) -> None:
    assert store.stage("key") is None
    store.finish_stage("key", {})
    path = next((store.root / "stages").glob("*.json"))
    path.write_text(text)
    assert store.stage("key") is None


# ---------------------------------------------------------------- records


def test_a_record_comes_back(store: Store) -> None:
    store.put_record(record())
    assert store.records() == [record()]
    assert store.find_record("toy@1", "one@1", "student", 0) == record()
    assert store.find_record("toy@1", "one@1", "student", 1) is None


@SHARED
@given(order=st.permutations(range(5)))
def test_the_newest_record_wins_whatever_was_written_first(
    order: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    store = Store(tmp_path_factory.mktemp("order"))
    for day in order:
        store.put_record(
            record(created=f"2026-01-0{day + 1}T00:00:00.000000+00:00", sample=f"{day}" * 64)
        )
    assert len(list(store.root.rglob("*.json"))) == 5
    assert [r.created[:10] for r in store.records()] == ["2026-01-05"]


def test_a_failure_and_a_later_success_are_both_kept(store: Store) -> None:
    store.put_record(record(sample=None, reason="boom", created="2026-01-01T00:00:00.000000+00:00"))
    store.put_record(record(created="2026-01-02T00:00:00.000000+00:00"))
    assert len(list(store.root.rglob("*.json"))) == 2
    assert [r.status for r in store.records()] == ["ok"]


def test_runs_are_kept_apart(store: Store) -> None:
    runs = [
        {"pair": "one@1", "seed": 1},
        {"pair": "one@1", "seed": 11},
        {"pair": "one@1", "seed": 1, "arm": "euler-2"},
        {"pair": "one@2", "seed": 1},
    ]
    for run in runs:
        store.put_record(record(**run))  # type: ignore[arg-type]
    assert len(store.records()) == 4
    found = store.find_record("toy@1", "one@1", "student", 1)
    assert found is not None
    assert found.identity.train_seed == 1


WHOLE = record().to_json()


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "JSON"),
        (WHOLE[: len(WHOLE) // 2], "JSON"),
        (WHOLE.replace('"status": "ok"', '"status": "fine"'), "status: Input should be"),
        (WHOLE.replace('"margin": 0.1', '"margin": NaN'), "margin"),
        (WHOLE.replace('"margin": 0.1', '"extra": 1, "margin": 0.1'), "identity.extra: Extra"),
    ],
)
def test_a_damaged_record_is_named_with_its_field(text: str, word: str, store: Store) -> None:
    path = store.put_record(record())
    assert store.records()
    path.write_text(text)
    with pytest.raises(StoreError, match="is not a readable record") as caught:
        store.records()
    assert str(path) in str(caught.value)
    assert word in str(caught.value)
    assert "\n" not in str(caught.value)


def test_half_written_files_are_not_records(store: Store) -> None:
    path = store.put_record(record())
    path.with_name(".writing-abc").write_text("{")
    assert len(load_records(store.root / "records")) == 1


# ---------------------------------------------------------------- locks


def test_a_second_lock_is_refused_and_the_first_released(store: Store) -> None:
    with store.locked():
        second = Store(store.root).locked()
        with pytest.raises(StoreError, match="Another kdbench run is using") as caught:
            second.__enter__()
        assert str(store.root) in str(caught.value)
    with Store(store.root).locked():
        pass


def test_a_lock_holds_across_processes_and_dies_with_its_holder(store: Store) -> None:
    script = (
        "import sys, time; from pathlib import Path; from kdbench.store import Store\n"
        f"with Store(Path({str(store.root)!r})).locked():\n"
        "    print('held', flush=True); time.sleep(60)\n"
    )
    holder = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(StoreError, match="Another kdbench run"), store.locked():
            pass
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
    with store.locked():
        pass


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = Store(tmp_path / "file" / "runs")
    with pytest.raises(StoreError, match="cannot be written") as caught, store.locked():
        pass
    assert str(store.root) in str(caught.value)


def test_records_are_readable_json_in_the_layout_that_the_module_states(store: Store) -> None:
    path = store.put_record(record(seed=3))
    assert path.relative_to(store.root).parts == (
        "records", "toy@1", "one@1", "student", f"seed-3-{'5' * 12}.json",
    )  # fmt: skip
    assert json.loads(path.read_text())["identity"]["train_seed"] == 3
