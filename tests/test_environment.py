"""What a record says of code and machine: code by what it does, machines by a hash."""

from __future__ import annotations

import importlib
import json
import platform
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kdbench import environment
from kdbench.environment import (
    code_sha256,
    describe_code,
    describe_environment,
    describe_machine,
    own_command,
    package_version,
)
from kdbench.errors import BadSpec

PLAIN = """
import math

RATE = 0.5


class Thing:
    scale: float = 2.0

    def area(self, radius: float) -> float:
        return self.scale * math.pi * radius**2


async def later() -> None:
    pass
"""

SAME = {
    "comments": PLAIN.replace("RATE = 0.5", "# a rate\nRATE = 0.5  # per update"),
    "docstrings": '"""Of the module."""\n'
    + PLAIN.replace("class Thing:", 'class Thing:\n    """Of the class."""').replace(
        "-> float:", '-> float:\n        """Of the function."""'
    ),
    "a field's text": PLAIN.replace(" = 2.0", ' = 2.0\n    """Of the field."""'),
    "layout": PLAIN.replace("\n\n\n", "\n\n\n\n").replace("radius**2", "(\n    radius ** 2)"),
}

OTHER = {
    "constant": PLAIN.replace("0.5", "0.25"),
    "operation": PLAIN.replace("radius**2", "radius**3"),
    "name": PLAIN.replace("area", "volume"),
    "default": PLAIN.replace("radius: float)", "radius: float = 1.0)"),
    "import": PLAIN.replace("import math", "import cmath as math"),
    "order": PLAIN.replace("RATE = 0.5\n", "").replace(
        "import math\n", "RATE = 0.5\nimport math\n"
    ),
    "text": PLAIN.replace("0.5", '"a text that is no docstring"'),
}


@pytest.fixture
def sha256_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], str]:
    """The code hash of a text, as a module of its own."""
    monkeypatch.syspath_prepend(tmp_path)

    def compute(name: str, text: str) -> str:
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
        return code_sha256(name)

    return compute


def digits(text: str) -> str:
    """A text as part of a module's name; hashes are remembered by name."""
    return text.encode().hex()


@pytest.mark.parametrize("what", SAME)
def test_what_code_says_to_readers_does_not_change_it(
    what: str, sha256_of: Callable[[str, str], str]
) -> None:
    assert SAME[what] != PLAIN
    assert sha256_of("same" + digits(what), SAME[what]) == sha256_of("plain" + digits(what), PLAIN)


@pytest.mark.parametrize("what", OTHER)
def test_what_code_does_changes_it(what: str, sha256_of: Callable[[str, str], str]) -> None:
    assert OTHER[what] != PLAIN
    assert sha256_of("other" + digits(what), OTHER[what]) != sha256_of("base" + digits(what), PLAIN)


def test_code_is_read_and_not_run(sha256_of: Callable[[str, str], str]) -> None:
    assert len(sha256_of("bomb", "raise RuntimeError")) == 64
    assert "bomb" not in sys.modules


@pytest.mark.parametrize("module", ["no_such_module", "no_such_package.deep.module"])
def test_a_module_without_source_is_refused(module: str) -> None:
    with pytest.raises(BadSpec, match=module):
        code_sha256(module)


# ---------------------------------------------------------------- the machine


def test_the_machine_is_described_without_its_name() -> None:
    facts = describe_environment(device="cpu", threads=1)
    text = json.dumps(facts)
    for name in {socket.gethostname(), platform.node(), str(Path.home())}:
        assert name not in text
    assert facts["cores"] >= 1
    assert facts["memory_mib"] > 100
    assert facts["torch_threads"] == 1
    assert facts["packages"]["torch"] == package_version("torch")
    assert package_version("no-such-distribution") is None


def test_the_machine_hash_is_stable() -> None:
    first = describe_machine()["machine"]
    describe_machine.cache_clear()
    assert describe_machine()["machine"] == first
    assert first.startswith("h:")


def test_code_is_of_kdbench_and_not_of_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = describe_code()
    describe_code.cache_clear()
    monkeypatch.chdir(tmp_path)
    assert describe_code().commit == before.commit
    assert before.kdbench == package_version("kdbench")


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (["/opt/venv/bin/kdbench", "run", "quick"], "kdbench run quick"),
        (["kdbench", "run", "/home/jane/mine.toml"], "kdbench run mine.toml"),
        (["kdbench", "run", "quick", "--out", "/home/jane/runs"], "kdbench run quick --out runs"),
        (["kdbench", "run", "quick", "--out=/home/jane/runs"], "kdbench run quick --out=runs"),
    ],
)
def test_commands_are_kept_without_folders(
    words: list[str], command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", words)
    assert own_command() == command


def test_code_of_a_family_follows_its_own_imports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "stranger_family"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "method.py").write_text("import math\nfrom stranger_family.grid import levels\n")
    (package / "grid.py").write_text("from .deep import base\nlevels = 4\n")
    (package / "deep.py").write_text("base = 1\n")
    (package / "other.py").write_text("unused = 1\n")
    monkeypatch.syspath_prepend(tmp_path)

    def hash_now() -> str:
        environment.code_sha256.cache_clear()
        environment.family_sha256.cache_clear()
        importlib.invalidate_caches()
        return environment.family_sha256("stranger_family.method")

    before = hash_now()
    (package / "other.py").write_text("unused = 2\n")
    assert hash_now() == before
    (package / "deep.py").write_text("base = 2\n")
    assert hash_now() != before
