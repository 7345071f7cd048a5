"""Canonical JSON and keys, and descriptions that are checked once, at the door."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from kdbench.errors import BadSpec
from kdbench.spec import Arm, Budget, Pair, Suite, canonical_json, content_key, load_toml

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip

NETWORK = {"name": "resmlp@1"}
METHOD = {"name": "denoising@1"}
BUDGET = {"steps": 10}
ARMS = {"student": {"role": "student"}}


def described(**changes: Any) -> dict[str, Any]:
    """A valid pair with a method, as TOML would give it; None takes a field out."""
    facts = {
        "name": "one", "task": "toy@1", "family": "test", "summary": "s", "network": NETWORK,
        "method": METHOD, "budget": BUDGET, "arms": ARMS, **changes,
    }  # fmt: skip
    return {name: value for name, value in facts.items() if value is not None}


# ---------------------------------------------------------------- canonical JSON


@given(st.dictionaries(st.text(), values, max_size=6), st.randoms())
def test_order_of_keys_does_not_matter(value: dict[str, Any], random: Any) -> None:
    names = list(value)
    random.shuffle(names)
    shuffled = {name: value[name] for name in names}
    assert canonical_json(shuffled) == canonical_json(value)
    assert content_key(shuffled) == content_key(value)


@given(values)
def test_canonical_json_is_json_of_the_same_value(value: Any) -> None:
    assert json.loads(canonical_json(value)) == value


@given(values, values)
def test_keys_are_equal_for_equal_texts_alone(one: Any, other: Any) -> None:
    same = canonical_json(one) == canonical_json(other)
    assert (content_key(one) == content_key(other)) == same


def test_no_spaces_and_sorted_at_every_depth() -> None:
    assert canonical_json({"b": {"d": 1, "c": (2, 3)}, "a": "é"}) == (
        '{"a":"\\u00e9","b":{"c":[2,3],"d":1}}'
    )


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_numbers_that_json_has_not_are_refused(number: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json({"a": [number]})


def test_models_and_their_fields_have_one_key() -> None:
    arm = Arm(role="student")
    assert content_key(arm) == content_key(arm.model_dump(mode="json"))
    assert re.fullmatch(r"[0-9a-f]{64}", content_key(arm))
    assert content_key(arm) != content_key(arm.model_copy(update={"summary": "x"}))


def test_a_key_does_not_change_between_versions() -> None:
    # printf '{"a":[1,2]}' | sha256sum
    expected = "01530d164d479cf08e26d3b1ad9bdba927120d97e2d057a6d792db778780d720"
    assert content_key({"a": (1, 2)}) == expected


# ---------------------------------------------------------------- pairs


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"method": None}, "either a method or a generator"),
        ({"generator": {"name": "noise@1"}}, "either a method or a generator"),
        ({"network": None}, "has a network and a budget"),
        ({"budget": None}, "has a network and a budget"),
        ({"arms": {}}, "at least 1 item"),
        ({"name": "Spaces here"}, "should match pattern"),
        ({"name": "../up"}, "should match pattern"),
        ({"name": "a" * 81}, "at most 80 characters"),
        ({"arms": {"student": {"role": "winner"}}}, "Input should be 'teacher'"),
        ({"budget": {"steps": 0}}, "greater than 0"),
        ({"budget": {"steps": 1, "lr": math.inf}}, "finite number"),
        ({"budget": {"steps": 1, "ema": 1.0}}, "less than 1"),
        ({"steps": 10}, "Extra inputs are not permitted"),
    ],
)
def test_wrong_pairs_are_refused(changes: dict[str, Any], sentence: str) -> None:
    assert Pair.model_validate(described()).id == "one@1"
    with pytest.raises(ValidationError, match=sentence):
        Pair.model_validate(described(**changes))


def test_a_generator_needs_neither_network_nor_budget() -> None:
    trivial = described(method=None, network=None, budget=None, generator={"name": "noise@1"})
    assert Pair.model_validate(trivial).prerequisites == ()


def test_prerequisites_are_teacher_and_start_without_repeats() -> None:
    assert Pair.model_validate(described(teacher="t", start="s")).prerequisites == ("t", "s")
    assert Pair.model_validate(described(teacher="t", start="t")).prerequisites == ("t",)


def test_descriptions_are_frozen() -> None:
    budget = Budget.model_validate({"steps": 1})
    with pytest.raises(ValidationError, match="frozen"):
        setattr(budget, "steps", 2)  # noqa: B010  (a checker refuses the plain assignment)


# ---------------------------------------------------------------- TOML

GENERATED = 'name = "x"\ntask = "t"\nfamily = "f"\nsummary = "s"\n[generator]\nname = "noise@1"\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name = \n", ["cannot be read as TOML", "line 1"]),
        (GENERATED, ["arms: Field required"]),
        (
            GENERATED + '[arms.a]\nrole = "trivial"\nspeed = 3\n[budget]\nsteps = -1\n',
            ["arms.a.speed: Extra inputs", "budget.steps: Input should be greater than 0"],
        ),
        (GENERATED + '[method]\nname = "m"\n[arms.a]\nrole = "trivial"\n', ["pair:", "either"]),
    ],
)
def test_errors_name_the_file_and_every_wrong_field(
    text: str, words: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(BadSpec) as caught:
        load_toml(path, Pair)
    for word in ["mine.toml", *words]:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("content", [None, b"name = '\xff'"], ids=["missing", "not UTF-8"])
def test_unreadable_files_are_named(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    if content is not None:
        path.write_bytes(content)
    said = r"no file .*mine\.toml" if content is None else r"mine\.toml cannot be read as TOML"
    with pytest.raises(BadSpec, match=said):
        load_toml(path, Suite)


def test_a_folder_in_place_of_a_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadSpec, match=tmp_path.name):
        load_toml(tmp_path, Suite)
