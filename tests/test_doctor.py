"""What `kdbench doctor` finds, says and fetches."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from kdbench import doctor
from kdbench.cli import main
from kdbench.costs.energy import NvmlMeter
from kdbench.costs.nvml import Unreadable
from kdbench.doctor import Finding, examine, fetch
from kdbench.errors import UnknownName, WeightsError
from kdbench.weights import WeightCard, cards, write_weights

DATA = b"as good as weights"
SHA256 = hashlib.sha256(DATA).hexdigest()

CARD = f"""
name = "net"
sha256 = "{SHA256}"
data = "nothing"
summary = "Of a test."

[external]
file = "net.pth"
url = "https://example.org/net.pth"
bytes = 18000000
licence = "MIT"
"""


def silent(name: str, done: int, total: int | None) -> None:
    """Progress that nobody looks at."""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The cache of a home without anything, and the external weights `net`."""
    for name in ("KDBENCH_WEIGHTS", "KDBENCH_CACHE", "XDG_CACHE_HOME", "TORCH_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "somebody"))
    (tmp_path / "net.toml").write_text(CARD)
    cards.add(tmp_path / "net.toml")
    yield tmp_path / "somebody/.cache/kdbench/weights"
    cards.added.clear()


def finding(what: str) -> Finding:
    return next(one for one in examine() if one.what == what)


def said(*words: str) -> Result:
    return CliRunner().invoke(main, ["doctor", *words])


# ---------------------------------------------------------------- what is found


def test_missing_external_weights_are_no_fault_and_say_how_to_get_them() -> None:
    one = finding("weights net")
    assert not one.ok
    assert not one.needed
    assert one.found == "net.pth (18 MB, MIT) is missing"
    assert one.advice.startswith("Of a test. Trained on nothing. With a network: `kdbench doctor ")
    for word in ("--fetch net", "https://example.org/net.pth", SHA256, "--weights-dir"):
        assert word in one.advice
    assert str(one).startswith("absent  weights net: ")
    assert "~/.cache/kdbench/weights" in finding("external weights").found


def test_external_weights_that_are_there_are_as_published(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "net.pth").write_bytes(DATA)
    assert finding("weights net") == Finding("weights net", "as published", ok=True)


def test_damaged_external_weights_are_a_fault(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "net.pth").write_bytes(DATA[1:])
    one = finding("weights net")
    assert (one.found, one.ok, one.needed) == ("damaged", False, True)
    assert "~/.cache/kdbench/weights/net.pth" in one.advice
    assert "Delete it" in one.advice
    assert said().exit_code == 2
    assert "FAULT   weights net: damaged" in said().stdout


def test_shipped_weights_that_are_damaged_are_a_fault(tmp_path: Path) -> None:
    mine = WeightCard(name="mine", sha256=SHA256, recipe="make it", data="d")
    write_weights(tmp_path, mine, DATA)
    cards.add(tmp_path / "mine.toml")
    assert finding("weights mine").ok
    (tmp_path / "mine.safetensors").unlink()
    one = finding("weights mine")
    assert (one.ok, one.needed) == (False, True)
    assert "make it" in one.advice


def test_a_missing_extra_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    known = doctor.package_version
    monkeypatch.setattr(doctor, "package_version", lambda n: None if n == "prdc" else known(n))
    one = finding("extra peers")
    assert (one.ok, one.needed) == (False, False)
    assert one.found == "not installed: prdc"
    assert 'pip install "kdbench[peers]"' in one.advice


@pytest.mark.parametrize("package", ["torch", "torch-fidelity"])
def test_a_missing_package_is_a_fault(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    known = doctor.package_version
    monkeypatch.setattr(doctor, "package_version", lambda n: None if n == package else known(n))
    one = finding(package)
    assert (one.ok, one.needed) == (False, True)
    assert one.advice == f"pip install {package}"


def _no_meter(_: str) -> tuple[None, str]:
    return None, "root alone reads it"


def _no_device(_: int) -> None:
    raise Unreadable("no driver")


@pytest.mark.parametrize(
    ("what", "name", "absent", "reason"),
    [
        ("peak memory", "_CLEAR_REFS", Path("/nowhere/clear_refs"), "No such file or directory"),
        ("energy of the cpu", "energy_meter", _no_meter, "root alone reads it"),
        ("nvml", "Device", _no_device, "no driver"),
    ],
)
def test_what_costs_cannot_have_here_is_no_fault_and_says_why(
    what: str, name: str, absent: object, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, name, absent)
    one = finding(what)
    assert (one.ok, one.needed) == (False, False)
    assert reason in one.found
    assert one.advice.startswith("Costs on a")


def test_what_costs_can_have_here_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reset = tmp_path / "clear_refs"
    monkeypatch.setattr(doctor, "_CLEAR_REFS", reset)
    monkeypatch.setattr(doctor, "energy_meter", lambda _: (NvmlMeter, None))
    monkeypatch.setattr(doctor, "Device", lambda _: None)
    for what in ("peak memory", "energy of the cpu", "nvml"):
        one = finding(what)
        assert (one.ok, one.needed, one.advice) == (True, False, "")
    assert "nvml-counter" in finding("energy of the cpu").found
    assert reset.read_text() == "5"


def test_json_has_the_same_findings() -> None:
    found = json.loads(said("--json").stdout)
    assert [one["what"] for one in found] == [one.what for one in examine()]
    assert {"what", "found", "ok", "advice", "needed"} == set(found[0])


def test_nothing_names_the_user() -> None:
    assert "somebody" not in "".join(map(str, examine()))


# ---------------------------------------------------------------- what is fetched


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of weights that would have been fetched; `dinov2-vit-l14` fails."""
    names: list[str] = []

    def pretend(card: WeightCard, *, progress: Callable[..., None]) -> str:
        names.append(card.name)
        progress(card.name, 1, None)
        if card.name == "dinov2-vit-l14":
            raise WeightsError("No network.")
        return "fetched to somewhere"

    monkeypatch.setattr(doctor, "fetch_weights", pretend)
    return names


def test_all_external_weights_are_fetched_and_one_failure_stops_nothing(
    fetched: list[str],
) -> None:
    found = fetch((), progress=silent)
    assert fetched == [name for name in cards if cards.load(name).external]
    assert {"net", "vgg16", "dinov2-vit-l14"} <= set(fetched)
    bad = [one for one in found if not one.ok]
    assert bad == [Finding("weights dinov2-vit-l14", "not fetched", False, "No network.")]


def test_named_weights_are_fetched_once(fetched: list[str]) -> None:
    done = said("--fetch", "net", "vgg16@1", "net")
    assert done.exit_code == 0
    assert fetched == ["net", "vgg16"]
    assert done.stdout == (
        "ok      weights net: fetched to somewhere\nok      weights vgg16: fetched to somewhere\n"
    )


def test_a_failure_is_told_with_exit_code_2(fetched: list[str]) -> None:
    done = said("--fetch", "dinov2-vit-l14", "net", "--json")
    assert done.exit_code == 2
    assert [one["ok"] for one in json.loads(done.stdout)] == [False, True]


def test_shipped_weights_need_no_fetching(fetched: list[str]) -> None:
    done = said("--fetch", "digits-cnn")
    assert done.exit_code == 0
    assert done.stdout == "ok      weights digits-cnn: as published, shipped with its package\n"
    assert not fetched


def test_unknown_names_fetch_nothing(fetched: list[str]) -> None:
    with pytest.raises(UnknownName, match="Did you mean 'vgg16'"):
        fetch(["net", "vgg61"], progress=silent)
    assert not fetched


def test_names_without_fetch_are_refused() -> None:
    done = said("net")
    assert done.exit_code == 2
    assert "--fetch" in done.output


def test_a_weights_dir_is_where_is_looked(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("KDBENCH_WEIGHTS", "before")  # put back after the test
    (tmp_path / "stick").mkdir()
    (tmp_path / "stick/net.pth").write_bytes(DATA)
    found = json.loads(said("--json", "--weights-dir", str(tmp_path / "stick")).stdout)
    assert {one["what"]: one["found"] for one in found}["weights net"] == "as published"
    assert said("--weights-dir", str(tmp_path / "nowhere")).exit_code == 2
