"""Fetching external weights, which only `kdbench doctor --fetch` does.

A file is streamed to a partial one beside its place, and moved there once it has the published
size and SHA-256. A kill or a lost connection leaves the partial file, from which the next fetch
goes on.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from filelock import FileLock, Timeout
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TaskID, TextColumn, TransferSpeedColumn
from rich.progress import Progress as Bars

from kdbench.errors import WeightsError
from kdbench.external_weights import OWN, ExternalFile, find_external, places
from kdbench.store import sha256_file
from kdbench.weights import WeightCard

Progress = Callable[[str, int, int | None], None]
"""`progress(name, done, total)`, in bytes; None where the size is not known."""

SECURE = ("https",)
TIMEOUT_S = 30
CHUNK = 1 << 20
"""Bytes at a time."""
NOTHING_MORE = 416
"""What a server answers when all it has is there already (RFC 9110, range not satisfiable)."""

_ELSEWHERE = "get the file elsewhere and give --weights-dir FOLDER"


def fetch_weights(
    card: WeightCard, *, progress: Progress, schemes: tuple[str, ...] = SECURE
) -> str:
    """Have external weights in the user's own folder, or else somewhere they are looked for.

    A published file that is there already is taken as it is; where the user named a folder, it is
    copied there.

    Args:
        card: of external weights.
        progress: told of every chunk.
        schemes: of URLs that are followed.

    Returns:
        What became of it, in words.

    Raises:
        WeightsError: they could not be fetched; what was fetched before is kept.
    """
    assert card.external is not None
    file, (way, folder) = card.external, next(iter(places().items()))
    with _locked(folder, file):
        there = _published(card, file, folder / file.file)
        if there is not None and (way != OWN or there.parent == folder):
            return "as published"
        partial = folder / f".{file.file}.{card.sha256[:12]}.partial"
        if there is not None:
            with _explained(folder, file):
                shutil.copyfile(there, partial)
        else:
            _download(card.name, file, partial, progress=progress, schemes=schemes)
        _publish(partial, folder / file.file, file, sha256=card.sha256)
    return f"{'fetched' if there is None else 'copied'} to {way}"


@contextmanager
def shown_on(console: Console) -> Iterator[Progress]:
    """Progress as one bar for each file on a terminal; elsewhere nothing is said."""
    words = TextColumn("{task.description}", markup=False)
    columns = words, BarColumn(bar_width=24), DownloadColumn(), TransferSpeedColumn()
    known: dict[str, TaskID] = {}
    with Bars(*columns, console=console, disable=not console.is_terminal) as bars:

        def show(name: str, done: int, total: int | None) -> None:
            if name not in known:
                known[name] = bars.add_task(name)
            bars.update(known[name], completed=done, total=total)

        yield show


@contextmanager
def _locked(folder: Path, file: ExternalFile) -> Iterator[None]:
    """Fetch a file alone: two that append to one partial file would spoil it."""
    lock = FileLock(folder / f".{file.file}.lock")
    try:
        with _explained(folder, file):
            folder.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=0)
    except Timeout as error:
        raise WeightsError(
            f"{file.file} is being fetched to {folder} by another command: wait for it to end."
        ) from error
    try:
        yield
    finally:
        lock.release()


def _published(card: WeightCard, file: ExternalFile, target: Path) -> Path | None:
    """The published file, where it is found. One that is damaged matters only in the way."""
    try:
        return find_external(card.name, file, sha256=card.sha256)
    except WeightsError:
        if target.is_file():
            raise
        return None


def _download(
    name: str, file: ExternalFile, partial: Path, *, progress: Progress, schemes: tuple[str, ...]
) -> None:
    """Bring the partial file to all that the server has."""
    done = partial.stat().st_size if partial.is_file() else 0
    if done == file.bytes:
        return
    try:
        response = _open(file, done, schemes)
    except HTTPError as error:
        if error.code == NOTHING_MORE and done:
            return
        raise WeightsError(
            f"{file.file} was not fetched: {file.url} answers {error.code} {error.reason}. "
            f"Try again later, or {_ELSEWHERE}."
        ) from error
    except (OSError, HTTPException) as error:
        raise WeightsError(
            f"{file.file} was not fetched: {urlsplit(file.url).hostname} cannot be reached "
            f"({_reason(error)}). Run it again when it can, or {_ELSEWHERE}."
        ) from error
    with response:
        done = done if response.status == 206 else 0  # 200: the server sends all of it
        _append(response, partial, file, done, lambda now, total: progress(name, now, total))


def _open(file: ExternalFile, done: int, schemes: tuple[str, ...]) -> Any:
    """The server's answer, from byte `done` on where it can."""
    opener = build_opener(_Redirects(schemes))
    request = Request(_checked(file.url, schemes), headers={"User-Agent": "kdbench"})
    if done:
        request.add_header("Range", f"bytes={done}-")
    return opener.open(request, timeout=TIMEOUT_S)


class _Redirects(HTTPRedirectHandler):
    """Follows a server to other places of the same schemes alone."""

    def __init__(self, schemes: tuple[str, ...]) -> None:
        self.schemes = schemes

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        """The next request; the range that was asked for goes with it."""
        url = _checked(newurl, self.schemes)
        return super().redirect_request(req, fp, code, msg, headers, url)


def _checked(url: str, schemes: tuple[str, ...]) -> str:
    if urlsplit(url).scheme not in schemes:
        raise WeightsError(f"Weights are fetched over https alone, which {url} is not.")
    return url


def _append(
    response: Any,
    partial: Path,
    file: ExternalFile,
    done: int,
    progress: Callable[[int, int | None], None],
) -> None:
    """Write what comes behind the first `done` bytes of the partial file.

    Raises:
        WeightsError: another size is announced, less came, or it could not be written.
    """
    length: int | None = response.length
    total = file.bytes if length is None else done + length
    if file.bytes and total != file.bytes:
        raise WeightsError(
            f"{file.url} is not the published file: it has {total:,} bytes and not "
            f"{file.bytes:,}. Try again later, or {_ELSEWHERE}."
        )
    with _explained(partial.parent, file), partial.open("ab" if done else "wb") as out:
        progress(done, total)
        while (total is None or done < total) and (chunk := _read(response, file, done)):
            out.write(chunk)
            done += len(chunk)
            progress(done, total)
        out.flush()
        os.fsync(out.fileno())
    if total is not None and done < total:
        raise _broken(file, done, "no more came")


def _read(response: Any, file: ExternalFile, done: int) -> bytes:
    try:
        chunk: bytes = response.read(CHUNK)
    except (OSError, HTTPException) as error:
        raise _broken(file, done, _reason(error)) from error
    return chunk


def _broken(file: ExternalFile, done: int, reason: str) -> WeightsError:
    return WeightsError(
        f"The connection was lost after {done / 1e6:,.1f} MB of {file.file} ({file.size}): "
        f"{reason}. What came is kept: run it again to go on."
    )


def _publish(partial: Path, target: Path, file: ExternalFile, *, sha256: str) -> None:
    """Move the whole file to its place, if it is the published one; else delete it."""
    with _explained(partial.parent, file):
        found = sha256_file(partial)
        if found == sha256:
            os.replace(partial, target)
            return
        partial.unlink()
    raise WeightsError(
        f"What {file.url} gave is not the published file: SHA-256 {found[:12]}…, published "
        f"{sha256[:12]}…. It was deleted: run it again, or {_ELSEWHERE}."
    )


@contextmanager
def _explained(folder: Path, file: ExternalFile) -> Iterator[None]:
    """Say what is wrong with a folder in one sentence."""
    try:
        yield
    except Timeout:
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise WeightsError(
                f"The disk is full: {folder} has no room for {file.file} ({file.size}). What came "
                "is kept: free some space and run it again, or give another --weights-dir."
            ) from error
        raise WeightsError(
            f"{folder} cannot be written: {_reason(error)}. Check its permissions, or give another "
            "--weights-dir."
        ) from error


def _reason(error: Exception) -> str:
    """What an error says, without its number and the names of its classes."""
    if isinstance(error, URLError) and isinstance(error.reason, Exception):
        return _reason(error.reason)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
