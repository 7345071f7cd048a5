"""Options that several verbs share."""

from __future__ import annotations

import os
from pathlib import Path

import click

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")


def _use_weights(_: click.Context, __: click.Parameter, folder: Path | None) -> None:
    """Set KDBENCH_WEIGHTS, which the processes that measure inherit."""
    if folder is not None:
        os.environ["KDBENCH_WEIGHTS"] = str(folder)


weights_option = click.option(
    "--weights-dir",
    type=click.Path(path_type=Path, exists=True, file_okay=False, resolve_path=True),
    callback=_use_weights,
    expose_value=False,
    help="Folder of external weights, looked in first; stands for KDBENCH_WEIGHTS.",
)


def _use_data(_: click.Context, __: click.Parameter, folder: Path | None) -> None:
    """Set KDBENCH_DATA, which tasks read."""
    if folder is not None:
        os.environ["KDBENCH_DATA"] = str(folder)


data_option = click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True, file_okay=False, resolve_path=True),
    callback=_use_data,
    expose_value=False,
    help="Folder that holds the data sets; stands for KDBENCH_DATA.",
)

costs_option = click.option(
    "--costs",
    type=click.Choice(["none", "glance", "brief", "full", "strict"]),
    help="How thoroughly costs are measured: from a second a figure to ten processes of up to "
    "ten minutes each. Suites choose; elsewhere it is brief.",
)
