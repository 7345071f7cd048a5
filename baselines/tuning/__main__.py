"""Make the trials of a file again: `python -m kdbench_baselines.tuning digits --out runs/tuning`.

Writes `baselines/tuning/<name>.json`, which pairs cite. Trials that are done are not repeated.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click
from kdbench_baselines.tuning.trials import Trials, register, result_of, runs_of
from rich.console import Console

from kdbench import registry
from kdbench.engines.jobs import make_jobs
from kdbench.engines.local import Setting, run_jobs
from kdbench.environment import own_command
from kdbench.errors import KdbenchError
from kdbench.plan import Plan
from kdbench.screen import Screen
from kdbench.spec import load_toml
from kdbench.store import Store, write_atomically

HERE = Path(__file__).parent


@click.command()
@click.argument("name")
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs/tuning"))
@click.option("--workers", default=2, show_default=True)
@click.option("--match", default="", help="Only trials whose pair/label contains this.")
def main(name: str, out: Path, workers: int, match: str) -> None:
    """Run the trials of NAME and write down their validation values."""
    asked = load_toml(HERE / f"{name}.toml", Trials)
    chosen = [trial for trial in asked.trials if match in f"{trial.pair}/{trial.label}"]
    pairs = [register(trial, out / "pairs") for trial in chosen]
    runs = [run for pair in pairs for run in runs_of(pair, asked.seeds)]
    plan = Plan(f"trials {name}", None, tuple(runs), skipped=(), unrun={}, expected_seconds=0.0)
    store = Store(out)
    files = tuple(str(path) for path in registry.pairs.added.values())
    setting = Setting(out.resolve(), "cpu", False, False, own_command(), files)
    with store.locked(), Screen(Console()) as screen:
        jobs = make_jobs(plan)
        screen.jobs(jobs)
        report = run_jobs(jobs, setting, workers=workers, listener=screen.event)
    for _, message, _ in report.errors:
        click.echo(message, err=True)
    rows = []
    for trial, pair in zip(chosen, pairs, strict=True):
        for run in runs_of(pair, asked.seeds):
            record = store.find_record(pair.task, pair.id, run.arm, run.seed)
            if record is not None:
                rows.append(result_of(trial, record))
    if not match:
        write_atomically(HERE / f"{name}.json", (json.dumps(rows, indent=1) + "\n").encode())
    for row in rows:
        value = "—" if row["validation"] is None else f"{row['validation']:+.4f}"
        click.echo(
            f"{row['pair']:28} {row['label']:24} {row['arm']:16} {value:>9} {row['seconds']} s"
        )


if __name__ == "__main__":
    try:
        main()
    except KdbenchError as error:
        sys.exit(f"kdbench: {error}")
