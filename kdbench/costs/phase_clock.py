"""The parent's clock: how long its child timed, told through a pipe that this process waits at."""

from __future__ import annotations

import os
from threading import Thread
from time import perf_counter


class PhaseClock:
    """Adds up the seconds between the letters `b` (begin) and `e` (end) that come in.

    Waiting is a blocking read, so no processor is used meanwhile.
    """

    def __init__(self) -> None:
        self._read, self.fd = os.pipe()
        self._seconds = 0.0
        self._thread = Thread(target=self._listen, daemon=True)

    def start(self) -> None:
        """Listen; to be called when the child holds its end of the pipe."""
        os.close(self.fd)
        self._thread.start()

    def stop(self) -> float:
        """Seconds of all phases; to be called when the child and its children are gone."""
        self._thread.join(timeout=5)
        if not self._thread.is_alive():  # a child that left the group may hold the pipe
            os.close(self._read)
        return self._seconds

    def _listen(self) -> None:
        begun: float | None = None
        while letter := os.read(self._read, 1):
            if letter == b"b":
                begun = perf_counter()
            elif begun is not None:
                self._seconds += perf_counter() - begun
                begun = None
