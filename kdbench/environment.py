"""The machine, the versions and the code behind a record; nothing that names a user or a host."""

from __future__ import annotations

import ast
import hashlib
import os
import platform
import re
import subprocess
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil

from kdbench.errors import BadSpec
from kdbench.record import Code
from kdbench.spec import content_key

PACKAGES = ("torch", "torchvision", "numpy", "scipy", "scikit-learn", "scikit-image", "pandas")


@cache
def package_version(name: str) -> str | None:
    """The installed version of a distribution, or None."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


@cache
def describe_machine() -> dict[str, Any]:
    """Processor, memory and system, with `machine`: a hash that tells machines apart."""
    facts: dict[str, Any] = {
        "cpu": _cpu_model(),
        "cores": psutil.cpu_count(logical=False),
        "threads": psutil.cpu_count(),
        "memory_mib": psutil.virtual_memory().total // 2**20,
        "system": platform.system(),
        "architecture": platform.machine(),
    }
    return {**facts, "machine": f"h:{content_key(facts)[:16]}"}


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else "unknown"


def describe_environment(*, device: str, threads: int) -> dict[str, Any]:
    """What a record says of where it was made."""
    return {
        **describe_machine(),
        "device": device,
        "torch_threads": threads,
        "python": platform.python_version(),
        "packages": {name: package_version(name) for name in PACKAGES},
        "load_average": round(os.getloadavg()[0], 2),
    }


@cache
def describe_code() -> Code:
    """kdbench's version and, in a checkout, its commit; never the commit of the current folder."""
    root = Path(__file__).resolve().parent.parent
    commit = _git(root, "rev-parse", "HEAD") if (root / ".git").exists() else None
    dirty = None
    if commit:
        dirty = bool(_git(root, "status", "--porcelain", "--untracked-files=no"))
    return Code(kdbench=package_version("kdbench") or "unknown", commit=commit, dirty=dirty)


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


@cache
def code_sha256(module: str) -> str:
    """SHA-256 of what a module's source does: its syntax tree without comments and docstrings.

    Raises:
        BadSpec: the module has no source file.
    """
    for node in ast.walk(tree := _parse(module)):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            body[:] = [part for part in body if not _is_text(part)] or [ast.Pass()]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


@cache
def family_sha256(module: str) -> str:
    """SHA-256 of a module's code and of all that it imports from its own package.

    kdbench's own modules are versioned by themselves, so a plug-in's hash does not follow them.
    """
    family, waiting = {module}, [module]
    package = module.partition(".")[0]
    while waiting and package != "kdbench":
        for name in _imported(waiting.pop()):
            if name.partition(".")[0] == package and name not in family:
                family.add(name)
                waiting.append(name)
    return content_key({name: code_sha256(name) for name in family})


def _imported(module: str) -> list[str]:
    """Modules that a module names in its import statements."""
    names: list[str] = []
    for node in ast.walk(_parse(module)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.append(node.module if not node.level else _relative(module, node))
    return names


def _relative(module: str, node: ast.ImportFrom) -> str:
    above = module.split(".")[: -node.level]
    return ".".join([*above, *(node.module or "").split(".")])


def _parse(module: str) -> ast.Module:
    try:
        found = find_spec(module)
    except ModuleNotFoundError:  # a package above it is missing
        found = None
    if found is None or not found.origin:
        raise BadSpec(
            f"The module {module} has no source to identify its code by. "
            "Reinstall the package that provides it."
        )
    return ast.parse(Path(found.origin).read_text("utf-8"))


def _is_text(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


_FOLDERS = re.compile(r"(?<![\w.])/(?:[^\s'\":/]+/)+")


def without_folders(text: str) -> str:
    """A message without the folders of this machine: only the last part of a path stays.

    >>> without_folders("cannot read /home/me/data/x.png: no such file")
    'cannot read …/x.png: no such file'
    """
    return _FOLDERS.sub("…/", text)


def own_command() -> str:
    """The command line that is running, without the folders of this machine."""
    words = [re.sub(r"[^\s=]*/", "", word) for word in sys.argv]
    return " ".join(words)
