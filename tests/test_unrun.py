"""Pairs that nobody has run: marked, said to be so wherever they are listed, and not published."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from kdbench import registry
from kdbench.cli import main
from kdbench.keys import load_key, recipe_key, sample_key
from kdbench.plan import make_plan
from kdbench.stages import shared_task
from kdbench.store import Store

REPOSITORY = Path(__file__).parents[1]

UNRUN = 'unrun = "needs a telescope"\n'


@pytest.fixture
def unrun(add_pair: Callable[..., Path]) -> str:
    """A pair that says why nobody has run it."""
    return add_pair("far", UNRUN).stem


def said(*words: str) -> str:
    """What a verb prints, on one line."""
    done = CliRunner(env={"COLUMNS": "200"}).invoke(main, list(words))
    assert done.exit_code == 0, done.output
    return " ".join(done.stdout.split())


def test_what_has_published_records_is_not_marked() -> None:
    published = {r.identity.pair.partition("@")[0] for r in Store(REPOSITORY / "results").records()}
    assert published
    assert not {name for name in published if registry.pairs.load(name).unrun}


def test_lists_say_so(unrun: str) -> None:
    entries = {entry["name"]: entry for entry in registry.pairs.describe()}
    assert entries[unrun]["unrun"] == "needs a telescope"
    assert entries["toy-luhman"]["unrun"] == ""
    assert "unrun (needs a telescope): " in said("list", "pairs")
    assert '"unrun": "needs a telescope"' in said("list", "pairs", "--json")


def test_plans_say_so_and_do_not_guess_how_long(unrun: str) -> None:
    plan = json.loads(said("plan", unrun, "--json"))
    assert plan["unrun"] == {unrun: "needs a telescope"}
    assert plan["expected_cpu_seconds"] == 0
    text = said("plan", unrun)
    assert f"Unrun (needs a telescope): {unrun}." in text
    assert "nobody knows how long training and sampling take" in text


def test_what_was_run_beside_it_is_still_counted(unrun: str, add_pair: Callable[..., Path]) -> None:
    add_pair("near", f'start = "{unrun}"\nexpected_seconds = 90\n')
    plan = make_plan("near", seeds=(0,))
    assert plan.unrun == {unrun: "needs a telescope"}  # a prerequisite
    assert plan.expected_seconds == 90
    assert "training and sampling but those of unrun pairs take about 1 minute" in said(
        "plan", "near", "--seeds", "0"
    )


def test_plans_of_what_was_run_say_nothing_of_it() -> None:
    assert make_plan("smoke").unrun == {}
    assert "nrun" not in said("plan", "smoke")


def test_the_mark_is_in_no_key(unrun: str) -> None:
    marked = registry.pairs.load(unrun)
    bare, task = marked.model_copy(update={"unrun": ""}), shared_task("toy@1")
    assert recipe_key(marked) == recipe_key(bare)
    keys = [load_key(pair, task, seed=0, device="cpu", retrain=False) for pair in (marked, bare)]
    assert keys[0] == keys[1]
    samples = [
        sample_key("a", pair, task, arm="student", seed=0, device="cpu") for pair in (marked, bare)
    ]
    assert samples[0] == samples[1]
