"""The verb `doctor`: what is installed, what is missing, and how to get it. Imports no torch."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from kdbench import registry
from kdbench.environment import describe_machine, package_version
from kdbench.errors import KdbenchError
from kdbench.weights import cards, find_weights

EXTRAS = {"skimage": "dev", "torch_fidelity": "dev", "pytest_benchmark": "dev"}
"""Optional packages, by import name, and the extra that brings each."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    what: str
    found: str
    ok: bool
    advice: str = ""
    needed: bool = True
    """Whether kdbench cannot do without."""

    def as_dict(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        return asdict(self)


def examine() -> list[Finding]:
    """Look at Python, packages, weights, registered names, data, GPU and disk."""
    return [*_packages(), *_weights(), *_registries(), _data(), _gpu(), _machine(), _disk()]


def _packages() -> list[Finding]:
    findings = [Finding("python", sys.version.split()[0], sys.version_info >= (3, 11))]
    for name in ("kdbench", "torch", "torchvision", "numpy", "scikit-learn"):
        version = package_version(name)
        advice = "" if version else f"pip install {name}"
        findings.append(Finding(name, version or "not installed", version is not None, advice))
    for module, extra in EXTRAS.items():
        there = find_spec(module) is not None
        advice = "" if there else f'optional: pip install "kdbench[{extra}]"'
        found = "installed" if there else "not installed"
        findings.append(Finding(module, found, there, advice, needed=False))
    return findings


def _weights() -> list[Finding]:
    findings = []
    for name in cards:
        try:
            find_weights(name)
            findings.append(Finding(f"weights {name}", "as published", ok=True))
        except KdbenchError as error:
            findings.append(Finding(f"weights {name}", "missing or damaged", False, str(error)))
    return findings


def _registries() -> list[Finding]:
    findings = []
    for kind in ("tasks", "methods", "metrics", "generators", "networks", "samplers"):
        names: registry.Registry[Any] = getattr(registry, kind)
        broken = []
        for name in names:
            try:
                if find_spec(names.module(name)) is None:
                    broken.append(name)
            except ModuleNotFoundError:
                broken.append(name)
        advice = "Reinstall the packages that register them." if broken else ""
        found = f"cannot be found: {', '.join(broken)}" if broken else f"{len(list(names))} found"
        findings.append(Finding(kind, found, not broken, advice))
    for files in (registry.pairs, registry.suites, cards):
        findings += [
            Finding(f"{files.kind}s", f"cannot be found: {package}", False, "Reinstall it.")
            for package in files.missing()
        ]
    return findings


def _data() -> Finding:
    folder = os.environ.get("KDBENCH_DATA")
    if folder is None:
        advice = (
            "Only tasks on external data need it: set KDBENCH_DATA to the folder that holds them."
        )
        return Finding("data", "KDBENCH_DATA is not set", False, advice, needed=False)
    there = Path(folder).is_dir()
    advice = "" if there else "KDBENCH_DATA names a folder that is not there."
    return Finding("data", folder if there else "no such folder", there, advice, needed=False)


def _gpu() -> Finding:
    there = shutil.which("nvidia-smi") is not None
    advice = "" if there else "None is needed; with one, use --device cuda."
    return Finding("gpu", "NVIDIA driver found" if there else "none", there, advice, needed=False)


def _machine() -> Finding:
    facts = describe_machine()
    return Finding("machine", f"{facts['cpu']}, {facts['threads']} threads", ok=True)


def _disk() -> Finding:
    free = shutil.disk_usage(".").free / 2**30
    advice = "" if free > 1 else "Runs of quick need about 0.1 GiB; free some space."
    return Finding("disk", f"{free:.1f} GiB free here", free > 1, advice, needed=False)
