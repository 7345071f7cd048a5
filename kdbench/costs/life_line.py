"""What ends a measuring process when its parent is gone, however it went."""

from __future__ import annotations

import os
import signal
from threading import Thread

LIFE_VARIABLE = "KDBENCH_LIFE_PIPE"
"""Where the number of the pipe stands that closes when the parent ends."""


class LifeLine:
    """The parent's end of a pipe on which nothing is ever written."""

    def __init__(self) -> None:
        self.fd, self._held = os.pipe()

    def close(self) -> None:
        """Let go; to be called when the child is gone."""
        os.close(self.fd)
        os.close(self._held)


def end_with_parent() -> None:
    """In a child that leads a session of its own: end it, with its children, with its parent.

    Waiting is a blocking read, so no processor is used meanwhile.
    """
    pipe = os.environ.get(LIFE_VARIABLE)
    if pipe is not None:
        Thread(target=_wait, args=(int(pipe),), daemon=True).start()


def _wait(pipe: int) -> None:
    os.read(pipe, 1)
    os.killpg(os.getpid(), signal.SIGKILL)
