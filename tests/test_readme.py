"""What README and its neighbours promise is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    *(str(path.relative_to(ROOT)) for path in sorted((ROOT / "docs").rglob("*.md"))),
    "results/quick/leaderboard.md",
)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    links = re.findall(r"\]\(([^)#:]+)\)", text)
    missing = [link for link in links if not ((ROOT / page).parent / link).exists()]
    assert missing == []


@pytest.mark.parametrize("page", PAGES)
def test_nothing_is_left_to_fill_in(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    assert not re.search(r"QUICK_|TODO|TBD|\bNOTE\b", text)


def test_the_page_of_speeds_has_been_measured() -> None:
    page = (ROOT / "docs" / "speed.md").read_text("utf-8")
    assert "| what | kdbench | peer | ratio | goal |" in page
    assert page.count("**") >= 16
