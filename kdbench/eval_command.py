"""The verb `eval`: measuring what is not ours."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from kdbench.options import data_option, json_option, weights_option

PAGE_PAIRS = 24


def _words(_: click.Context, __: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    """Names that are separated by commas or given again and again.

    Raises:
        click.BadParameter: one is empty: an unset variable of a shell, which would ask for nothing.
    """
    if any(not words.strip(" ,") for words in given):
        raise click.BadParameter("the name is empty.")
    return tuple(word.strip() for words in given for word in words.split(",") if word.strip())


@click.command("eval")
@click.argument("student", required=False)
@click.option("--reference", metavar="REF", help="What the set should be like.")
@click.option(
    "--targets",
    metavar="TARGETS",
    help="What each image should be: a folder, an image or a batch; files are paired by name.",
)
@click.option("--teacher", metavar="T", help="As STUDENT: its images are compared with.")
@click.option("--task", metavar="TASK", help="Draw from its inputs, compare with its images.")
@data_option
@click.option(
    "--metrics",
    metavar="NAME[,NAME…]",
    multiple=True,
    callback=_words,
    help="Measure these and no others, e.g. fd[dinov2-vit-l14]. Can be given again.",
)
@click.option(
    "--protocol",
    "protocols",
    metavar="NAME",
    multiple=True,
    callback=_words,
    help="matlab-y, ntire or rgb for pairs; for sets what another library would print. Measures "
    "these and no others: see kdbench list protocols.",
)
@click.option(
    "--crop",
    metavar="N",
    type=click.IntRange(0),
    help="Pixels that a protocol for pairs cuts from each side. Papers cut the factor of "
    "super-resolution, those after NTIRE 6 more.",
)
@click.option("--as", "arm", metavar="PAIR/ARM", help="Network and sampler of a checkpoint.")
@click.option("--teacher-as", "teacher_arm", metavar="PAIR/ARM", help="The same for the teacher's.")
@click.option("--extractor", metavar="NAME", help="Features for metrics that leave them open.")
@click.option(
    "--seed",
    type=click.IntRange(0),
    show_default="0",
    help="Which block of the task's inputs is drawn from; of --blind also which images are shown.",
)
@click.option(
    "--save-statistics",
    "statistics",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Do not measure: write mean and covariance of STUDENT's features to a .safetensors file, "
    "which --reference takes.",
)
@click.option(
    "--blind",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Do not measure: write a page on which people compare images side by side.",
)
@click.option(
    "--pairs",
    type=click.IntRange(1, 1000),
    show_default=str(PAGE_PAIRS),
    help="Comparisons on that page.",
)
@click.option(
    "--answers",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    multiple=True,
    metavar="FILE",
    help="Score what a person answered on the page of --blind. Can be given again.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write the evaluation as a record, and keep features for the next one.",
)
@weights_option
@json_option
def eval_command(
    student: str | None,
    blind: Path | None,
    pairs: int | None,
    answers: tuple[Path, ...],
    statistics: Path | None,
    out: Path | None,
    as_json: bool,
    **asked: Any,
) -> None:
    """Measure STUDENT: images, or what makes them.

    STUDENT is a folder of images, one image, an .npz or .npy batch, a safetensors checkpoint of a
    registered network (with --as), a program exported with torch.export or TorchScript (.pt2, .pt,
    .ts; with --task), or a registered PAIR/ARM with published weights. REF is a folder, a batch,
    statistics (.npz of pytorch-fid, .pt of torch-fidelity, .safetensors of kdbench), or a task.

    A program is called with latents (N, C, H, W) and labels (N,) if it takes labels, optional ones
    too, otherwise with latents alone, and returns images (N, C, H, W) in [0, 1]. Loading a program
    is running it: give only programs of people you trust. Pickled checkpoints are never loaded.

    What is measured follows from what is given: --targets and --teacher compare image by image,
    --reference and --task compare sets; with none of them, it is how images look and how much they
    vary.

    --blind draws sides and order at random for each folder. Keep its key.json, without which no
    answer can be scored, and do not open it before you have answered. The same answers given twice
    are refused.

    The exit code is 4 if nothing was measured, or not all that --metrics or --protocol ask for.

    \b
    Examples:
      kdbench eval upscaled/ --targets set5/ --protocol matlab-y --crop 4
      kdbench eval samples.npz --reference real/ --metrics fid,kid[inception-v3-compat]
      kdbench eval model.pt2 --task digits --teacher digits-edm/heun-35
      kdbench eval weights.safetensors --as digits-luhman/student --json
      kdbench eval images/ --teacher teacher/ --blind page/
      kdbench eval --blind page/ --answers answers.json
    """
    _refuse_idle(asked, blind=blind, statistics=statistics, pairs=pairs, out=out)
    if answers:
        if blind is None or student is not None:
            raise click.UsageError("Answers belong to a page: --blind DIR --answers FILE.")
        _refuse_beside_answers({**asked, "pairs": pairs})
        _score_answers(blind, answers, as_json=as_json)
    elif student is None and blind is not None:
        raise click.UsageError(
            "Say whose images to show, kdbench eval STUDENT --blind DIR, or whose answers to "
            "score, kdbench eval --blind DIR --answers FILE."
        )
    elif student is None:
        raise click.UsageError("Say what to measure: kdbench eval STUDENT.")
    elif blind is not None:
        _make_page(student, asked, blind, pairs or PAGE_PAIRS, as_json=as_json)
    elif statistics is not None:
        _save_statistics(student, asked, statistics, as_json=as_json)
    else:
        _measure(student, asked, out, as_json=as_json)


def _refuse_idle(
    asked: dict[str, Any],
    *,
    blind: Path | None,
    statistics: Path | None,
    pairs: int | None,
    out: Path | None,
) -> None:
    """Refuse options that would change nothing beside the others.

    Raises:
        click.UsageError: there are some.
    """
    if asked["teacher_arm"] is not None and asked["teacher"] is None:
        raise click.UsageError("--teacher-as is of a teacher's checkpoint: give --teacher.")
    if pairs is not None and blind is None:
        raise click.UsageError("--pairs are those of a page: give --blind DIR.")
    if blind is not None and statistics is not None:
        raise click.UsageError("--blind and --save-statistics exclude each other.")
    if blind is None and statistics is None:
        return
    measuring = {
        "--metrics": asked["metrics"],
        "--protocol": asked["protocols"],
        "--crop": asked["crop"] is not None,
        "--out": out,
        "--extractor": blind and asked["extractor"],
        **{f"--{name}": statistics and asked[name] for name in ("reference", "targets", "teacher")},
    }
    idle = [option for option, given in measuring.items() if given]
    if idle:
        other = "--blind" if blind is not None else "--save-statistics"
        raise click.UsageError(f"{other} does not measure: leave out {' and '.join(idle)}.")


def _refuse_beside_answers(asked: dict[str, Any]) -> None:
    """Refuse options that say what a page is made of: its key knows.

    Raises:
        click.UsageError: there are some.
    """
    names = {"arm": "--as", "teacher_arm": "--teacher-as"}
    making = ("reference", "targets", "teacher", "task", "arm", "teacher_arm", "pairs", "seed")
    idle = [names.get(name, f"--{name}") for name in making if asked[name] is not None]
    if idle:
        raise click.UsageError(
            f"Answers are scored with the page's own key: leave out {' and '.join(idle)}."
        )


def _measure(student: str, asked: dict[str, Any], out: Path | None, *, as_json: bool) -> None:
    from kdbench import evaluation_screen as screen
    from kdbench.evaluating.evaluate import answer
    from kdbench.evaluating.question import Question

    cache = out / "features" if out else None
    with screen.progress_on(Console(stderr=True)) as progress:
        found = answer(Question(student, **asked), progress=progress, cache=cache)
    screen.show(found, as_json=as_json)
    if out is not None:
        click.echo(f"wrote {found.write(out)}", err=as_json)
    missing = [score.metric for score in found.scores if score.value is None]
    if len(missing) == len(found.scores):
        click.echo("kdbench: nothing was measured; the reasons are above.", err=True)
        sys.exit(4)
    if missing and (asked["metrics"] or asked["protocols"]):
        names = ", ".join(missing)
        click.echo(f"kdbench: not measured: {names}; the reasons are above.", err=True)
        sys.exit(4)


def _save_statistics(student: str, asked: dict[str, Any], path: Path, *, as_json: bool) -> None:
    from kdbench.evaluating.question import Question
    from kdbench.evaluating.saved_statistics import save_statistics
    from kdbench.evaluation_screen import progress_on

    with progress_on(Console(stderr=True)) as progress:
        save_statistics(Question(student, **asked), path, progress=progress)
    click.echo(json.dumps({"wrote": [str(path)]}, indent=1) if as_json else f"wrote {path}")


def _make_page(
    student: str, asked: dict[str, Any], folder: Path, count: int, *, as_json: bool
) -> None:
    from kdbench import evaluation_screen as screen
    from kdbench.blind.make import make_page
    from kdbench.evaluating.question import Question

    with screen.progress_on(Console(stderr=True)) as progress:
        page = make_page(Question(student, **asked), folder, count=count, progress=progress)
    screen.show_page(page, as_json=as_json)


def _score_answers(blind: Path, answers: tuple[Path, ...], *, as_json: bool) -> None:
    from kdbench.blind.answers import score_answers
    from kdbench.evaluation_screen import show_preferences

    found = score_answers(blind, answers)
    show_preferences(found, as_json=as_json)
    if not any(one.n for one in found.comparisons):
        click.echo("kdbench: nothing was measured: nobody preferred either side.", err=True)
        sys.exit(4)
