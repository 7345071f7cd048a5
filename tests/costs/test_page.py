"""The page of costs says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kdbench.costs.boundary import BOUNDARIES
from kdbench.costs.missing import FIGURES
from kdbench.costs.profiles import PROFILES
from kdbench.mark_words import EXPLAINED

PAGE = (Path(__file__).parents[2] / "docs" / "costs.md").read_text()


def first_cells(heading: str) -> list[str]:
    """Names in the first cells of the tables under a heading."""
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return [name for cell in cells for name in re.findall(r"`([\w-]+)`", cell)]


@pytest.mark.parametrize(
    ("heading", "names"),
    [
        ("What is timed", {*BOUNDARIES, *(m for names in FIGURES.values() for m in names)}),
        ("How thoroughly", set(PROFILES)),
        ("Marks", set(EXPLAINED)),
    ],
)
def test_every_name_is_on_the_page_once(heading: str, names: set[str]) -> None:
    assert sorted(first_cells(heading)) == sorted(names)


def test_profiles_are_as_the_page_says() -> None:
    for line in PAGE.splitlines():
        if line.startswith("| `") and (name := line.split("`")[1]) in PROFILES:
            assert f"| {PROFILES[name].processes}, " in line
            seconds = PROFILES[name].about_s
            assert line.endswith((f" {seconds} s |", f" {seconds // 60} min |"))


def test_ratios_on_a_loaded_machine_have_been_measured() -> None:
    _, _, rest = PAGE.partition("<!-- measured: begin -->")
    measured, end, _ = rest.partition("<!-- measured: end -->")
    assert end
    assert len(re.findall(r"^\| (ratio|latency)\b.*\d%", measured, re.MULTILINE)) == 4
