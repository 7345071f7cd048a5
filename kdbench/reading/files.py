"""Many files at once: threads decode, order is kept, memory is bounded."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from torch import Tensor

from kdbench.reading.decode import Picture, declared_bytes, decode, strict_pillow
from kdbench.reading.errors import Unreadable, refuse_files
from kdbench.reading.gathered import Gathered, OverFull
from kdbench.reading.memory import refuse_size
from kdbench.reading.names import FORMAT_OF, natural

Progress = Callable[[int, int], None]
"""Called with how many are done and how many there are, in the caller's thread."""

FIRST = 64
"""Files by whose kind and size the number of threads is chosen."""
SMALL_JPEG = 8 << 10
"""Bytes below which Python around the decoder takes longer than the decoder does: threads would
mostly wait for one another."""
AT_ONCE = 16
"""Files that a thread takes at a time: handing one over costs as much as reading a small one."""

MAX_FILE = 1 << 30
"""Bytes of one file."""

LOSSY = "in JPEG, which is lossy."
OTHER_FORMAT = "in another format than their names say: read as what they are."


def read_files(
    files: Sequence[tuple[str, Path]],
    *,
    problems: dict[str, str],
    most: int,
    threads: int,
    progress: Progress,
) -> tuple[Tensor | list[Tensor], frozenset[int], Counter[str]]:
    """The images of files in their order, which were grey among colour, and how many were treated
    in which way.

    Args:
        files: names for messages, and paths.
        problems: of further files, named in the same error.
        most: bytes that the images may take.
        threads: that decode; the result does not depend on them.
        progress: told after every few files.

    Raises:
        BadImages: files that cannot be read, all of them; or together they take too much.
    """
    paths = [path for _, path in files]
    found = Gathered(len(paths), most)
    bad: dict[int, str] = {}
    treatments: Counter[str] = Counter()
    with strict_pillow(), _pool(threads) as pool:
        if paths and _declared(paths[:1]) * len(paths) > most:
            refuse_size(f"These {len(paths):,} images", _declared(paths), most=most)
        starts = range(0, len(paths), AT_ONCE)
        tasks = [pool.submit(_read_some, paths, start, found) for start in starts]
        try:
            for start, task in zip(starts, tasks, strict=True):
                wrong, treated = task.result()
                bad |= wrong
                treatments += treated
                progress(min(start + AT_ONCE, len(paths)), len(paths))
        except OverFull:
            whole = max(_declared(paths), most + 1)
            refuse_size(f"These {len(paths):,} images", whole, most=most)
    named = problems | {files[i][0]: why for i, why in bad.items()}
    ordered = {name: named[name] for name in sorted(named, key=natural)}
    refuse_files(ordered, of=len(files) + len(problems))
    return found.images(), found.widened(), treatments + found.treatments()


@contextmanager
def _pool(threads: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that drop what waits when the caller leaves early."""
    pool = ThreadPoolExecutor(threads)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _read_some(
    paths: Sequence[Path], start: int, found: Gathered
) -> tuple[dict[int, str], Counter[str]]:
    """Read a few files into `found`; positions of bad ones, and treatments."""
    bad, treatments = {}, Counter[str]()
    for i, path in enumerate(paths[start : start + AT_ONCE], start):
        try:
            picture = decode(_bytes(path))
        except Unreadable as why:
            bad[i] = str(why)
        else:
            found.add(i, picture.pixels)
            treatments.update(_treatments(picture, path))
    return bad, treatments


def _treatments(picture: Picture, path: Path) -> Iterator[str]:
    yield from picture.treatments
    if picture.format == "JPEG":
        yield LOSSY
    if picture.format != FORMAT_OF[path.suffix.lower()]:
        yield OTHER_FORMAT


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb", buffering=0) as file:
            if os.fstat(file.fileno()).st_size > MAX_FILE:
                raise Unreadable(f"larger than {MAX_FILE >> 20} MiB")
            return file.read()
    except OSError as error:
        raise Unreadable(error.strerror or type(error).__name__) from error


def _declared(paths: Sequence[Path]) -> int:
    """Bytes of all images that can be read, from their headers alone."""
    total = 0
    for path in paths:
        with suppress(Unreadable):
            total += declared_bytes(_bytes(path))
    return total


def threads_for(files: Sequence[tuple[str, Path]]) -> int:
    """As many as there are cores, up to 8; one alone where files are small JPEGs."""
    return 1 if all(_is_small_jpeg(path) for _, path in files[:FIRST]) else threads_here()


def _is_small_jpeg(path: Path) -> bool:
    if path.suffix.lower() not in (".jpg", ".jpeg"):
        return False
    try:
        return path.stat().st_size < SMALL_JPEG
    except OSError:
        return False  # reading it says what is wrong


def threads_here() -> int:
    """One for each core that this process may use; more than 8 gain nothing in Python."""
    return min(8, len(os.sched_getaffinity(0)))
