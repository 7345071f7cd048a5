"""The command line: thin verbs, each one call into the library."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from kdbench import registry
from kdbench.cost_command import cost_command
from kdbench.errors import KdbenchError
from kdbench.eval_command import eval_command
from kdbench.options import costs_option, json_option, weights_option
from kdbench.run_screen import result_as_dict, say_written, show_plan, show_result

KINDS = (
    *("tasks", "methods", "metrics", "extractors", "protocols", "weights"),
    *("generators", "networks", "samplers", "pairs", "suites"),
)

out_option = click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs"),
    show_default=True,
    help="Folder of records, artifacts and reports.",
)
seeds_option = click.option(
    "--seeds", metavar="RANGE", help="Seeds such as 0-4 or 0,2; by default the suite's, else 0-2."
)
metrics_option = click.option(
    "--metrics",
    metavar="NAME[,NAME…]",
    multiple=True,
    help="Measure these as well, e.g. fd[dinov2-vit-l14]; what cannot be measured is said before "
    "anything runs. Can be given again.",
)
protocol_option = click.option(
    "--protocol",
    "protocols",
    metavar="NAME",
    multiple=True,
    help="Measure as well what another library would print: see kdbench list protocols.",
)


class _Group(click.Group):
    """Turns every error that a user can cause into one sentence and its exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KdbenchError as error:
            click.echo(f"kdbench: {error}", err=True)
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo("kdbench: interrupted; finished work is kept, run again to go on.", err=True)
            ctx.exit(130)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="kdbench")
def main() -> None:
    """Benchmark and evaluation suite for distilled image generators.

    \b
    Examples:
      kdbench run quick            a leaderboard on real digits, 15 minutes on a CPU
      kdbench eval images/         how good images of your own are
      kdbench list suites          what can be run
      kdbench doctor               what is installed and what is missing
    """


@main.command("list")
@click.argument("kind", type=click.Choice(KINDS))
@json_option
def list_command(kind: str, as_json: bool) -> None:
    """List what is registered, by kdbench and by installed plug-ins.

    \b
    Examples:
      kdbench list pairs
      kdbench list metrics --json
    """
    entries = _entries(kind)
    if as_json:
        click.echo(json.dumps(entries, indent=1))
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("name")
    table.add_column("what" if "summary" in (entries or [{}])[0] else "provided by")
    for entry in entries:
        mark = f"unrun ({entry['unrun']}): " if entry.get("unrun") else ""
        table.add_row(entry["name"], mark + (entry.get("summary") or str(entry.get("provides"))))
    _console().print(table, markup=False)


@main.command()
@click.argument("name")
@seeds_option
@metrics_option
@protocol_option
@weights_option
@json_option
def plan(
    name: str,
    seeds: str | None,
    metrics: tuple[str, ...],
    protocols: tuple[str, ...],
    as_json: bool,
) -> None:
    """Show what running NAME (a suite, a task or a pair) would do.

    \b
    Examples:
      kdbench plan quick
      kdbench plan digits-luhman --seeds 0-4 --json
    """
    made = _plan(name, seeds, metrics, protocols)
    if as_json:
        click.echo(json.dumps(made.as_dict(), indent=1))
    else:
        from kdbench.running import cost_profile

        show_plan(made, costs=cost_profile(made, None))


@main.command()
@click.argument("name")
@seeds_option
@out_option
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True)
@click.option(
    "--workers",
    type=click.IntRange(1),
    default=2,
    show_default=True,
    help="Trainings side by side, one torch thread each.",
)
@click.option("--retrain", is_flag=True, help="Train published networks again.")
@click.option("--retry", is_flag=True, help="Try failed and diverged runs again.")
@costs_option
@metrics_option
@protocol_option
@weights_option
@json_option
def run(
    name: str,
    seeds: str | None,
    out: Path,
    device: str,
    workers: int,
    retrain: bool,
    retry: bool,
    costs: str | None,
    metrics: tuple[str, ...],
    protocols: tuple[str, ...],
    as_json: bool,
) -> None:
    """Run NAME (a suite, a task or a pair) and write its leaderboard.

    Finished work is taken as it is and interrupted training goes on where it was, so the same
    command can always be given again.

    \b
    Examples:
      kdbench run quick
      kdbench run quick --seeds 0-4
      kdbench run quick --metrics vendi,coverage --protocol torch-fidelity
      kdbench run quick --costs full
      kdbench run digits-luhman --out /tmp/trial --json
    """
    from kdbench.running import cost_profile
    from kdbench.running import run as run_plan
    from kdbench.screen import Screen

    made = _plan(name, seeds, metrics, protocols)
    console = Console(stderr=True) if as_json else _console()
    if not as_json:
        show_plan(made, workers=workers, costs=cost_profile(made, costs))
    with Screen(console) as screen:
        result = run_plan(
            made,
            out=out,
            watcher=screen,
            device=device,
            workers=workers,
            retrain=retrain,
            retry=retry,
            costs=costs,
        )
    if as_json:
        click.echo(json.dumps(result_as_dict(result), indent=1))
    else:
        show_result(result)
    for message, _ in result.errors:
        click.echo(f"kdbench: {message}", err=True)
    sys.exit(result.exit_code)


@main.command()
@click.argument("name", required=False)
@out_option
@click.option(
    "--to",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the report; by default reports/NAME below --out.",
)
@click.option(
    "--add",
    type=click.Path(path_type=Path, exists=True),
    multiple=True,
    help="Publish: copy these records (files or folders) and their galleries into --out first.",
)
@json_option
def report(
    name: str | None, out: Path, to: Path | None, add: tuple[Path, ...], as_json: bool
) -> None:
    """Render leaderboard, comparisons and plots from records alone.

    NAME is a suite whose named comparisons are printed; without it, all records are shown.

    \b
    Examples:
      kdbench report quick
      kdbench report quick --out results --to results/quick --add runs
    """
    from kdbench.reporting import publish, render

    if add:
        publish(add, out)
    wrote = render(name, out=out, to=to)
    if as_json:
        click.echo(json.dumps({"wrote": [str(path) for path in wrote]}, indent=1))
    else:
        say_written(wrote)


@main.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--fetch", is_flag=True, help="Fetch external weights: those of NAME, or all.")
@weights_option
@json_option
def doctor(names: tuple[str, ...], fetch: bool, as_json: bool) -> None:
    """Tell what is installed, what is missing and how to get it.

    Nothing is ever fetched but by --fetch: into the folder of --weights-dir where one is given,
    else into kdbench's cache. What is there already is taken as it is, and what was interrupted
    goes on where it was.

    \b
    Examples:
      kdbench doctor
      kdbench doctor --fetch inception-v3-compat
      kdbench doctor --fetch --weights-dir /media/stick
    """
    from kdbench import doctor as library
    from kdbench.fetch import shown_on

    if names and not fetch:
        raise click.UsageError("NAME says which weights to fetch: give --fetch as well.")
    if fetch:
        with shown_on(Console(stderr=True)) as progress:
            findings = library.fetch(names, progress=progress)
    else:
        findings = library.examine()
    if as_json:
        click.echo(json.dumps([finding.as_dict() for finding in findings], indent=1))
    else:
        click.echo("\n".join(map(str, findings)))
    sys.exit(0 if all(finding.ok or not finding.needed for finding in findings) else 2)


main.add_command(eval_command)
main.add_command(cost_command)


# ---------------------------------------------------------------- what is printed


def _console() -> Console:
    return Console()


def _plan(
    name: str, seeds: str | None, metrics: tuple[str, ...], protocols: tuple[str, ...]
) -> Any:
    """The plan; torch is imported only to check metrics that are asked for by name."""
    from kdbench.plan import make_plan
    from kdbench.seeds import parse_seeds

    chosen = None if seeds is None else parse_seeds(seeds)
    made = make_plan(name, seeds=chosen)
    if not (metrics or protocols):
        return made
    from kdbench.metrics.requested import requested_metrics

    names = [word.strip() for words in metrics for word in words.split(",")]
    more = requested_metrics(names, protocols, tasks=made.tasks)
    return make_plan(name, seeds=chosen, metrics=more)


def _entries(kind: str) -> list[dict[str, Any]]:
    if kind == "protocols":
        from kdbench.metrics.protocols import describe_protocols

        return describe_protocols()
    if kind == "weights":
        from kdbench.weights import cards

        return cards.describe()
    entries: list[dict[str, Any]] = getattr(registry, kind).describe()
    return entries


if __name__ == "__main__":
    main()
