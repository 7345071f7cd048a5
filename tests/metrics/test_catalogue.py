"""Every registered metric says what a reader must know, and the page of all of them says it."""

from __future__ import annotations

import doctest
import importlib
import inspect
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from kdbench import registry
from kdbench.metrics.base import Metric, metric
from kdbench.metrics.catalogue import main, write_catalogue
from kdbench.metrics.naming import shared_metric

NAMES = list(registry.metrics)

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"


def said(name: str) -> str:
    return inspect.getdoc(shared_metric(name)) or ""


@pytest.fixture(scope="module")
def page() -> str:
    return write_catalogue()


@pytest.mark.parametrize("name", NAMES)
def test_name_direction_bounds_and_source(name: str) -> None:
    found = shared_metric(name)
    assert found.id == name
    assert found.higher_is_better in (True, False, None)
    low, high = found.bounds
    assert low is None or high is None or low < high
    assert found.source
    assert found.protocol, "settings that a value depends on"


@pytest.mark.parametrize("name", NAMES)
def test_the_docstring_begins_with_one_sentence_and_says_what_it_does_not_see(name: str) -> None:
    first = said(name).partition("\n\n")[0].replace("\n", " ")
    assert re.fullmatch(r"[A-ZΔ].+\.", first), first
    assert not re.search(r"[.!?] [A-Z]", first), "more than one sentence"
    if shared_metric(name).kind == "set":
        assert re.search(r"\b[Bb]lind\b", said(name))


@pytest.mark.parametrize("name", NAMES)
def test_the_docstring_has_an_example(name: str) -> None:
    """That it runs and is right, pytest finds out by itself: see the next test."""
    assert doctest.DocTestParser().get_examples(said(name))


def test_pytest_finds_examples_of_metrics() -> None:
    """A metric is no function; doctest collects its docstring all the same, and once."""
    for name in ("psnr", "vendi", "vendi_q2_ratio", "authenticity", "feature_distance_within"):
        (found,) = (m for m in map(shared_metric, NAMES) if m.name == name.replace("_", "-"))
        module = importlib.import_module(found.function.__module__)
        tests = {test.name: test for test in doctest.DocTestFinder().find(module)}
        assert tests[f"{module.__name__}.{name}"].examples
    importer = importlib.import_module("kdbench.metrics.nearest_images")
    assert all("memorisation" not in t.name for t in doctest.DocTestFinder().find(importer))


def test_a_wrong_example_of_a_metric_fails() -> None:
    @metric(kind="per-image", higher_is_better=None)
    def wrong(images: object) -> object:
        """Nothing.

        >>> 1 + 1
        3
        """
        return images

    (test,) = doctest.DocTestFinder().find(wrong, "wrong", globs={})
    assert doctest.DocTestRunner(verbose=False).run(test, out=lambda _: None).failed == 1


def entry(page: str, name: str) -> str:
    _, _, after = page.partition(f"### `{name}`\n")
    return after.partition("\n##")[0]


@pytest.mark.parametrize("name", NAMES)
def test_every_metric_has_its_entry(page: str, name: str) -> None:
    found = shared_metric(name)
    assert page.count(f"### `{name}`\n") == 1
    own = entry(page, name)
    assert said(name).partition("\n\n")[0] in own
    assert f"- protocol: {found.protocol}" in own
    assert f"- source: {found.source}" in own
    direction = {True: "higher", False: "lower", None: "neither by itself"}
    assert f"- better: {direction[found.higher_is_better]}\n" in own
    assert ">>>" not in own
    assert "Args:" not in own


def test_entries_stand_by_kind_in_the_order_of_names(page: str) -> None:
    kinds: dict[str, list[str]] = {}
    for line in page.splitlines():
        if line.startswith("## "):
            own = kinds.setdefault(line, [])
        elif line.startswith("### "):
            own.append(line.strip("# `"))
    headings = {"set": "## Of a set of images", "paired": "## Of pairs of images, averaged"}
    headings["per-image"] = "## Of single images, averaged"
    headings["generator"] = "## Of a generator"
    assert list(kinds) == [heading for heading in headings.values() if heading in kinds]
    for heading, names in kinds.items():
        assert names == sorted(names)
        assert {headings[shared_metric(name).kind] for name in names} == {heading}


def test_facts_are_spelled_out(page: str) -> None:
    own = entry(page, "inception-score@1")
    assert "- bounds: 1 to 1008\n" in own
    assert "- extractor: inception-v3-compat@1\n" in own
    assert "- marked below: 5,000 images\n" in own
    assert "- bounds: 0 to ∞\n" in entry(page, "vendi-ratio@1")
    assert "- compared with: train, reference\n" in entry(page, "authenticity@1")
    assert "- extractor: *task*\n" in entry(page, "vendi@1")
    assert "- unit: dB\n" in entry(page, "psnr@1")


def test_the_command_prints_and_writes(page: str, tmp_path: Path) -> None:
    assert CliRunner().invoke(main, []).output == page + "\n"
    path = tmp_path / "metrics.md"
    written = CliRunner().invoke(main, ["--write", str(path)])
    assert written.exit_code == 0
    assert path.read_text("utf-8") == page


def test_the_page_of_the_documentation_is_what_the_command_writes(page: str) -> None:
    assert PAGE.read_text("utf-8") == page, (
        "run: python -m kdbench.metrics.catalogue --write docs/metrics.md"
    )


def test_what_is_registered_is_a_metric() -> None:
    assert all(isinstance(shared_metric(name), Metric) for name in NAMES)
    assert len(NAMES) > 50
