"""Names are listed without importing what they name, resolved to the newest, and explained."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from kdbench import registry
from kdbench.errors import BadSpec, UnknownName
from kdbench.registry import Registry, TomlRegistry
from kdbench.spec import Suite

MakePlugin = Callable[..., Path]


@pytest.fixture
def entries(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Replaces the entry points of the group `kdbench.things`."""

    def put(**named: str) -> None:
        found = [
            EntryPoint(name.replace("_AT_", "@"), value, "kdbench.things")
            for name, value in named.items()
        ]
        monkeypatch.setattr(registry, "_entry_points", lambda group: tuple(found))

    return put


@pytest.fixture
def things() -> Registry[Any]:
    return Registry("thing")


@pytest.fixture(autouse=True)
def _no_files_of_other_tests() -> Iterator[None]:
    yield
    registry.pairs.added.clear()
    registry.suites.added.clear()


# ---------------------------------------------------------------- objects


def test_listing_and_describing_import_nothing(make_plugin: MakePlugin, tmp_path: Path) -> None:
    entry_points = {
        f"kdbench.{kind}": {"aaa-strange@7": "stranger_module.deep:Thing"}
        for kind in ("tasks", "methods", "metrics", "generators", "networks", "samplers")
    }
    bomb = 'raise RuntimeError("imported")\n'
    make_plugin(tmp_path, entry_points, {"stranger_module/__init__.py": bomb})
    script = (
        "import sys; from kdbench import registry\n"
        "for kind in ('task', 'method', 'metric', 'generator', 'network', 'sampler'):\n"
        "    names = getattr(registry, kind + 's')\n"
        "    assert 'aaa-strange@7' in names, kind\n"
        "    assert names.describe()[0]['package'] == 'kdbench-stranger', names.describe()\n"
        "    assert names.resolve('aaa-strange') == 'aaa-strange@7'\n"
        "    assert names.module('aaa-strange') == 'stranger_module.deep'\n"
        "loaded = {'stranger_module', 'torch', 'kdbench_baselines'} & set(sys.modules)\n"
        "assert not loaded, loaded\n"
        "registry.tasks.load('aaa-strange')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    # everything passed but the last line, which does import
    assert done.stderr.strip().splitlines()[-1] == "RuntimeError: imported", done.stderr


def test_every_name_of_kdbench_itself_can_be_loaded() -> None:
    for kind in ("tasks", "methods", "metrics", "generators", "networks", "samplers"):
        names: Registry[Any] = getattr(registry, kind)
        assert list(names), kind
        for name in names:
            assert callable(names.load(name)), name
            assert name.partition("@")[2].isdigit(), name
    for files in (registry.pairs, registry.suites):
        for name in files:
            assert files.load(name).name == name


def test_the_newest_version_is_taken_unless_one_is_named(
    entries: Callable[..., None], things: Registry[Any]
) -> None:
    entries(a_AT_2="math:pi", a_AT_10="math:tau", a_AT_9="math:e", b_AT_1="math:inf")
    assert things.resolve("a") == "a@10"
    assert things.resolve("a@9") == "a@9"
    assert things.load("a") == pytest.approx(6.283, abs=1e-3)
    assert list(things) == ["a@10", "a@2", "a@9", "b@1"]


@pytest.mark.parametrize(
    ("asked", "hint"), [("lumhan", "'luhman'"), ("luhman@3", "'luhman@1'"), ("zzz", None)]
)
def test_unknown_names_get_the_closest_one(
    asked: str, hint: str | None, entries: Callable[..., None], things: Registry[Any]
) -> None:
    entries(luhman_AT_1="math:pi", progressive_AT_1="math:e")
    with pytest.raises(UnknownName) as caught:
        things.load(asked)
    expected = f" Did you mean {hint}?" if hint else ""
    assert str(caught.value) == f"There is no thing {asked!r}.{expected} See `kdbench list things`."


def test_the_closest_one_is_of_a_real_registry() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'wasserstein2'"):
        registry.metrics.load("waserstein2")
    with pytest.raises(UnknownName, match="Did you mean 'toy-luhman'"):
        registry.pairs.load("toy-lumhan")


@pytest.mark.parametrize("value", ["no_such_module_at_all:x", "math:no_such_name", "math.deep:x"])
def test_a_broken_entry_names_itself_and_its_module(
    value: str, entries: Callable[..., None], things: Registry[Any]
) -> None:
    entries(a_AT_1=value)
    with pytest.raises(BadSpec, match="cannot be imported") as caught:
        things.load("a")
    assert "'a@1'" in str(caught.value)
    assert value in str(caught.value)


def test_two_packages_with_one_name_are_refused(
    things: Registry[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    twice = tuple(EntryPoint("a@1", value, "kdbench.things") for value in ("math:pi", "math:e"))
    monkeypatch.setattr(registry, "_entry_points", lambda group: twice)
    with pytest.raises(BadSpec, match=r"math:pi and math:e"):
        things.resolve("a")


# ---------------------------------------------------------------- files

SUITE = 'name = "{name}"\nversion = {version}\nsummary = "s"\npairs = ["toy-edm"]\n'


@pytest.fixture
def suites(entries: Callable[..., None]) -> TomlRegistry[Suite]:
    entries()
    return TomlRegistry("suite", Suite)


def test_a_file_of_the_users_own_is_known_by_its_name(
    suites: TomlRegistry[Suite], tmp_path: Path
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(SUITE.format(name="mine", version=3))
    suites.add(path)
    assert list(suites) == ["mine"]
    assert suites.load("mine") == suites.load("mine@3")
    assert suites.path("mine@3") == path.resolve()


def test_another_version_of_a_file_is_refused(suites: TomlRegistry[Suite], tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(SUITE.format(name="mine", version=3))
    suites.add(path)
    with pytest.raises(UnknownName, match="'mine' is at version 3: drop the @2"):
        suites.load("mine@2")


def test_a_file_that_is_not_named_after_what_it_describes_is_refused(
    suites: TomlRegistry[Suite], tmp_path: Path
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(SUITE.format(name="yours", version=1))
    with pytest.raises(BadSpec, match=r"mine\.toml describes 'yours': name the file after it"):
        suites.add(path)


def test_two_packages_with_one_file_are_refused(make_plugin: MakePlugin, tmp_path: Path) -> None:
    make_plugin(
        tmp_path,
        {"kdbench.pairs": {"mine": "stranger_pairs"}},
        {"stranger_pairs/__init__.py": "", "stranger_pairs/toy-edm.toml": ""},
    )
    done = subprocess.run(
        [sys.executable, "-m", "kdbench.cli", "list", "pairs"],
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr == "kdbench: Two packages bring a pair 'toy-edm': rename one.\n"


def test_an_unknown_file_gets_the_closest_one(suites: TomlRegistry[Suite], tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(SUITE.format(name="mine", version=1))
    suites.add(path)
    with pytest.raises(UnknownName, match=r"no suite 'minne'\. Did you mean 'mine'"):
        suites.load("minne")
