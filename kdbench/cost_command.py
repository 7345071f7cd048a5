"""The verb `cost`: what a program costs, and how many times faster than its teacher it is."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click
from rich.console import Console

from kdbench.options import data_option, json_option


@click.command("cost")
@click.argument("name")
@click.option(
    "--against",
    metavar="NAME",
    help="What the speed-up is against: as NAME, or none. By default the teacher's reference arm.",
)
@click.option("--task", metavar="TASK", help="On whose inputs to run an exported program.")
@click.option(
    "--variant",
    "variants",
    metavar="NAME",
    multiple=True,
    default=("fp32",),
    show_default=True,
    help="Precision, compilation and layout of both programs, e.g. bf16+compile. Can be given "
    "again.",
)
@click.option(
    "--profile",
    type=click.Choice(["glance", "brief", "full", "strict"]),
    default="brief",
    show_default=True,
    help="How thoroughly: from half a second a figure to ten processes of up to ten minutes each.",
)
@click.option(
    "--threads",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Threads of torch in every process.",
)
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Which of a pair's trained or published networks.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs"),
    show_default=True,
    help="Folder where trained networks are looked up; nothing is written to it.",
)
@click.option(
    "--save",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write what --json prints to a file as well.",
)
@data_option
@json_option
def cost_command(
    name: str,
    against: str | None,
    task: str | None,
    variants: tuple[str, ...],
    profile: str,
    threads: int,
    device: str,
    seed: int,
    out: Path,
    save: Path | None,
    as_json: bool,
) -> None:
    """Measure what NAME costs: time, memory, operations, speed-up against its teacher.

    NAME is a registered PAIR/ARM, or a program exported with torch.export or TorchScript (.pt2,
    .pt, .ts; with --task). Loading a program is running it: give only programs of people you trust.

    Every figure comes from a fresh process, one after another: let nothing else run meanwhile.
    Program and teacher always run in the same variant. Its words are fp32, tf32, bf16, fp16;
    compile, compile-reduce-overhead, compile-max-autotune; cuda-graph; channels-last; joined by +.

    Latency is given at up to three boundaries: e2e, from inputs on the host to finished images on
    the host; pipe, from inputs to images on the device; core, one evaluation of the network. A
    mark says what to know before believing a figure, and is explained below the tables.

    The exit code is 4 if a variant could not be timed, or if the process of a figure failed or took
    too long; the reason stands in its place.

    \b
    Examples:
      kdbench cost toy-edm/euler-1
      kdbench cost digits-luhman/student --variant fp32 --variant bf16+compile
      kdbench cost digits-edm/euler-1 --against digits-edm/multistep-4 --profile full
      kdbench cost model.pt2 --task digits --against digits-edm/heun-35 --json
    """
    from kdbench import cost_screen as screen
    from kdbench.cost_sheet import check_device, check_variants, measure_costs
    from kdbench.costs.profiles import profile_of
    from kdbench.programs import Finder

    names = check_variants(variants)
    finder = Finder(out=out, seed=seed, device=device)
    program = finder.find(name, task=task)
    if task is not None and not program.build.get("program"):
        raise click.UsageError("--task is for exported programs: a registered pair has its own.")
    teacher = finder.find_against(program, against)
    check_device(device)
    with screen.telling_on(Console(stderr=True)) as tell:
        sheet = measure_costs(
            program,
            teacher,
            variants=names,
            profile=profile_of(profile),
            device=device,
            threads=threads,
            tell=tell,
        )
    text = json.dumps(sheet.as_dict(), indent=1) + "\n"
    if as_json:
        click.echo(text, nl=False)
    else:
        screen.show(sheet)
    if save is not None:
        from kdbench.store import write_atomically

        write_atomically(save, text.encode())
        click.echo(f"wrote {save}", err=as_json)
    for what, names in (("not timed", list(sheet.unmeasured)), ("failed", sheet.failed)):
        if names:
            click.echo(f"kdbench: {what}: {', '.join(names)}; the reasons are above.", err=True)
    if sheet.unmeasured or sheet.failed:
        sys.exit(4)
