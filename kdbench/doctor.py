"""The verb `doctor`: what is installed, what is missing, and how to get it. Imports no torch."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from kdbench import registry
from kdbench.costs.energy import energy_meter
from kdbench.costs.nvml import Device, Unreadable
from kdbench.environment import describe_machine, package_version
from kdbench.errors import KdbenchError, MissingWeights, WeightsError
from kdbench.external_weights import places
from kdbench.fetch import Progress, fetch_weights
from kdbench.weights import WeightCard, cards, find_weights

KINDS = ("tasks", "methods", "metrics", "extractors", "generators", "networks", "samplers")

NEEDED = ("kdbench", "torch", "torchvision", "numpy", "scikit-learn", "torch-fidelity", "lpips")

EXTRAS = {
    "dev": ("pytest", "pytest-benchmark", "hypothesis", "scikit-image"),
    "peers": ("clean-fid", "piq", "prdc", "torchmetrics", "transformers", "vendi-score"),
}
"""What each extra brings that tests and speed comparisons run beside kdbench."""

_CLEAR_REFS = Path("/proc/self/clear_refs")


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

    def __str__(self) -> str:
        state = "ok" if self.ok else "FAULT" if self.needed else "absent"
        advice = f"\n        {self.advice}" if self.advice else ""
        return f"{state:6}  {self.what}: {self.found}{advice}"


def examine() -> list[Finding]:
    """Look at Python, packages, weights, names, data, GPU, what costs can be read, and disk."""
    return [
        *_packages(),
        _torch_builds(),
        *_weights(),
        *_registries(),
        _data(),
        _gpu(),
        _peak_memory(),
        _cpu_energy(),
        _nvml(),
        _machine(),
        _disk(),
    ]


def fetch(names: Iterable[str], *, progress: Progress) -> list[Finding]:
    """Fetch external weights of these names, or all; a failure does not keep from the others.

    Args:
        names: of weights; those that come with a package need no fetching, which is said.
        progress: told of every chunk.

    Raises:
        UnknownName: there are no such weights; nothing was fetched.
    """
    asked = [cards.load(name) for name in dict.fromkeys(names)]
    external = [card for card in map(cards.load, cards) if card.external is not None]
    return [_fetched(card, progress) for card in asked or external]


def _fetched(card: WeightCard, progress: Progress) -> Finding:
    what = f"weights {card.name}"
    if card.external is None:
        return _shipped(card)
    try:
        return Finding(what, fetch_weights(card, progress=progress), ok=True)
    except WeightsError as error:
        return Finding(what, "not fetched", False, str(error))


def _packages() -> list[Finding]:
    findings = [Finding("python", sys.version.split()[0], sys.version_info >= (3, 11))]
    for name in NEEDED:
        version = package_version(name)
        advice = "" if version else f"pip install {name}"
        findings.append(Finding(name, version or "not installed", version is not None, advice))
    for extra, names in EXTRAS.items():
        lacking = [name for name in names if package_version(name) is None]
        found = f"not installed: {', '.join(lacking)}" if lacking else "installed"
        advice = "Only tests and speed comparisons need it: " if lacking else ""
        advice += f'pip install "kdbench[{extra}]".' if lacking else ""
        findings.append(Finding(f"extra {extra}", found, not lacking, advice, needed=False))
    return findings


def _torch_builds() -> Finding:
    """Whether torch and torchvision were built for the same device; otherwise imports fail."""
    builds = [(package_version(name) or "").partition("+")[2] for name in ("torch", "torchvision")]
    found = " and ".join(build or "the registry's build" for build in builds)
    fits = builds[0] == builds[1]
    advice = "" if fits else "Install both from one index, in one command."
    return Finding("torch and torchvision", found, fits, advice)


def _weights() -> list[Finding]:
    all_cards = [cards.load(name) for name in cards]
    return [
        *(_shipped(card) for card in all_cards if card.external is None),
        Finding("external weights", f"looked for in {', '.join(places())}", ok=True),
        *(_external(card) for card in all_cards if card.external is not None),
    ]


def _shipped(card: WeightCard) -> Finding:
    what = f"weights {card.name}"
    try:
        find_weights(card.name)
        return Finding(what, "as published, shipped with its package", ok=True)
    except KdbenchError as error:
        return Finding(what, "missing or damaged", False, str(error))


def _external(card: WeightCard) -> Finding:
    """Missing ones are no fault; damaged ones stand in the way of published ones."""
    what = f"weights {card.name}"
    try:
        find_weights(card.name)
        return Finding(what, "as published", ok=True)
    except MissingWeights as error:
        file = card.external
        found = f"{file.file} ({file.size}, {file.licence}) is missing" if file else "missing"
        return Finding(
            what, found, False, f"{card.summary} Trained on {card.data}. {error.how}", needed=False
        )
    except WeightsError as error:
        return Finding(what, "damaged", False, str(error))


def _registries() -> list[Finding]:
    findings = []
    for kind in KINDS:
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


def _peak_memory() -> Finding:
    """Whether the peak of a call can be told from that of all that came before it."""
    try:
        _CLEAR_REFS.write_text("5")  # proc_pid_clear_refs(5): VmHWM starts again
    except OSError as error:
        found = f"cannot be reset: {error.strerror}"
        advice = "Costs on a CPU have no peak memory here."
        return Finding("peak memory", found, False, advice, needed=False)
    return Finding("peak memory", "can be reset, and so measured", ok=True, needed=False)


def _cpu_energy() -> Finding:
    meter, reason = energy_meter("cpu")
    if meter is None:
        advice = "Costs on a CPU have no energy here."
        return Finding("energy of the cpu", str(reason), False, advice, needed=False)
    return Finding("energy of the cpu", f"counted by {meter.name}", ok=True, needed=False)


def _nvml() -> Finding:
    try:
        Device(0)
    except Unreadable as error:
        advice = "Costs on an NVIDIA GPU have no energy and no clocks without it."
        return Finding("nvml", str(error), False, advice, needed=False)
    return Finding("nvml", "readable", ok=True, needed=False)


def _machine() -> Finding:
    facts = describe_machine()
    return Finding("machine", f"{facts['cpu']}, {facts['threads']} threads", ok=True)


def _disk() -> Finding:
    free = shutil.disk_usage(".").free / 2**30
    advice = "" if free > 1 else "Runs of quick need about 0.1 GiB; free some space."
    return Finding("disk", f"{free:.1f} GiB free here", free > 1, advice, needed=False)
