"""A measuring process whose generators are those of the tests, or one that goes wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any


def build(spec: dict[str, Any]) -> Any:
    """A generator by name; `torch` is imported here, as late as in the real process."""
    import cost_subjects

    print("standard output is nobody's {")
    if spec["name"] == "Unbuildable":
        raise MemoryError
    return getattr(cost_subjects, spec["name"])(**spec["args"]), cost_subjects.Squares()


def hang(job: dict[str, Any]) -> None:
    """Start a child, note its number, and wait for ever."""
    child = subprocess.Popen(["sleep", "60"])
    Path(job["build"]["note"]).write_text(str(child.pid))
    time.sleep(60)


if __name__ == "__main__":
    fault = sys.argv[1] if len(sys.argv) > 1 else None
    if fault is None:
        from kdbench.costs.probe import main

        main(build)
    elif fault == "hang":
        hang(json.load(sys.stdin))
    elif fault == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif fault == "raise":
        raise KeyError("no such weight")
    elif fault == "damage":
        Path(json.load(sys.stdin)["out"]).write_text('{"status": "ok", "costs": [')
