"""Fetching weights from a server of the test's own that does what servers do."""

from __future__ import annotations

import hashlib
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from kdbench.errors import WeightsError
from kdbench.external_weights import ExternalFile
from kdbench.fetch import fetch_weights
from kdbench.weights import WeightCard

DATA = bytes(range(256)) * 12_000
"""3 MB, so that it comes in several chunks."""
HALF = len(DATA) // 2
SHA256 = hashlib.sha256(DATA).hexdigest()
NAME = "net.pth"
PARTIAL = f".{NAME}.{SHA256[:12]}.partial"


class Server(ThreadingHTTPServer):
    """Serves `data`, as its other attributes say; `ranges` are those that it was asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.data = DATA
        self.status: int | None = None
        self.breaks_after: int | None = None
        """Bytes of an answer, after which the connection is closed."""
        self.knows_ranges = True
        self.says_length = True
        self.moved: str | None = None
        self.ranges: list[str | None] = []

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that leave are what is tested."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/{NAME}"


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server, asked = self.server, self.headers["Range"]
        server.ranges.append(asked)
        if server.moved and not self.path.startswith("/moved"):
            self.send_response(302)
            self.send_header("Location", server.moved)
            self.end_headers()
            return
        start = int(asked[6:-1]) if asked and server.knows_ranges else 0
        if server.status or start >= len(server.data):
            self.send_error(server.status or 416)
            return
        self.send_response(206 if start else 200)
        if server.says_length:
            self.send_header("Content-Length", str(len(server.data) - start))
        self.end_headers()
        self.wfile.write(server.data[start:][: server.breaks_after])

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where fetched weights go: the cache of a home without anything."""
    for name in ("KDBENCH_WEIGHTS", "KDBENCH_CACHE", "XDG_CACHE_HOME", "TORCH_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "somebody"))
    return tmp_path / "somebody/.cache/kdbench/weights"


def card(url: str, *, size: int | None = len(DATA)) -> WeightCard:
    external = ExternalFile(file=NAME, url=url, bytes=size, licence="MIT")
    return WeightCard(name="net", sha256=SHA256, external=external, data="d")


def fetch(server: Server, *, size: int | None = len(DATA)) -> str:
    return fetch_weights(card(server.url, size=size), progress=lambda *_: None, schemes=("http",))


def refused(server: Server, *words: str, size: int | None = len(DATA)) -> None:
    """A fetch ends with exit code 2 and one line that has these words."""
    with pytest.raises(WeightsError) as caught:
        fetch(server, size=size)
    said = str(caught.value)
    assert caught.value.exit_code == 2
    assert "\n" not in said
    assert said.endswith(".")
    for word in words:
        assert word in said, said


def visible(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if not path.name.endswith(".lock")]


# ---------------------------------------------------------------- what is fetched


@pytest.mark.parametrize("size", [len(DATA), None])
@pytest.mark.parametrize("says_length", [True, False])
def test_weights_are_fetched_whole(
    server: Server, folder: Path, size: int | None, says_length: bool
) -> None:
    server.says_length = says_length
    assert fetch(server, size=size) == "fetched to ~/.cache/kdbench/weights"
    assert (folder / NAME).read_bytes() == DATA
    assert visible(folder) == [NAME]


def test_progress_is_told(server: Server, folder: Path) -> None:
    told: list[tuple[str, int, int | None]] = []
    fetch_weights(card(server.url), progress=lambda *now: told.append(now), schemes=("http",))
    assert told[0] == ("net", 0, len(DATA))
    assert told[-1] == ("net", len(DATA), len(DATA))
    assert len(told) > 3
    assert told == sorted(told)


def test_what_is_there_is_kept(server: Server, folder: Path) -> None:
    fetch(server)
    before = (folder / NAME).stat()
    assert fetch(server) == "as published"
    assert (folder / NAME).stat().st_ino == before.st_ino
    assert len(server.ranges) == 1


def test_what_is_in_another_cache_is_not_fetched(server: Server, folder: Path) -> None:
    clip = folder.parents[1] / "clip"
    clip.mkdir(parents=True)
    (clip / NAME).write_bytes(DATA)
    assert fetch(server) == "as published"
    assert not server.ranges
    assert visible(folder) == []


def test_an_own_folder_gets_a_copy_of_what_is_here(
    server: Server, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch(server)
    monkeypatch.setenv("KDBENCH_WEIGHTS", str(tmp_path / "stick"))
    assert fetch(server) == "copied to $KDBENCH_WEIGHTS"
    assert (tmp_path / "stick" / NAME).read_bytes() == DATA
    assert visible(tmp_path / "stick") == [NAME]
    assert fetch(server) == "as published"
    assert len(server.ranges) == 1


def test_an_own_folder_is_fetched_to(
    server: Server, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KDBENCH_WEIGHTS", str(tmp_path / "stick"))
    assert fetch(server) == "fetched to $KDBENCH_WEIGHTS"
    assert (tmp_path / "stick" / NAME).read_bytes() == DATA
    assert not folder.exists()


def test_damaged_weights_in_the_way_are_not_replaced(server: Server, folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / NAME).write_bytes(b"mine")
    refused(server, "damaged or other ones", "Delete it")
    assert (folder / NAME).read_bytes() == b"mine"
    assert not server.ranges


def test_damaged_weights_elsewhere_are_not_in_the_way(server: Server, folder: Path) -> None:
    clip = folder.parents[1] / "clip"
    clip.mkdir(parents=True)
    (clip / NAME).write_bytes(b"half a download")
    assert fetch(server).startswith("fetched")
    assert (clip / NAME).read_bytes() == b"half a download"


# ---------------------------------------------------------------- interrupted


@pytest.mark.parametrize("size", [len(DATA), None])
def test_a_lost_connection_is_taken_up_where_it_was(
    server: Server, folder: Path, size: int | None
) -> None:
    server.breaks_after = HALF
    refused(server, "lost after 1.5 MB of net.pth", "run it again to go on", size=size)
    assert visible(folder) == [PARTIAL]
    assert (folder / PARTIAL).read_bytes() == DATA[:HALF]
    server.breaks_after = None
    fetch(server, size=size)
    assert server.ranges == [None, f"bytes={HALF}-"]
    assert (folder / NAME).read_bytes() == DATA
    assert visible(folder) == [NAME]


def test_a_server_that_knows_no_ranges_sends_all_of_it(server: Server, folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / PARTIAL).write_bytes(DATA[:HALF])
    server.knows_ranges = False
    fetch(server)
    assert server.ranges == [f"bytes={HALF}-"]
    assert (folder / NAME).read_bytes() == DATA


@pytest.mark.parametrize(("size", "asked"), [(len(DATA), []), (None, [f"bytes={len(DATA)}-"])])
def test_a_whole_partial_file_needs_no_more(
    server: Server, folder: Path, size: int | None, asked: list[str]
) -> None:
    folder.mkdir(parents=True)
    (folder / PARTIAL).write_bytes(DATA)
    fetch(server, size=size)
    assert server.ranges == asked
    assert visible(folder) == [NAME]


@pytest.mark.parametrize("spoilt", [b"?" * HALF, b"?" * (len(DATA) + 1)])
def test_a_spoilt_partial_file_is_deleted_and_said(
    server: Server, folder: Path, spoilt: bytes
) -> None:
    folder.mkdir(parents=True)
    (folder / PARTIAL).write_bytes(spoilt)
    refused(server, "not the published file", "run it again")
    assert visible(folder) == []
    fetch(server)
    assert (folder / NAME).read_bytes() == DATA


KILLED = """
import os, signal, sys
from test_fetch import card
from kdbench.fetch import fetch_weights

def kill(name, done, total):
    if done >= 2 << 20:
        os.kill(os.getpid(), signal.SIGKILL)

fetch_weights(card(sys.argv[1]), progress=kill, schemes=("http",))
"""


def test_a_killed_fetch_goes_on_from_its_partial_file(server: Server, folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, server.url], cwd=Path(__file__).parent, timeout=60
    )
    assert done.returncode == -signal.SIGKILL
    assert visible(folder) == [PARTIAL]
    kept = (folder / PARTIAL).read_bytes()
    assert len(kept) >= 1 << 20
    assert DATA.startswith(kept)
    fetch(server)
    assert server.ranges[1] == f"bytes={len(kept)}-"
    assert (folder / NAME).read_bytes() == DATA


# ---------------------------------------------------------------- refused


def test_a_wrong_hash_deletes_what_came(server: Server, folder: Path) -> None:
    server.data = DATA[::-1]
    found = hashlib.sha256(server.data).hexdigest()
    refused(server, server.url, "not the published file", found[:12], SHA256[:12], "--weights-dir")
    assert visible(folder) == []


@pytest.mark.parametrize("data", [b"<html>Log in first</html>", DATA + b"?"])
def test_another_size_is_refused_before_anything_is_written(
    server: Server, folder: Path, data: bytes
) -> None:
    folder.mkdir(parents=True)
    (folder / PARTIAL).write_bytes(DATA[:10])
    server.data, server.knows_ranges = data, False
    refused(server, f"{len(data):,} bytes and not {len(DATA):,}")
    assert (folder / PARTIAL).read_bytes() == DATA[:10]


def test_an_endless_answer_is_not_read_to_its_end(server: Server, folder: Path) -> None:
    server.data, server.says_length = DATA[::-1] * 3, False
    refused(server, "not the published file")
    assert visible(folder) == []


@pytest.mark.parametrize("status", [403, 404, 500])
def test_an_error_of_the_server_is_told(server: Server, folder: Path, status: int) -> None:
    server.status = status
    refused(server, f"{server.url} answers {status} ", "--weights-dir")
    assert visible(folder) == []


def test_a_server_that_cannot_be_reached(server: Server, folder: Path) -> None:
    server.shutdown()
    server.server_close()
    refused(server, "net.pth was not fetched: 127.0.0.1 cannot be reached (Connection refused)")


def test_a_name_that_is_nowhere(folder: Path) -> None:
    with pytest.raises(WeightsError, match=r"no-such-host\.invalid cannot be reached \(") as caught:
        fetch_weights(card(f"https://no-such-host.invalid/{NAME}"), progress=lambda *_: None)
    assert "Errno" not in str(caught.value)
    assert "urlopen" not in str(caught.value)


def test_only_https_is_fetched(server: Server, folder: Path) -> None:
    for url in (server.url, f"file://{__file__}", f"ftp://127.0.0.1/{NAME}"):
        with pytest.raises(WeightsError, match="https alone"):
            fetch_weights(card(url), progress=lambda *_: None)
    assert not server.ranges


def test_redirects_are_followed_with_their_range(server: Server, folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / PARTIAL).write_bytes(DATA[:HALF])
    server.moved = f"http://127.0.0.1:{server.server_port}/moved/{NAME}"
    fetch(server)
    assert server.ranges == [f"bytes={HALF}-"] * 2
    assert (folder / NAME).read_bytes() == DATA


def test_a_redirect_away_from_the_schemes_is_refused(server: Server, folder: Path) -> None:
    server.moved = f"ftp://127.0.0.1/{NAME}"
    refused(server, "https alone", server.moved)


def test_two_fetches_do_not_collide(server: Server, folder: Path) -> None:
    folder.mkdir(parents=True)
    with FileLock(folder / f".{NAME}.lock"):
        refused(server, NAME, "by another command")
    assert not server.ranges
    fetch(server)


# ---------------------------------------------------------------- the folder


@pytest.fixture
def limited() -> Iterator[Callable[[int], None]]:
    """No file may grow beyond so many bytes: what a full disk is like."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda most: resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_keeps_what_came(
    server: Server, folder: Path, limited: Callable[[int], None]
) -> None:
    limited(2 << 20)
    refused(server, "The disk is full", str(folder), "net.pth (3 MB)", "free some space")
    limited(resource.RLIM_INFINITY)
    kept = (folder / PARTIAL).read_bytes()
    assert len(kept) == 2 << 20
    assert DATA.startswith(kept)
    fetch(server)
    assert (folder / NAME).read_bytes() == DATA


def test_a_folder_below_a_file(server: Server, folder: Path) -> None:
    folder.parent.parent.mkdir(parents=True)
    folder.parent.write_bytes(b"mine")
    refused(server, f"{folder} cannot be written: ", "--weights-dir")
    assert folder.parent.read_bytes() == b"mine"


def test_a_folder_in_the_place_of_the_file(server: Server, folder: Path) -> None:
    (folder / NAME).mkdir(parents=True)
    refused(server, f"{folder} cannot be written: Is a directory")
