"""Methods, weights and workers that fail: each becomes a record or a sentence, the rest goes on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kdbench.weights import cards

Kdbench = Callable[..., Any]
MakePlugin = Callable[..., Path]

FAULTS = '''
import os, signal, sys
from pathlib import Path
from typing import Literal

import torch
from kdbench import Batch, Method, Spec

AT = 5


class Params(Spec):
    fault: str
    mark: str = ""


def once(mark):
    """Whether this is the first time, in this process or in another."""
    path = Path(os.environ["KDBENCH_TEST_MARKS"]) / mark
    first = not path.exists()
    path.touch()
    return first


class Faulty(Method):
    Params = Params

    def loss(self, student, teacher, batch):
        loss = student(batch.images, torch.ones(len(batch.images)), batch.labels).square().mean()
        return getattr(self, self.params.fault)(loss) if batch.step == AT else loss

    def none(self, loss):
        return loss

    def nan(self, loss):
        return loss * float("nan")

    def boom(self, loss):
        raise ValueError("boom")

    def memory(self, loss):
        raise MemoryError("no room for 3 TiB")

    def allocation(self, loss):
        return loss + torch.empty(2**55).sum()

    def leave(self, loss):
        sys.exit(3)

    def kill(self, loss):
        os.kill(os.getpid(), signal.SIGKILL)

    def kill_once(self, loss):
        return self.kill(loss) if once("killed") else loss

    def boom_once(self, loss):
        return self.boom(loss) if once("boomed") else loss

    def chatter(self, loss):
        print('{"event": "done", "outcomes": []}', flush=True)
        os.write(1, b"not json at all\\n")
        return loss


class NotFinite:
    """Every second point is not a number."""

    nfe = 0

    def __init__(self, task):
        pass

    def __call__(self, inputs):
        points = inputs.latents.clone()
        points[inputs.index % 2 == 0] = float("nan")
        return points
'''

PAIR = """
name = "{name}"
task = "toy@1"
family = "faulty"
summary = "Of a test."
{more}

[network]
name = "resmlp@1"
args = {{ width = 8, depth = 1 }}

[method]
name = "{method}"
{params}

[budget]
steps = 10
batch = 16
warmup = 0
lr = {lr}

[arms.student]
role = "student"
sampling = {{ sampler = "euler@1", args = {{ steps = 1 }} }}
"""


def pair(
    name: str, fault: str | None = None, *, lr: float = 1e-3, more: str = "", method: str = ""
) -> str:
    params = f'params = {{ fault = "{fault}" }}' if fault else ""
    return PAIR.format(name=name, method=method or "faulty@1", params=params, lr=lr, more=more)


PAIRS = {
    "nan": pair("nan", "nan"),
    "steep": pair("steep", method="denoising@1", lr=1e30),
    "boom": pair("boom", "boom"),
    "memory": pair("memory", "memory"),
    "allocation": pair("allocation", "allocation"),
    "leave": pair("leave", "leave"),
    "kill": pair("kill", "kill"),
    "kill-once": pair("kill-once", "kill_once"),
    "boom-once": pair("boom-once", "boom_once"),
    "chatter": pair("chatter", "chatter"),
    "after-nan": pair("after-nan", "none", more='teacher = "nan"'),
    "not-finite": (
        'name = "not-finite"\ntask = "toy@1"\nfamily = "f"\nsummary = "s"\n'
        '[generator]\nname = "not-finite@1"\n[arms.points]\nrole = "trivial"\n'
    ),
}
SUITE = f"""
name = "faults"
summary = "All that can go wrong, and one that does not."
pairs = {[*PAIRS, "toy-noise"]}
seeds = [0]
"""


@pytest.fixture(scope="module")
def plugin(make_plugin: MakePlugin, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package of faults, with one pair for each and a suite of them all."""
    folder = tmp_path_factory.mktemp("plugin")
    weights = cards.path("toy-edm-0").with_suffix(".safetensors")
    damaged = pair("damaged", method="denoising@1", more='weights = ["flipped"]').replace(
        "width = 8, depth = 1", "width = 96, depth = 2"
    )
    files = {f"faulty_pairs/{name}.toml": text for name, text in PAIRS.items()}
    files |= {
        "faulty.py": FAULTS,
        "faulty_pairs/__init__.py": "",
        "faulty_pairs/damaged.toml": damaged,
        "faulty_suites/__init__.py": "",
        "faulty_suites/faults.toml": SUITE,
        "faulty_suites/damage.toml": SUITE.replace('"faults"', '"damage"').replace(
            str([*PAIRS, "toy-noise"]), str(["damaged", "toy-noise"])
        ),
        "faulty_weights/__init__.py": "",
        "faulty_weights/flipped.toml": cards.path("toy-edm-0")
        .read_text()
        .replace('"toy-edm-0"', '"flipped"'),
    }
    entries = {
        "kdbench.methods": {"faulty@1": "faulty:Faulty"},
        "kdbench.generators": {"not-finite@1": "faulty:NotFinite"},
        "kdbench.pairs": {"faulty": "faulty_pairs"},
        "kdbench.suites": {"faulty": "faulty_suites"},
        "kdbench.weights": {"faulty": "faulty_weights"},
    }
    make_plugin(folder, entries, files)
    bits = bytearray(weights.read_bytes())
    bits[len(bits) // 2] ^= 1
    (folder / "faulty_weights" / "flipped.safetensors").write_bytes(bits)
    return folder


@dataclass(frozen=True)
class Ended:
    """One run of the suite of faults."""

    code: int
    said: dict[str, Any]
    errors: str
    records: dict[str, dict[str, Any]]

    def outcome(self, name: str) -> dict[str, Any]:
        """What the command says of one pair."""
        return next(run for run in self.said["runs"] if run["pair"] == f"{name}@1")


@pytest.fixture(scope="module")
def run_faults(
    kdbench: Kdbench,
    plugin: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[..., Ended]:
    """Run the suite of faults, again and again in one output folder."""
    out = tmp_path_factory.mktemp("out") / "runs"
    marks = tmp_path_factory.mktemp("marks")

    def run(*words: str) -> Ended:
        done = kdbench(
            "run", "faults", "--costs", "none", "--json", "--out", out, *words,
            path=(plugin,), more={"KDBENCH_TEST_MARKS": str(marks)},
        )  # fmt: skip
        newest: dict[str, dict[str, Any]] = {}
        for path in (out / "records").rglob("*.json"):
            record = json.loads(path.read_text())
            name = record["identity"]["pair"].partition("@")[0]
            if name not in newest or newest[name]["created"] < record["created"]:
                newest[name] = record
        return Ended(done.returncode, json.loads(done.stdout), done.stderr, newest)

    return run


@pytest.fixture(scope="module")
def first(run_faults: Callable[..., Ended]) -> Ended:
    return run_faults()


@pytest.fixture(scope="module")
def second(first: Ended, run_faults: Callable[..., Ended]) -> Ended:
    """The same command once more."""
    return run_faults()


@pytest.fixture(scope="module")
def retried(second: Ended, run_faults: Callable[..., Ended]) -> Ended:
    return run_faults("--retry")


def test_faults_end_with_4_and_without_a_traceback(first: Ended) -> None:
    assert first.code == first.said["exit_code"] == 4
    assert "Traceback" not in first.errors


@pytest.mark.parametrize("name", ["toy-noise", "chatter"])
def test_others_are_finished(name: str, first: Ended) -> None:
    assert first.records[name]["status"] == "ok"
    assert any(score["value"] is not None for score in first.records[name]["scores"])


@pytest.mark.parametrize(
    ("name", "status", "reason"),
    [
        ("nan", "diverged", "The student's loss or gradient is not finite at update 5."),
        ("steep", "diverged", "not finite"),
        ("after-nan", "diverged", "It needs nan, which diverged: The student's loss"),
        ("boom", "failed", "ValueError: boom"),
        ("memory", "oom", "no room for 3 TiB"),
        ("allocation", "oom", "memory"),
    ],
)
def test_a_fault_is_a_record_with_its_reason(
    name: str, status: str, reason: str, first: Ended
) -> None:
    record = first.records[name]
    assert record["status"] == status
    assert reason in record["reason"]
    assert record["scores"] == record["costs"] == []
    assert record["training"] is None
    assert (first.outcome(name)["status"], first.outcome(name)["reason"]) == (
        status, record["reason"],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "how"), [("kill", "was killed by signal 9"), ("leave", "ended with status 3")]
)
def test_a_worker_that_dies_is_an_error_of_its_job_alone(name: str, how: str, first: Ended) -> None:
    errors = [error for error in first.said["errors"] if error.startswith(f"{name} seed 0: ")]
    assert len(errors) == 1
    assert how in errors[0]
    assert "Run again" in errors[0]
    assert f"kdbench: {errors[0]}" in first.errors
    assert name not in first.records


def test_images_that_are_not_finite_are_counted_and_void_the_metrics(first: Ended) -> None:
    record = first.records["not-finite"]
    for score in record["scores"]:
        assert score["n_failed"] == 500
        assert score["value"] is None
        assert "500" in score["reason"]


def test_the_report_shows_what_failed(first: Ended) -> None:
    page = next(Path(p) for p in first.said["wrote"] if p.endswith("leaderboard.md")).read_text()
    for name in ("nan", "boom", "toy-noise"):
        assert name in page


def test_failures_are_not_tried_again_by_themselves(first: Ended, second: Ended) -> None:
    assert second.code == 4
    for name in ("nan", "boom", "boom-once", "memory"):
        assert second.outcome(name)["did"] == "nothing"
        assert second.records[name] == first.records[name]


def test_a_job_whose_worker_was_killed_is_finished_by_the_next_run(second: Ended) -> None:
    assert second.outcome("kill-once")["status"] == "ok"
    assert second.records["kill-once"]["training"]["steps"] == 10


def test_retry_tries_again(first: Ended, retried: Ended) -> None:
    assert retried.code == 4
    assert first.records["boom-once"]["status"] == "failed"
    assert retried.outcome("boom-once")["status"] == "ok"
    assert retried.records["boom-once"]["status"] == "ok"
    for name in ("nan", "boom"):
        assert retried.outcome(name)["status"] == first.outcome(name)["status"]
        assert retried.records[name]["created"] > first.records[name]["created"]


# ---------------------------------------------------------------- weights


def test_damaged_weights_are_refused_and_others_finished(
    kdbench: Kdbench, plugin: Path, tmp_path: Path
) -> None:
    out = tmp_path / "runs"
    done = kdbench("run", "damage", "--costs", "none", "--json", "--out", out, path=(plugin,))
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    said = [line for line in done.stderr.splitlines() if line.startswith("kdbench: ")]
    assert len(said) == 1
    for word in ("'flipped'", "damaged", "flipped.safetensors", "kdbench run toy-edm --retrain"):
        assert word in said[0]
    assert [p.parent.parent.name for p in (out / "records").rglob("*.json")] == ["toy-noise@1"]


def test_missing_weights_are_refused(kdbench: Kdbench, plugin: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(plugin, tmp_path / "plugin")
    (copy / "faulty_weights" / "flipped.safetensors").unlink()
    done = kdbench(
        "run",
        "damaged",
        "--costs",
        "none",
        "--seeds",
        "0",
        "--out",
        tmp_path / "runs",
        path=(copy,),
    )
    assert done.returncode == 2
    assert "'flipped' are missing" in done.stderr
    assert "Traceback" not in done.stderr


# ---------------------------------------------------------------- the folder one stands in


def test_files_of_the_current_folder_are_not_imported(kdbench: Kdbench, tmp_path: Path) -> None:
    for name in ("numpy", "torch", "random", "kdbench"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported from here')\n")
    words = ("run", "toy-noise", "--seeds", "0", "--costs", "none", "--json", "--out", "runs")
    done = kdbench(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "imported from here" not in done.stderr
