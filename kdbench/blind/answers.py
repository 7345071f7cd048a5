"""Scoring what people answered: how often the student's image was preferred, and is it chance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError
from scipy import stats

from kdbench.blind.make import BadPage, read_key
from kdbench.blind.trials import Key
from kdbench.metrics.intervals import wilson
from kdbench.reading.names import printable
from kdbench.record import Interval, Part

Choice = Literal["left", "right", "neither"]


class Answers(Part):
    """What the page saves."""

    schema_: Literal["kdbench.blind-answers/1"] = Field(alias="schema")
    test: str
    person: str
    """Random, one a browser: people who agree in everything are told apart by it."""
    answers: dict[str, Choice]


class Preference(Part):
    """How often the student was preferred to one other."""

    against: str
    """`teacher`, `targets` or `reference`."""
    name: str
    preferred: int
    """Answers for the student."""
    n: int
    """Answers for either; ties do not enter."""
    ties: int
    unanswered: int
    share: float | None
    interval: Interval | None
    p: float | None
    """Of so uneven a count, two-sided, if neither looked better: exact binomial."""
    reason: str | None = None


class Preferences(Part):
    """What people said on one page."""

    test: str
    student: str
    people: int
    comparisons: list[Preference]
    marks: list[str] = Field(default_factory=list)


def score_answers(folder: Path, paths: Sequence[Path]) -> Preferences:
    """Score saved answers with the key of their page.

    Args:
        folder: that the page was written to.
        paths: of answers, one file a person.

    Raises:
        BadPage: the key is missing, or answers are damaged, of another page or given twice.
    """
    key = read_key(folder)
    found = [_read(path, key) for path in paths]
    _refuse_twice(found, paths)
    people = [one.answers for one in found]
    marks = []
    if len(people) > 1:
        marks = ["the answers of one person are not independent, which intervals take them for"]
    return Preferences(
        test=key.test,
        student=key.student,
        people=len(people),
        comparisons=[preference(role, key, people) for role in key.others],
        marks=marks,
    )


def preference(role: str, key: Key, people: Sequence[dict[str, Choice]]) -> Preference:
    """The share of answers for the student against one other, ties left out.

    Args:
        role: of the other.
        key: of the page.
        people: what each answered, by comparison.
    """
    trials = {name: trial for name, trial in key.trials.items() if trial.against == role}
    counts: Counter[str] = Counter()
    for answers in people:
        for name, trial in trials.items():
            said = answers.get(name, "unanswered")
            side = said in ("left", "right")
            counts[("student" if said == trial.student else "other") if side else said] += 1
    won, n = counts["student"], counts["student"] + counts["other"]
    return Preference(
        against=role,
        name=key.others[role],
        preferred=won,
        n=n,
        ties=counts["neither"],
        unanswered=counts["unanswered"],
        share=won / n if n else None,
        interval=wilson(won, n) if n else None,
        p=float(stats.binomtest(won, n, 0.5).pvalue) if n else None,
        reason=None if n else "nobody preferred either",
    )


def _refuse_twice(found: Sequence[Answers], paths: Sequence[Path]) -> None:
    """One person's answers, counted twice, would pass for two people's."""
    for i, one in enumerate(found):
        if one in found[:i]:
            first, again = (printable(paths[j].name) for j in (found.index(one), i))
            raise BadPage(
                f"{first!r} and {again!r} hold the same answers of the same person: give each "
                "person's answers once."
            )


def _read(path: Path, key: Key) -> Answers:
    name = printable(path.name)
    try:
        found = Answers.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise BadPage(f"{name!r} holds no answers as the page saves them.") from error
    if found.test != key.test or not found.answers.keys() <= key.trials.keys():
        raise BadPage(f"{name!r} holds answers to another page, whose key is elsewhere.")
    return found
