"""The command line: JSON in the shapes that the design promises, and errors in one sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from kdbench import registry
from kdbench.cli import KINDS, main
from kdbench.metrics.protocols import PROTOCOLS, RESTORATION_SETTINGS
from kdbench.store import Store
from kdbench.weights import cards

Kdbench = Callable[..., Any]


def said(*words: str) -> Result:
    """What a verb says that starts no process and needs no torch."""
    return CliRunner().invoke(main, list(words))


def assert_one_sentence(done: Any, *words: str) -> None:
    """Exit code 2, one line for the user on standard error, no traceback, nothing else said."""
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert not done.stdout
    assert done.stderr.startswith("kdbench: ")
    assert done.stderr.count("\n") == 1
    assert done.stderr.rstrip().endswith(".")
    for word in words:
        assert word in done.stderr


# ---------------------------------------------------------------- JSON


@pytest.mark.parametrize("kind", KINDS)
def test_lists_are_arrays_of_objects_with_names(kind: str) -> None:
    done = said("list", kind, "--json")
    assert done.exit_code == 0
    entries = json.loads(done.stdout)
    assert {"name"} <= set.intersection(*(set(entry) for entry in entries))
    others = {"protocols": [*PROTOCOLS, *RESTORATION_SETTINGS], "weights": cards}
    assert [entry["name"] for entry in entries] == list(others.get(kind) or getattr(registry, kind))


def test_lists_for_people_name_the_same() -> None:
    done = said("list", "samplers")
    assert done.exit_code == 0
    for name in registry.samplers:
        assert name in done.stdout


def test_names_are_spelled_out() -> None:
    names = {entry["name"].partition("@")[0] for entry in registry.methods.describe()}
    assert {"luhman", "progressive", "denoising"} <= names
    assert {"smoke"} <= set(registry.suites)


def test_plans_are_an_object_of_runs_and_skipped() -> None:
    done = said("plan", "smoke", "--seeds", "1-2", "--json")
    assert done.exit_code == 0
    plan = json.loads(done.stdout)
    assert {"task", "pair", "arm", "seed"} <= set.intersection(*(set(run) for run in plan["runs"]))
    assert {run["seed"] for run in plan["runs"]} == {1, 2}
    assert {run["task"] for run in plan["runs"]} == {"toy@1"}
    assert [(s["pair"], s["seed"]) for s in plan["skipped"]] == [("toy-real@1", 2)]
    assert all(skipped["reason"] for skipped in plan["skipped"])


def test_plans_for_people_have_every_row_once() -> None:
    done = said("plan", "toy-luhman", "--seeds", "0-1")
    assert done.exit_code == 0
    for word in ("toy-luhman", "student", "heun-15", "scratch", "0, 1", "8 runs"):
        assert word in done.stdout


def test_metrics_can_be_asked_for_one_by_one_or_together() -> None:
    words = ("--metrics", "psnr, vendi[digits-cnn]", "--metrics", "vendi[digits-aux]")
    done = said("plan", "digits-noise", "--seeds", "0", *words, "--json")
    assert done.exit_code == 0
    asked = ["psnr@1", "vendi[digits-cnn]@1", "vendi[digits-aux]@1"]
    assert json.loads(done.stdout)["runs"][0]["metrics"] == asked
    assert ", ".join(asked) in " ".join(said("plan", "digits-noise", *words).stdout.split())


def test_metrics_that_are_asked_for_join_those_that_are_there(
    kdbench: Kdbench, toy_run: Any, tmp_path: Path
) -> None:
    out = toy_run.copy(tmp_path)
    before = {r.identity.pair: r for r in Store(out).records() if r.identity.arm != "euler-2"}
    done = kdbench(*toy_run.command, out, "--metrics", "psnr")
    assert done.returncode == 0, done.stderr
    after = {r.identity.pair: r for r in Store(out).records() if r.identity.arm != "euler-2"}
    assert len(after) == len(before) == 2
    for pair, record in after.items():
        assert {s.metric for s in record.scores} - {s.metric for s in before[pair].scores} == {
            "psnr@1"
        }
        assert record.training == before[pair].training


def test_a_run_says_what_became_of_each_row(toy_run: Any) -> None:
    said = toy_run.said
    assert said["exit_code"] == 0
    assert said["errors"] == said["skipped"] == []
    assert {(r["pair"], r["arm"], r["seed"]) for r in said["runs"]} == {
        ("toy-edm@1", "heun-15", 0),
        ("toy-edm@1", "euler-2", 0),
        ("toy-denoiser@1", "euler-2", 0),
        ("toy-progressive-2@1", "student", 0),
    }
    assert {r["status"] for r in said["runs"]} == {"ok"}
    assert all(Path(path).is_file() for path in said["wrote"])


def test_a_report_says_what_it_wrote(kdbench: Kdbench, toy_run: Any, tmp_path: Path) -> None:
    done = kdbench("report", "--out", toy_run.out, "--to", tmp_path / "here", "--json")
    assert done.returncode == 0, done.stderr
    wrote = [Path(path) for path in json.loads(done.stdout)["wrote"]]
    assert wrote[0] == tmp_path / "here" / "leaderboard.md"
    assert sorted(wrote) == sorted((tmp_path / "here").iterdir())
    assert "toy-progressive-2" in wrote[0].read_text()


# ---------------------------------------------------------------- help

VERBS = ("list", "plan", "run", "report", "doctor")


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_examples_and_json(verb: str) -> None:
    done = said(verb, "--help")
    assert done.exit_code == 0
    assert f"kdbench {verb}" in done.stdout
    assert "Example" in done.stdout
    assert "--json" in done.stdout


def test_the_verbs_are_few_and_known() -> None:
    assert set(VERBS) <= set(main.commands)
    assert len(main.commands) <= 10


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize("verb", ["plan", "run"])
@pytest.mark.parametrize("name", ["smoek", "toy-edm@9", "no/such/file.toml"])
def test_unknown_names(verb: str, name: str, kdbench: Kdbench, tmp_path: Path) -> None:
    out = ("--out", tmp_path / "runs") if verb == "run" else ()
    assert_one_sentence(kdbench(verb, name, *out), Path(name).name.partition("@")[0])
    assert not list(tmp_path.iterdir())


def test_reports_of_unknown_names(kdbench: Kdbench, toy_run: Any) -> None:
    assert_one_sentence(kdbench("report", "smoek", "--out", toy_run.out), "smoek")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--metrics", "psnrr"], "Did you mean 'psnr'"),
        (["--metrics", "psnr,"], "'' is not a metric"),
        (["--metrics", "psnr[digits-cnn]"], "takes no extractor"),
        (["--metrics", "vendi"], "toy@1 has no extractor of its own"),
        (["--metrics", "inception-score"], "kdbench doctor --fetch inception-v3-compat"),
        (["--protocol", "torch-fidelty"], "Did you mean 'torch-fidelity'"),
    ],
)
def test_metrics_that_cannot_be_measured_are_said_before_anything_runs(
    words: list[str], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("KDBENCH_WEIGHTS", "KDBENCH_CACHE", "XDG_CACHE_HOME", "TORCH_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    done = said("run", "toy-noise", *words, "--out", str(tmp_path / "runs"))
    assert done.exit_code == 2
    assert not done.stdout
    assert done.stderr.startswith("kdbench: ")
    assert done.stderr.count("\n") == 1
    assert sentence in done.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("seeds", ["1-", "a", "3-1", "²", ""])
def test_bad_seeds(seeds: str, kdbench: Kdbench) -> None:
    assert_one_sentence(kdbench("plan", "smoke", "--seeds", seeds), repr(seeds))


def test_an_out_below_a_file(kdbench: Kdbench, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    done = kdbench("run", "toy-noise", "--out", tmp_path / "file" / "runs", "--json")
    assert_one_sentence(done, str(tmp_path / "file" / "runs"), "cannot be written")
    assert (tmp_path / "file").read_text() == "mine"


def test_an_out_that_another_run_holds(kdbench: Kdbench, tmp_path: Path) -> None:
    with Store(tmp_path / "runs").locked():
        done = kdbench("run", "toy-noise", "--out", tmp_path / "runs", "--json")
    assert_one_sentence(done, str(tmp_path / "runs"), "Another kdbench run")


def test_a_damaged_record(kdbench: Kdbench, toy_run: Any, tmp_path: Path) -> None:
    out = toy_run.copy(tmp_path)
    path = next((out / "records").rglob("*.json"))
    path.write_text(path.read_text()[:100])
    assert_one_sentence(kdbench("report", "--out", out), str(path), "not a readable record")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["run", "smoke", "--sneeds", "0"], "No such option"),
        (["run"], "Missing argument"),
        (["list", "pears"], "is not one of"),
        (["run", "smoke", "--workers", "0"], "x>=1"),
        (["run", "smoke", "--device", "tpu"], "is not one of"),
        (["ruin"], "No such command"),
    ],
)
def test_wrong_options_are_explained(words: list[str], sentence: str) -> None:
    done = said(*words)
    assert done.exit_code == 2
    assert sentence in done.output
    assert "Traceback" not in done.output


def test_an_out_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    done = said("run", "toy-noise", "--out", str(tmp_path / "file"))
    assert done.exit_code == 2
    assert "is a file" in done.output


def test_a_folder_without_records_says_how_to_make_them(tmp_path: Path) -> None:
    done = said("report", "smoke", "--out", str(tmp_path))
    assert done.exit_code == 4
    assert f"kdbench run smoke --out {tmp_path}" in done.stderr
