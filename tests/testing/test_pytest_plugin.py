"""The fixture `kdbench_benchmark` in someone else's tests, each run in a process of its own."""

from __future__ import annotations

import importlib.metadata
import inspect
import json
from pathlib import Path
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture
from pytest_benchmark.stats import Metadata

from kdbench.costs.missing import missing
from kdbench.costs.profiles import PROFILES, Profile
from kdbench.errors import NothingMeasured
from kdbench.record import Cost
from kdbench.testing import subject
from kdbench.testing.pytest_plugin import SUPPORTED, hand_over

SOMEONE = """
import torch
from kdbench import Inputs, Task
from kdbench.tasks.base import Split


class Squares(Task):
    name, kind, shape, classes = "squares", "test", (1, 8, 8), 3
    sigma_data, main, margin, n, uses = 0.5, "none", 0.0, 16, ()

    def split(self, name):
        return Split(torch.zeros(1, *self.shape, dtype=torch.uint8), torch.zeros(1).long())


class Worker:
    def __init__(self, products):
        self.nfe, self.products, self.matrix = 0, products, torch.eye(128)

    def __call__(self, inputs):
        product = self.matrix
        for _ in range(self.products):
            product = product @ self.matrix
        return inputs.latents * product[0, 0]
"""
ONE = (
    SOMEONE
    + """

def test_speed(kdbench_benchmark):
    costs = kdbench_benchmark(Worker(4), task=Squares(), against=Worker(12), batch=2)
    assert [cost.metric for cost in costs] == ["latency_ms", "speedup"]
    assert costs[0].value < 1000
"""
)


@pytest.fixture
def someone(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A folder of someone's own, outside any configuration of kdbench's."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    return pytester


def run(someone: pytest.Pytester, text: str, *words: str) -> pytest.RunResult:
    """Run one file of tests."""
    someone.makepyfile(test_speed=text)
    return someone.runpytest_subprocess("-p", "no:cacheprovider", *words)


def written(path: Path) -> dict[str, Any]:
    """The only benchmark in a file of pytest-benchmark's."""
    (benchmark,) = json.loads(path.read_text())["benchmarks"]
    found: dict[str, Any] = benchmark
    return found


def test_rounds_are_ordinary_benchmarks_that_are_saved_and_compared(
    someone: pytest.Pytester,
) -> None:
    file = someone.path / "speed.json"
    first = run(someone, ONE, "--benchmark-autosave", f"--benchmark-json={file}")
    first.assert_outcomes(passed=1)
    benchmark = written(file)
    rounds, facts = benchmark["stats"], benchmark["extra_info"]["kdbench"]
    assert len(rounds["data"]) == rounds["rounds"] >= 1
    assert facts["median_ms"] == pytest.approx(1e3 * rounds["median"])
    assert "in_process" in facts["marks"]
    assert (facts["boundary"], facts["batch"], facts["variant"]) == ("e2e", 2, "fp32")
    assert (facts["speedup"]["against"], facts["speedup"]["unit"]) == ("Worker", "x")
    assert len(facts["config_key"]) == 64
    second = run(someone, ONE, "--benchmark-compare", "--benchmark-compare-fail=median:100000%")
    second.assert_outcomes(passed=1)
    second.stdout.fnmatch_lines_random(["*test_speed*NOW*", "*test_speed*0001*"])
    slower = ONE.replace("Worker(4)", "Worker(400)")
    third = run(someone, slower, "--benchmark-compare", "--benchmark-compare-fail=median:100%")
    assert third.ret != 0
    third.stderr.fnmatch_lines(["*Performance has regressed*"])


def test_a_registered_program_is_measured_in_fresh_processes(someone: pytest.Pytester) -> None:
    text = """
        import os, sys

        def test_speed(kdbench_benchmark):
            costs = kdbench_benchmark("toy-edm/euler-1", against="toy-edm/heun-15", batch=4)
            named = {cost.metric: cost for cost in costs}
            assert {"latency_ms", "speedup", "macs"} <= set(named)
            assert costs[0].batch == 4
            assert named["speedup"].batch == 1
            assert "output_unchecked" not in costs[0].marks
    """
    file = someone.path / "speed.json"
    run(someone, text, f"--benchmark-json={file}").assert_outcomes(passed=1)
    benchmark = written(file)
    facts = benchmark["extra_info"]["kdbench"]
    assert facts["subject"] == "toy-edm/euler-1"
    assert "in_process" not in facts["marks"]
    assert facts["speedup"]["against"] == "toy-edm/heun-15"
    assert facts["median_ms"] == pytest.approx(1e3 * benchmark["stats"]["median"])


def test_precision_of_the_process_stays_as_it_was(someone: pytest.Pytester) -> None:
    text = (
        SOMEONE
        + """

def test_speed(kdbench_benchmark):
    torch.set_float32_matmul_precision("high")
    kdbench_benchmark(Worker(1), task=Squares())
    assert torch.get_float32_matmul_precision() == "high"
"""
    )
    run(someone, text).assert_outcomes(passed=1)


TWO = (
    ONE
    + """

class Narrow(Worker):
    def __call__(self, inputs):
        return super().__call__(inputs)[:, :, :4]


def test_narrow(kdbench_benchmark):
    kdbench_benchmark(Narrow(1), task=Squares())
"""
)


@pytest.mark.parametrize("how", ["--benchmark-disable", "PYTEST_XDIST_WORKER"])
def test_where_benchmarks_are_disabled_it_draws_once_and_skips(
    how: str, someone: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [how] if how.startswith("--") else []
    if not words:
        monkeypatch.setenv(how, "gw0")  # as xdist does in its workers
    done = run(someone, TWO, "-rs", *words)
    done.assert_outcomes(skipped=1, failed=1)
    done.stdout.fnmatch_lines(["*The generator gave Tensor (1, 1, 4, 8)*"])
    done.stdout.fnmatch_lines(["*drawn once and not timed: benchmarks are disabled*"])


def test_skip_and_only_know_it_for_a_benchmark(someone: pytest.Pytester) -> None:
    run(someone, ONE, "--benchmark-skip").assert_outcomes(skipped=1)
    other = ONE + "\n\ndef test_other():\n    assert False\n"
    run(someone, other, "--benchmark-only").assert_outcomes(passed=1, skipped=1)


def test_without_pytest_benchmark_it_says_what_to_install(someone: pytest.Pytester) -> None:
    done = run(someone, ONE, "-p", "no:benchmark")
    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines(["*needs pytest-benchmark: pip install pytest-benchmark*"])


CALLS = {
    "'toy-edmm/euler-1'": "There is no pair 'toy-edmm'. Did you mean 'toy-edm'?*",
    "'toy-edm/euler-1', variant='fast'": "No variant 'fast'; the words are fp32, *",
    "'toy-edm/euler-1', boundary='cpu'": "No boundary 'cpu'; there are e2e, pipe, core.",
    "Worker(1)": "A generator at hand needs its task, and a teacher at hand.",
    "len, task=Squares()": "* is no kdbench.Generator: it needs nfe.",
    "Worker(1), task=Squares(), boundary='core'": "Worker: latency was not measured: *",
}


def test_what_cannot_be_measured_fails_in_one_sentence(someone: pytest.Pytester) -> None:
    tests = (
        f"\n\ndef test_{number}(kdbench_benchmark):\n    kdbench_benchmark({call})\n"
        for number, call in enumerate(CALLS)
    )
    done = run(someone, SOMEONE + "".join(tests))
    done.assert_outcomes(failed=len(CALLS))
    done.stdout.fnmatch_lines([f"kdbench_benchmark: {said}" for said in CALLS.values()])
    done.stdout.no_fnmatch_line("*Traceback*")
    done.stdout.no_fnmatch_line("*During handling of the above exception*")


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_says_how_thoroughly_and_not_what_else(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Profile] = []

    class Session:
        """In place of one that takes minutes."""

        rounds = ()

        def __init__(self, _: object, profile: Profile, **options: object) -> None:
            given.append(profile)

        def costs(self) -> list[Cost]:
            return [missing("latency_ms", "of a test", boundary="pipe", batch=1)]

    monkeypatch.setattr(subject, "Session", Session)
    asked = subject.Asked("toy-edm/euler-1", None, None, "fp32", 1, name, "pipe")
    with pytest.raises(NothingMeasured, match="of a test"):
        asked.measure()
    (one,) = given
    assert (one.boundaries, one.batches, one.memory_batches) == (("pipe",), (), ())
    assert (one.cold_starts, one.energy) == (0, False)
    assert (one.effort, one.processes) == (PROFILES[name].effort, PROFILES[name].processes)


def test_one_measurement_a_test(someone: pytest.Pytester) -> None:
    text = ONE + "    kdbench_benchmark(Worker(1), task=Squares())\n"
    done = run(someone, text)
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["One benchmark a test: this one has used kdbench_benchmark*"])


def test_pytest_starts_without_anything_heavy(someone: pytest.Pytester) -> None:
    someone.makeconftest("""
        import sys

        def pytest_sessionfinish():
            heavy = {"torch", "numpy", "scipy", "pandas", "pydantic", "kdbench.costs"}
            print("loaded", sorted(heavy & set(sys.modules)), "kdbench.testing" in sys.modules)
    """)
    done = run(someone, "def test_nothing():\n    pass\n", "-s")
    done.stdout.fnmatch_lines(["*loaded [[]] True"])


def test_pytest_benchmark_still_has_what_its_rounds_are_put_into() -> None:
    version = importlib.metadata.version("pytest-benchmark")
    message = f"pytest-benchmark {version} differs from {SUPPORTED}: mend `hand_over`"
    assert list(inspect.signature(BenchmarkFixture._make_stats).parameters) == [
        "self",
        "iterations",
    ], message
    assert list(inspect.signature(Metadata.update).parameters) == ["self", "duration"], message
    assert "self._mode = None" in inspect.getsource(BenchmarkFixture.__init__), message
    with pytest.raises(pytest.fail.Exception, match="keeps its statistics elsewhere"):
        hand_over(object(), lambda: pytest.fail("measured"))  # type: ignore[arg-type, return-value]
