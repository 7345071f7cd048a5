"""Every method has its card and its page, which says what cards, pairs and records say."""

from __future__ import annotations

import csv
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from kdbench_baselines.cards.__main__ import DOCS, RESULTS, main
from kdbench_baselines.cards.card import FOLDER, Card, Paper, load_cards
from kdbench_baselines.cards.card import Published as Figure
from kdbench_baselines.cards.index import write_index
from kdbench_baselines.cards.marks import text_table
from kdbench_baselines.cards.measured import write_measured
from kdbench_baselines.cards.ours import pairs_of, write_pair, write_unrun
from kdbench_baselines.cards.page import write_page
from kdbench_baselines.cards.parameters import write_parameters
from kdbench_baselines.cards.published import (
    Published,
    outcomes_of,
    published_folders,
    read_published,
)
from kdbench_baselines.cards.trials import write_trials
from kdbench_baselines.cards.verdicts import verdict_table, write_standing
from kdbench_baselines.cards.write import make_pages, stale_pages, write_files

from kdbench import registry
from kdbench.errors import BadSpec, StoreError, UnknownName
from kdbench.keys import resolved_params
from kdbench.report.escape import escape_markdown
from kdbench.statistics import Headroom, Verdict
from kdbench.store import Store, load_records

CARDS = load_cards()
NAMES = [card.method for card in CARDS]
INDEX = DOCS.with_suffix(".md")
COMMAND = "python -m kdbench_baselines.cards --write docs/methods"


@pytest.fixture(scope="module")
def published() -> list[Published]:
    """Of one suite, so that others that are published later change nothing here."""
    return list(read_published(RESULTS / "quick"))


@pytest.fixture(scope="module")
def pages(published: list[Published]) -> dict[Path, str]:
    return make_pages(CARDS, published, DOCS)


@pytest.fixture(scope="module")
def documentation() -> dict[Path, str]:
    folders = published_folders(RESULTS)
    return make_pages(CARDS, [task for f in folders for task in read_published(f)], DOCS)


def page_of(name: str, published: list[Published]) -> str:
    return write_page(card_of(name), published, index="methods.md")


def card_of(name: str) -> Card:
    return next(card for card in CARDS if card.method == name)


def test_every_method_has_a_card_and_every_card_a_method() -> None:
    own = [m["name"] for m in registry.methods.describe() if m["package"] == "kdbench"]
    assert sorted(NAMES) == sorted({name.partition("@")[0] for name in own})


@pytest.mark.parametrize("card", CARDS, ids=NAMES)
def test_a_card_says_whence_its_facts_are(card: Card) -> None:
    for one in card.published:
        assert one.protocol
        assert one.source
    for setting in card.official:
        assert setting.source
    assert card.code or card.code_note
    text = card.model_dump_json()
    assert not re.search(r"\[[MRCAIX]\]", text), "a tag of our notes"


@pytest.mark.parametrize("card", CARDS, ids=NAMES)
def test_a_card_is_about_what_its_method_cites(card: Card) -> None:
    """The papers of the card are those that the method's module names."""
    module = registry.methods.module(card.method)
    path = FOLDER.parent.joinpath(*module.split(".")[1:]).with_suffix(".py")
    family = "".join(p.read_text("utf-8") for p in path.parent.glob("*.py"))
    assert card.papers[0].arxiv in path.read_text("utf-8") + family * (card.method == "adversarial")
    assert all(paper.arxiv in family for paper in card.papers)


def test_the_documentation_is_what_the_command_writes(documentation: dict[Path, str]) -> None:
    assert set(documentation) == {INDEX, *(DOCS / f"{name}.md" for name in NAMES)}
    assert set(DOCS.iterdir()) == set(documentation) - {INDEX}, f"run: {COMMAND}"
    other = [path.name for path, text in documentation.items() if path.read_text("utf-8") != text]
    assert not other, f"run: {COMMAND}"


def test_the_command_prints_and_writes(documentation: dict[Path, str], tmp_path: Path) -> None:
    assert CliRunner().invoke(main, []).output == "\n".join(documentation.values())
    written = CliRunner().invoke(main, ["--write", str(tmp_path / "methods")])
    assert written.exit_code == 0
    found = {path.relative_to(tmp_path): path for path in tmp_path.rglob("*.md")}
    assert {
        DOCS.parent / short: path.read_text("utf-8") for short, path in found.items()
    } == documentation


def test_stale_pages_are_noticed_and_removed(tmp_path: Path) -> None:
    folder = tmp_path / "methods"
    pages = make_pages(CARDS[:2], [], folder)
    write_files(pages, folder)
    (folder / "notes.md").write_text("somebody's own\n")
    assert stale_pages(pages, folder) == []
    fewer = make_pages(CARDS[:1], [], folder)
    gone = folder / f"{CARDS[1].method}.md"
    assert stale_pages(fewer, folder) == [gone]
    write_files(fewer, folder)
    assert not gone.exists()
    assert {path.name for path in folder.iterdir()} == {f"{CARDS[0].method}.md", "notes.md"}


@pytest.mark.parametrize("card", CARDS, ids=NAMES)
def test_every_card_has_its_page(pages: dict[Path, str], card: Card) -> None:
    own = pages[DOCS / f"{card.method}.md"]
    assert f"# {card.method}\n" in own
    assert escape_markdown(card.idea) in own
    for line in card.equation.strip("\n").splitlines():
        assert f"    {line}\n" in own
    for text in (*card.differs, *card.tried, *(one.protocol for one in card.published)):
        assert escape_markdown(text) in own
    for pair in pairs_of(card.method):
        assert f"[{escape_markdown(pair.name)}](../../baselines/" in own
        assert escape_markdown(pair.summary) in own
        if not pair.unrun:
            assert f"tuning trials: {pair.tuning.trials}" in own
            assert all(escape_markdown(control) in own for control in pair.controls)


def test_links_lead_somewhere(pages: dict[Path, str]) -> None:
    links = [
        (path, link)
        for path, text in pages.items()
        for link in re.findall(r"(?<!\\)\]\(([^)]+)\)", text)
        if not link.startswith("https://arxiv.org/abs/")
    ]
    assert len(links) > 3 * len(NAMES)
    assert [link for path, link in links if not (path.parent / link).is_file()] == []


def test_tables_are_rectangular(pages: dict[Path, str]) -> None:
    blocks = [b for t in pages.values() for b in re.findall(r"(?:^\|.*\n)+", t, flags=re.MULTILINE)]
    assert len(blocks) > 2 * len(NAMES)
    for block in blocks:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1, block


def test_parameters_are_resolved_and_stand_beside_the_official_ones() -> None:
    (pair,) = (pair for pair in pairs_of("luhman") if pair.name == "toy-luhman")
    assert "sampler" not in (pair.method.params if pair.method else {})
    assert resolved_params(pair)["sampler"] == "heun@1"
    table, defaults = write_parameters(card_of("luhman"), [pair])
    assert "| parameter | official, CIFAR-10 | toy-luhman |" in table
    assert "| sampler | DDIM, 100 quadratic steps | heun@1 |" in table
    assert "| pairs | 1.024 million | 5,000 |" in table
    assert "| loss | absolute error | — |" in table
    assert "| precision |" not in table, "a default that no official value stands beside"
    assert defaults.startswith("Our defaults, no official value known: ")
    assert "precision fp32" in defaults
    assert "pairs" not in defaults
    moved = pair.model_copy(
        update={"budget": pair.budget and pair.budget.model_copy(update={"precision": "bf16"})}
    )
    assert "| precision | — | bf16 |" in write_parameters(card_of("luhman"), [moved])[0]


def test_a_parameter_of_the_name_of_a_budget_s_keeps_its_official_value() -> None:
    """The bound of the target of `shortcut` is no gradient norm."""
    (pair,) = (pair for pair in pairs_of("shortcut") if pair.name == "digits-shortcut")
    table, below = write_parameters(card_of("shortcut"), [pair])
    assert "| clip | 4 (of the target) | 4 |" in table
    assert "budget.clip 1" in below.replace("\\", "")


def test_what_pairs_have_in_common_stands_once() -> None:
    pairs = [pair for pair in pairs_of("progressive") if pair.task == "digits@1"]
    table, shared, defaults = write_parameters(card_of("progressive"), pairs)
    assert shared.startswith("In all of ours: network ")
    assert "precision fp32" in defaults
    assert "precision" not in shared
    assert "| precision |" not in table
    assert "| calls |" in table
    assert "| clip | 1 |" in table, "an official value stands beside it"


def test_a_trial_is_one_row_with_a_column_an_arm() -> None:
    pairs = [pair for pair in pairs_of("luhman") if pair.name == "digits-luhman"]
    text = "\n".join(write_trials(pairs))
    assert "digits-luhman: kid-stratified@1, one training seed." in text
    assert "| pairs-40k | method.params.pairs = 40,000 | 0.0262 |" in text
    assert "digits-gan-scratch" not in text
    moved = pairs[0].model_copy(
        update={"tuning": pairs[0].tuning.model_copy(update={"record": "none.json"})}
    )
    assert write_trials([moved])[1:] == ["- none.json is not written yet."]


def test_trials_of_several_arms_and_seeds(tmp_path: Path) -> None:
    (pair,) = (pair for pair in pairs_of("luhman") if pair.name == "digits-luhman")
    row: dict[str, object] = {
        "pair": pair.name,
        "label": "a|b",
        "set": {},
        "metric": "m@1",
        "reason": None,
    }
    rows: list[dict[str, object]] = [
        {**row, "arm": "four", "nfe": 4, "seed": 100, "validation": 0.25},
        {**row, "arm": "one", "nfe": 1, "seed": 100, "validation": 0.5},
        {**row, "arm": "one", "nfe": 1, "seed": 101, "validation": None, "reason": "diverged"},
    ]
    (tmp_path / str(pair.tuning.record)).write_text(json.dumps(rows))
    _, title, table = write_trials([pair], tmp_path)
    assert title == "digits-luhman: m@1, 2 training seeds."
    assert table.splitlines() == [
        "| trial | changed | one, calls: 1 | four, calls: 4 |",
        "| --- | --- | ---: | ---: |",
        "| a\\|b, seed 100 | nothing | 0.5 | 0.25 |",
        "| a\\|b, seed 101 | nothing | —<sup>1</sup> |  |",
        "",
        "1. a\\|b: diverged",
    ]


def test_what_was_never_run_is_told() -> None:
    (pair,) = (pair for pair in pairs_of("luhman") if pair.name == "digits-luhman")
    assert "never run" not in write_pair(pair)
    told = write_pair(pair.model_copy(update={"unrun": "needs a GPU"}))
    assert "- never run as it is: needs a GPU\n" in told


def test_pairs_that_were_never_run_take_a_line_each() -> None:
    unrun = [pair for pair in pairs_of("luhman") if pair.unrun]
    _, lines, *tables = write_unrun(card_of("luhman"), unrun)
    assert len(lines.splitlines()) == len(unrun)
    for pair, line in zip(unrun, lines.splitlines(), strict=True):
        assert line.startswith(f"- [{pair.name}](../../baselines/{pair.task.split('@')[0][:7]}")
        assert f", {pair.unrun}: {escape_markdown(pair.summary)}" in line
    headers = [line for table in tables for line in table.splitlines() if "| parameter" in line]
    assert any("cifar10-official-luhman" in header for header in headers)
    assert not any("cifar10-luhman" in header for header in headers)


# ---------------------------------------------------------------- records


def test_without_records_nothing_is_measured() -> None:
    index = write_index(CARDS, [], folder="methods")
    assert index.count("| **Not shown to work** | not measured yet |") == len(NAMES)
    assert "±" not in index
    assert "Published suites that are read here: none." in index
    assert "**Not shown to work**: not measured yet." in page_of("luhman", [])


def test_verdicts_are_those_of_the_published_report(pages: dict[Path, str]) -> None:
    page = "\n".join(pages.values())
    with (RESULTS / "quick" / "comparisons.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert rows
    questions = {
        "anchor": "training without a teacher",
        "few_step": "the teacher with as many calls",
        "teacher": "the reference teacher",
    }
    for row in rows:
        for key, words in questions.items():
            found = re.findall(
                rf"^\| {re.escape(row['student'])} \| {words} \| (.+?) \|.*\| (.+?) \|$",
                page,
                flags=re.MULTILINE,
            )
            assert (row[key], row[f"{key}_verdict"]) in found
        assert f"- {row['student']}: {escape_markdown(row['gain'])}" in page


def test_values_are_those_of_the_published_report(pages: dict[Path, str]) -> None:
    board = (RESULTS / "quick" / "leaderboard.md").read_text("utf-8")
    own = pages[DOCS / "luhman.md"]
    assert "| pair/arm | role | calls | parameters | stratified KID ↓ | seeds |" in own
    row = next(
        line for line in board.splitlines() if line.startswith("| student | digits-luhman@1")
    )
    value = row.split("|")[6].strip()
    assert "±" in value
    assert f"| digits-luhman@1/student | student | 1 | 82.1k | {value} | 3/3 |" in own
    assert "n = 1,000 generated against 500 reference images" in own
    line = next(line for line in pages[INDEX].splitlines() if "(methods/luhman.md)" in line)
    assert f"| digits@1 stratified KID {value}, 1 call |" in line
    assert "| **Not shown to work** | no gain claimed: not separated (1 of 1) |" in line


def test_records_lie_in_the_folder_or_beside_it(tmp_path: Path) -> None:
    records = [r for r in load_records(RESULTS / "records") if "luhman" in r.identity.pair]
    for home in (tmp_path / "beside", tmp_path / "within" / "quick"):
        store = Store(home)
        for record in records:
            store.put_record(record)
    (tmp_path / "beside" / "quick").mkdir()
    (tmp_path / "beside" / "no-suite").mkdir()
    assert published_folders(tmp_path / "beside") == (tmp_path / "beside" / "quick",)
    beside = read_published(tmp_path / "beside" / "quick")
    within = read_published(tmp_path / "within" / "quick")
    assert [one.rows for one in beside] == [one.rows for one in within]
    assert beside[0].suite == "quick@1"
    with pytest.raises(UnknownName):
        read_published(tmp_path / "beside" / "no-suite")
    (tmp_path / "empty" / "quick").mkdir(parents=True)
    with pytest.raises(StoreError, match="no records"):
        read_published(tmp_path / "empty" / "quick")


def test_records_of_other_settings_are_marked(published: list[Published]) -> None:
    assert "recorded with other values" not in page_of("luhman", published)
    changed = [record.model_copy(deep=True) for row in published[0].rows for record in row.records]
    for record in changed:
        if record.identity.pair == "digits-luhman@1":
            record.identity.params["pairs"] = 7
            assert record.training
            record.training.steps = 11
    row = next(r for r in published[0].rows if r.identity.pair == "digits-luhman@1")
    own = tuple(r for r in changed if r.identity.pair == "digits-luhman@1")
    rows = tuple(type(row)(own) if one is row else one for one in published[0].rows)
    one = Published(published[0].suite, published[0].facts, rows, ())
    told = page_of("luhman", [one])
    assert "recorded with other values of pairs; recorded after 11 updates" in told


def test_a_method_that_fails_is_said_to(published: list[Published]) -> None:
    outcomes = [o for one in published for o in one.outcomes if o.student is not None]
    lost = [o for o in outcomes if o.gain == "no gain claimed: not separated"]
    assert lost
    said = write_standing(lost[:1], kind="distillation", measured=True)
    reason = "no gain claimed: not separated"
    assert said == ("Not shown to work", f"{reason} (1 of 1)")
    won = replace(
        lost[0],
        against_anchor=replace(lost[0].against_anchor, verdict=Verdict("better", "indication")),
        against_fewer_calls=replace(lost[0].against_fewer_calls, opponent=None),
        headroom=Headroom(1.0, 1.0, 0.0, 3),
    )
    name = lost[0].student.label if lost[0].student else ""
    assert write_standing([*lost[:1], won], kind="distillation", measured=True) == (
        "Shown in 1 of 2 named comparisons",
        f"{name}: gain (indication); {reason} (1 of 2)",
    )
    untested = replace(won, against_anchor=replace(won.against_anchor, verdict=None, reason="r"))
    _, why = write_standing([untested], kind="distillation", measured=True)
    assert why == "nothing claimed: r (1 of 1)"
    none = write_standing([], kind="distillation", measured=True)
    assert none == ("Not shown to work", "measured, but in no named comparison")
    assert write_standing([], kind="control", measured=True)[0] == "A control"
    assert write_standing(lost, kind="control", measured=False)[0] == "Not shown to work"


def test_of_several_suites_the_one_with_most_comparisons_counts(
    published: list[Published],
) -> None:
    (one,) = published
    pairs = pairs_of("luhman")
    (own,) = outcomes_of([one], pairs)
    other = replace(own, gap=replace(own.gap, reason="of the smaller suite"))
    smaller = replace(one, outcomes=(other,))
    assert outcomes_of([one, smaller], pairs) == outcomes_of([smaller, one], pairs) == [own]
    absent = tuple(replace(outcome, student=None) for outcome in one.outcomes)
    assert outcomes_of([replace(one, outcomes=absent), smaller], pairs) == [other]


def test_rows_that_suites_share_stand_once(published: list[Published]) -> None:
    (one,) = published
    pairs = [pair for pair in pairs_of("luhman") if pair.task == "digits@1"]
    smaller = replace(one, suite="smaller@1", outcomes=one.outcomes[:1])
    told = "\n".join(write_measured([smaller, one], pairs))
    assert told.count("| digits-luhman@1/student | student | 1 |") == 1
    assert "Measured in quick@1:" in told
    assert "Measured in smaller@1:" not in told


def test_a_student_that_was_not_run_has_no_row_of_dashes(published: list[Published]) -> None:
    (one,) = published
    absent = replace(outcomes_of([one], pairs_of("luhman"))[0], student=None)
    assert verdict_table([absent]).startswith("- digits-luhman/student: ")


# ---------------------------------------------------------------- a stranger's card


def test_text_of_cards_is_literal() -> None:
    hostile = "a | b <script> **c** [x](y) `z`"
    card = CARDS[0].model_copy(
        update={
            "idea": f"A {hostile}.",
            "differs": (hostile,),
            "tried": (hostile,),
            "papers": (Paper(reference=hostile, arxiv="2101.02388", where=hostile),),
            "published": (
                Figure(value=hostile, metric="m", task="t", calls="1", protocol="p", source="s"),
            ),
        }
    )
    told = write_page(card, [], index="methods.md")
    assert "<script>" not in told
    assert told.count(escape_markdown(hostile)) == 6
    assert "| b" not in text_table(["a | b"], [["c"]]).replace("\\|", "")


def test_wrong_cards_are_refused(tmp_path: Path) -> None:
    shutil.copy(FOLDER / "sid.toml", tmp_path / "dmd.toml")
    with pytest.raises(BadSpec, match="describes 'sid'"):
        load_cards(tmp_path)
    text = (FOLDER / "sid.toml").read_text("utf-8")
    (tmp_path / "dmd.toml").unlink()
    (tmp_path / "sid.toml").write_text(text.replace("protocol", "protocoll", 1))
    with pytest.raises(BadSpec, match="protocoll"):
        load_cards(tmp_path)
    (tmp_path / "sid.toml").write_text(text.replace('["https://', '["javascript:'))
    with pytest.raises(BadSpec, match="code"):
        load_cards(tmp_path)
