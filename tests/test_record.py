"""The record's schema: what goes in comes out, and nothing else goes in."""

from __future__ import annotations

import getpass
import json
import math
import os
import platform
import re
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from kdbench.record import SCHEMA, Record

FACTS: dict[str, Any] = {
    "schema": SCHEMA,
    "key": "ab" * 32,
    "status": "ok",
    "created": "2026-01-01T00:00:00.000000+00:00",
    "identity": {
        "suite": None, "task": "toy@1", "pair": "one@1", "arm": "student", "role": "student",
        "main_metric": "wasserstein2@1", "margin": 0.02, "family": "test", "method": "luhman@1",
        "train_seed": 0, "origin": "trained", "params": {"pairs": 10},
    },
    "code": {"kdbench": "0.1.0"},
    "environment": {"cpu": "x"},
    "scores": [
        {
            "metric": "wasserstein2@1", "split": split, "value": value, "n": 10,
            "higher_is_better": False, "protocol": "p", "key": "k", "unit": None,
            "interval": {"low": 0.1, "high": 0.3, "source": "sampling", "method": "jackknife"},
            "details": {"label_0": 0.1, "label_1": None},
        }
        for split, value in (("validation", 0.25), ("held-out", 0.2))
    ],
    "costs": [
        {
            "metric": "latency_ms", "unit": "ms", "value": 1.5, "stat": "median", "batch": batch,
            "config_key": "c",
        }
        for batch in (1, 64)
    ],
    "training": {
        "seconds": 1.0, "steps": 2, "macs": 3.0, "chain_macs": 4.0, "images_seen": 5,
        "real_images_touched": 0, "teacher_nfe": 7,
        "curve": [{"step": 0, "loss": 0.5, "grad_norm": 0.1}],
    },
    "provenance": {"command": "kdbench run one"},
}  # fmt: skip


def at(facts: dict[str, Any], *place: str | int, value: Any) -> dict[str, Any]:
    """A deep copy of the facts with one value changed or added."""
    copy = json.loads(json.dumps(facts))
    inner: Any = copy
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = value
    return dict(copy)


def test_a_record_comes_back_as_it_was() -> None:
    record = Record.model_validate(FACTS)
    again = Record.model_validate_json(record.to_json())
    assert again == record
    assert again.to_json() == record.to_json()
    assert again.identity.params == {"pairs": 10}


def test_the_file_says_schema_and_nothing_is_lost() -> None:
    written = json.loads(Record.model_validate(FACTS).to_json())
    assert written["schema"] == "kdbench.record/1"

    def within(small: Any, large: Any) -> bool:
        if isinstance(small, dict):
            return all(within(value, large[name]) for name, value in small.items())
        if isinstance(small, list):
            return all(within(s, w) for s, w in zip(small, large, strict=True))
        return bool(small == large)

    assert within(FACTS, written)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_finite_value_comes_back_exactly(value: float) -> None:
    record = Record.model_validate(at(FACTS, "scores", 0, "value", value=value))
    assert Record.model_validate_json(record.to_json()).scores[0].value == value


PARTS: list[tuple[str | int, ...]] = [
    ("surprise",),
    ("identity", "surprise"),
    ("code", "surprise"),
    ("scores", 0, "surprise"),
    ("scores", 0, "interval", "surprise"),
    ("costs", 0, "surprise"),
    ("training", "surprise"),
    ("training", "curve", 0, "surprise"),
    ("provenance", "surprise"),
]


@pytest.mark.parametrize("place", PARTS)
def test_an_unknown_field_is_refused(place: tuple[str | int, ...]) -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        Record.model_validate(at(FACTS, *place, value=1))


NUMBERS: list[tuple[str | int, ...]] = [
    ("scores", 0, "value"),
    ("scores", 0, "interval", "low"),
    ("scores", 0, "details", "label_0"),
    ("costs", 0, "value"),
    ("training", "macs"),
    ("training", "curve", 0, "loss"),
    ("identity", "margin"),
    ("stability",),
    ("identity", "params", "pairs"),
    ("identity", "params_passed"),
    ("environment", "load_average"),
]


@pytest.mark.parametrize("number", [math.nan, math.inf])
@pytest.mark.parametrize("place", NUMBERS)
def test_numbers_that_json_has_not_are_refused(place: tuple[str | int, ...], number: float) -> None:
    value = {"a": number} if place[-1] in ("stability", "params_passed") else number
    with pytest.raises(ValueError, match=r"finite|JSON"):
        Record.model_validate(at(FACTS, *place, value=value)).to_json()


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("status",), "fine"),
        (("claim",), "mine"),
        (("identity", "role"), "winner"),
        (("scores", 0, "split"), "train"),
        (("identity", "train_seed"), None),
    ],
)
def test_only_known_words_are_taken(place: tuple[str | int, ...], value: Any) -> None:
    with pytest.raises(ValidationError):
        Record.model_validate(at(FACTS, *place, value=value))


def test_scores_and_costs_are_found_by_name() -> None:
    record = Record.model_validate(FACTS)
    for name in ("wasserstein2", "wasserstein2@1"):
        score = record.score(name)
        assert score is not None
        assert score.value == 0.2
    validation = record.score("wasserstein2", "validation")
    assert validation is not None
    assert validation.value == 0.25
    assert record.score("wasserstein2@2") is None
    cost = record.cost("latency_ms", 64)
    assert cost is not None
    assert cost.batch == 64
    assert record.cost("latency_ms") is None


# ---------------------------------------------------------------- what a run writes


def files_of(out: Path) -> list[Path]:
    return sorted((out / "records").rglob("*.json"))


def test_records_of_a_run_name_neither_path_nor_user_nor_host(toy_run: Any) -> None:
    home, here = str(Path.home()), str(Path.cwd())
    names = {socket.gethostname(), platform.node(), os.environ.get("USER", "")}
    forbidden = {home, here, sys.prefix, str(toy_run.out), str(toy_run.out.parent)}
    forbidden |= {name for name in names if len(name) > 3}
    if getpass.getuser() != "root":
        forbidden.add(getpass.getuser())
    files = files_of(toy_run.out)
    assert len(files) == len(toy_run.said["runs"]) == 4
    for path in files:
        text = path.read_text()
        assert not [name for name in forbidden if name.strip("/") and name in text], path.name
        assert not re.search(r"(/home/|/root|/tmp|/usr/|/var/|/opt/|[A-Z]:\\\\)", text), path.name


def test_records_of_a_run_say_how_each_row_was_made(toy_run: Any) -> None:
    made = {}
    for path in files_of(toy_run.out):
        record = Record.model_validate_json(path.read_bytes())
        made[record.identity.pair, record.identity.arm] = record
    teacher = made["toy-edm@1", "heun-15"]
    assert teacher.identity.origin == "published"
    assert teacher.identity.reference
    assert teacher.training is None
    assert teacher.identity.nfe == 15
    student = made["toy-progressive-2@1", "student"]
    assert student.identity.origin == "trained"
    assert student.identity.teacher == "toy-edm/heun-15"
    assert student.identity.nfe == 2
    assert student.training is not None
    assert student.training.steps == 500
    assert student.training.images_seen == 500 * 256
    assert student.training.teacher_nfe == 2 * 500 * 256
    assert len(student.training.networks_seen) == 2
    start = made["toy-denoiser@1", "euler-2"].training
    assert start is not None
    assert student.training.chain_macs == pytest.approx(student.training.macs + start.macs)
    assert {r.identity.inputs["held-out"] for r in made.values()} == {
        student.identity.inputs["held-out"]
    }


def test_a_published_record_of_the_first_version_is_read_for_ever() -> None:
    """`fixtures/record-1.json` is never changed: a later schema reads it, or migrates it."""
    text = (Path(__file__).parent / "fixtures" / "record-1.json").read_text("utf-8")
    record = Record.model_validate_json(text)
    assert json.loads(text)["schema"] == "kdbench.record/1"
    assert record.identity.pair == "digits-luhman@1"
    score = record.score("kid-stratified")
    assert score is not None
    assert score.value == pytest.approx(0.034462, abs=1e-6)
    assert record.training is not None
    assert record.cost("latency_ms", 1) is not None
