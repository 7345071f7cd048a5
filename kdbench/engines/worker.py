"""A worker process: takes jobs as JSON lines on standard input, answers with events.

The parent never imports torch. Whatever a method prints goes to standard error; events go to the
descriptor that was standard output.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from queue import Queue
from typing import Any, TextIO

from kdbench.errors import KdbenchError


def main() -> None:
    """Serve jobs until standard input ends; then leave at once, whatever is running."""
    events = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    jobs: Queue[dict[str, Any]] = Queue()
    threading.Thread(target=_listen, args=(sys.stdin, jobs), daemon=True).start()
    runner: Any = None
    setting = jobs.get()
    while True:
        job = jobs.get()
        try:
            runner = runner or _make_runner(setting, events)
            outcomes = _work(runner, job)
            _tell(events, event="done", outcomes=outcomes)
        except KdbenchError as error:
            _tell(events, event="error", message=str(error), exit_code=error.exit_code)


def _listen(source: TextIO, jobs: Queue[dict[str, Any]]) -> None:
    """Queue every line; the end of input means that the parent is gone."""
    for line in source:
        jobs.put(json.loads(line))
    os._exit(0)


def _make_runner(setting: dict[str, Any], events: TextIO) -> Any:
    import torch

    from kdbench import registry
    from kdbench.runner import Runner
    from kdbench.stages import Stages
    from kdbench.store import Store

    if setting["device"] == "cuda" and not torch.cuda.is_available():
        raise KdbenchError(
            "torch finds no CUDA device here. Use --device cpu, or see `kdbench doctor`."
        )
    torch.set_num_threads(1)
    for path in setting["pair_files"]:
        registry.pairs.add(Path(path))
    store = Store(Path(setting["out"]))

    def progress(stage: str, done: int, total: int) -> None:
        _tell(events, event="progress", stage=stage, done=done, total=total)

    stages = Stages(
        store,
        device=setting["device"],
        retrain=setting["retrain"],
        retry=setting["retry"],
        progress=progress,
    )
    return Runner(store, stages, command=setting["command"])


def _work(runner: Any, job: dict[str, Any]) -> list[dict[str, Any]]:
    from kdbench.spec import Run

    if not job["runs"]:
        runner.prepare(job["pair"], seed=job["seed"])
        return []
    return [asdict(o) for o in runner.execute([Run.model_validate(r) for r in job["runs"]])]


def _tell(events: TextIO, **event: Any) -> None:
    events.write(json.dumps(event) + "\n")


if __name__ == "__main__":
    main()
