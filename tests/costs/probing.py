"""A measuring process whose generators are those of the tests, or one that goes wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np


def build(spec: dict[str, Any]) -> Any:
    """A generator by name; `torch` is imported here, as late as in the real process."""
    import cost_subjects

    print("standard output is nobody's {")
    if spec["name"] == "Unbuildable":
        raise MemoryError
    module = import_module(spec.get("module", "cost_subjects"))
    generator = getattr(module, spec["name"])(**spec.get("args", {}))
    task = getattr(module, spec["task"]) if "task" in spec else cost_subjects.Squares
    return generator, task()


def hang(job: dict[str, Any]) -> None:
    """Start a child, note its number, and wait for ever."""
    child = subprocess.Popen(["sleep", "60"])
    Path(job["build"]["note"]).write_text(str(child.pid))
    time.sleep(60)


def claim(job: dict[str, Any]) -> None:
    """Time nothing, and say that three seconds went by; with a note, unpickling it is noted."""
    if "note" in job["build"]:
        images = np.empty(1, object)
        images[0] = Opener(job["build"]["note"])
        np.savez(Path(job["out"]).with_name("images.npz"), index=np.array([[0, 0]]), images=images)
    said = {"costs": [], "series": {}, "process": {}, "elapsed_ns": 3 * 10**9}
    Path(job["out"]).write_text(json.dumps({"status": "ok", "reason": None, **said}))


class Opener:
    """Leaves a note where it is unpickled."""

    def __init__(self, note: str) -> None:
        self.note = note

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path(self.note),)


if __name__ == "__main__":
    fault = sys.argv[1] if len(sys.argv) > 1 else None
    if fault is None:
        from kdbench.costs.probe import main

        main(build)
    elif fault == "hang":
        hang(json.load(sys.stdin))
    elif fault == "outlive":
        from kdbench.costs.life_line import end_with_parent

        end_with_parent()
        note = Path(json.load(sys.stdin)["build"]["note"])
        note.with_suffix(".part").write_text(str(os.getpid()))
        note.with_suffix(".part").rename(note)
        time.sleep(60)
    elif fault == "leave":
        subprocess.Popen(["sleep", "30"])  # holds what it inherits
        from kdbench.costs.probe import main

        main(build)
    elif fault == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif fault == "raise":
        raise KeyError("no such weight")
    elif fault == "damage":
        Path(json.load(sys.stdin)["out"]).write_text('{"status": "ok", "costs": [')
    elif fault == "claim":
        claim(json.load(sys.stdin))
