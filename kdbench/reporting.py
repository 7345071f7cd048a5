"""The verb `report`: render from records alone, and publish records on purpose."""

from __future__ import annotations

import shutil
from pathlib import Path

from kdbench.errors import NothingMeasured, StoreError
from kdbench.plan import make_plan, planned
from kdbench.record import Record
from kdbench.report.write import write_report
from kdbench.spec import Suite
from kdbench.store import Store, load_records

PUBLISHED_ARTIFACTS = ("gallery", "neighbours")
"""What travels with a published record; networks and logs stay where they were made."""


def render(name: str | None, *, out: Path, to: Path | None) -> list[Path]:
    """Write the report of a suite, or of all records, from the records of a folder.

    Args:
        name: a suite, a task or a pair; None for everything that is recorded.
        out: the folder with the records.
        to: the report's folder; by default `reports/<name>` below `out`.

    Returns:
        The files written, the page first.

    Raises:
        NothingMeasured: there are no such records.
    """
    store = Store(out)
    records = store.records()
    suite: Suite | None = None
    if name is not None:
        plan = make_plan(name)
        suite = plan.suite
        records = planned(records, plan)
    if not records:
        raise NothingMeasured(
            f"{out} has no records{f' of {name}' if name else ''}. "
            f"Make them with `kdbench run {name or 'quick'} --out {out}`."
        )
    folder = to or out / "reports" / (name or "all").partition("@")[0]
    return write_report(records, out=folder, artifacts=store.artifacts, suite=suite)


def publish(sources: tuple[Path, ...], out: Path) -> int:
    """Copy records and their pictures from other stores or files into `out`.

    Args:
        sources: output folders of runs, or single record files inside one.
        out: the published folder; it changes only here.

    Returns:
        How many records were added.

    Raises:
        StoreError: a source is damaged or a picture of it is missing; nothing is added then.
    """
    target = Store(out)
    found = [(record, store) for source in sources for record, store in _records_of(source)]
    for record, store in found:
        for artifact in _published(record).values():
            if not store.sound(artifact):
                raise StoreError(
                    f"The picture {artifact[:12]}… of {record.identity.pair} is missing or damaged "
                    f"in {store.root}. Run it again, then publish."
                )
    with target.locked():
        for record, store in found:
            for artifact in _published(record).values():
                destination = target.artifact(artifact)
                destination.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(store.artifact(artifact), destination)
            target.put_record(record)
    return len(found)


def _published(record: Record) -> dict[str, str]:
    return {k: v for k, v in record.artifacts.items() if k in PUBLISHED_ARTIFACTS}


def _records_of(source: Path) -> list[tuple[Record, Store]]:
    if source.is_dir():
        store = Store(source)
        return [(record, store) for record in store.records()]
    root = next((p.parent for p in source.resolve().parents if p.name == "records"), None)
    if root is None:
        raise StoreError(f"{source} is not inside a records folder: its gallery cannot be found.")
    return [(record, Store(root)) for record in load_records(source.parent, pattern=source.name)]
