"""Half of what there is: of the machine, or of a container that has less."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kdbench.reading.memory import half_of_memory

HALF = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("4096\n", 2048),
        ("max\n", None),
        ("9223372036854771712\n", None),  # version 1 without a limit
        ("", None),
        ("-1\n", None),
        ("\xff", None),
    ],
)
@pytest.mark.parametrize("version", [1, 2])
def test_a_containers_limit_counts_where_it_is_less(
    tmp_path: Path, version: int, said: str, expected: int | None
) -> None:
    limits = tmp_path / "memory.max", tmp_path / "memory.limit_in_bytes"
    limits[2 - version].write_text(said, "latin1")
    assert half_of_memory(limits) == (HALF if expected is None else expected)


def test_of_two_limits_the_smaller_one(tmp_path: Path) -> None:
    limits = tmp_path / "a", tmp_path / "b"
    for path, said in zip(limits, ("8192", "4096"), strict=True):
        path.write_text(said)
    assert half_of_memory(limits) == 2048
    assert half_of_memory(()) == HALF
    assert half_of_memory() <= HALF
