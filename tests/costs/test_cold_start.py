"""From nothing to the first images, and the page cache before it."""

from __future__ import annotations

from pathlib import Path
from time import sleep

import pytest
import torch
from cost_subjects import Recorder, Sleeper, Squares
from torch import Tensor

from kdbench.costs.figures import Bench
from kdbench.costs.job import Job
from kdbench.costs.weights_cache import drop_from_cache
from kdbench.generators.base import Inputs
from kdbench.record import Cost


class Compiled(Sleeper):
    """Takes longer the first time."""

    def __call__(self, inputs: Inputs) -> Tensor:
        output = super().__call__(inputs)
        self.ms = 5
        return output


def slowly_made() -> tuple[Compiled, Squares]:
    sleep(0.08)
    return Compiled(60), Squares()


def cold_start(make: object, *, batch: int = 1) -> Cost:
    job = Job(figure="cold-start", build={}, machine="h:1", out="", batch=batch)
    bench = Bench(job, make=make, make_against=None, phase=None, import_s=2.0)  # type: ignore[arg-type]
    (cost,) = bench.measure().costs
    return cost


def test_imports_building_and_the_first_call_add_up() -> None:
    cost = cold_start(slowly_made)
    build, first, second = (cost.details[k] for k in ("build_s", "first_s", "second_s"))
    assert isinstance(build, float)
    assert isinstance(first, float)
    assert cost.details["import_s"] == 2.0
    assert 0.08 <= build < 0.3
    assert 0.06 <= first < 0.2
    assert 0.005 <= second < 0.05  # type: ignore[operator]
    assert cost.value == pytest.approx(2.0 + build + first)
    assert (cost.unit, cost.stat, cost.boundary, cost.batch) == ("s", "total", "e2e", 1)


def test_both_calls_are_on_inputs_of_their_own() -> None:
    recorder = Recorder()
    assert cold_start(lambda: (recorder, Squares()), batch=3).batch == 3
    assert recorder.seen == [0, 3]


def test_what_are_no_images_is_refused() -> None:
    with pytest.raises(ValueError, match="where Tensor"):
        cold_start(lambda: (lambda _: torch.zeros(1, 2, 2), Squares()))


def test_the_system_is_asked_to_forget_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "weights"
    file.write_bytes(b"0" * 100)
    assert drop_from_cache(file) in ("cold_file_attempted", "warm_file")
    assert file.read_bytes() == b"0" * 100
    assert drop_from_cache(tmp_path / "absent") == "warm_file"
    monkeypatch.delattr("os.posix_fadvise", raising=False)
    assert drop_from_cache(file) == "warm_file"
