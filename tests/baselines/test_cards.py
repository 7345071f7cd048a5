"""Every method has its card, and the page of all cards says what cards, pairs and records say."""

from __future__ import annotations

import csv
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from kdbench_baselines.cards.__main__ import RESULTS, main
from kdbench_baselines.cards.card import FOLDER, Card, Paper, load_cards
from kdbench_baselines.cards.card import Published as Figure
from kdbench_baselines.cards.marks import text_table
from kdbench_baselines.cards.measured import Published, published_folders, read_published
from kdbench_baselines.cards.ours import (
    pairs_of,
    resolved_params,
    write_pair,
    write_parameters,
    write_trials,
)
from kdbench_baselines.cards.page import write_card, write_page
from kdbench_baselines.cards.verdicts import write_standing

from kdbench import registry
from kdbench.errors import BadSpec, StoreError, UnknownName
from kdbench.report.escape import escape_markdown
from kdbench.statistics import Headroom, Verdict
from kdbench.store import Store, load_records

CARDS = load_cards()
NAMES = [card.method for card in CARDS]
PAGE = Path(__file__).parents[2] / "docs" / "methods.md"


@pytest.fixture(scope="module")
def published() -> list[Published]:
    return [task for folder in published_folders(RESULTS) for task in read_published(folder)]


@pytest.fixture(scope="module")
def page(published: list[Published]) -> str:
    return write_page(CARDS, published)


def entry(page: str, name: str) -> str:
    _, _, after = page.partition(f"### `{name}`\n")
    return re.split(r"^###? ", after, maxsplit=1, flags=re.MULTILINE)[0]


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


def test_the_page_of_the_documentation_is_what_the_command_writes(page: str) -> None:
    assert PAGE.read_text("utf-8") == page, (
        "run: python -m kdbench_baselines.cards --write docs/methods.md"
    )


def test_the_command_prints_and_writes(page: str, tmp_path: Path) -> None:
    assert CliRunner().invoke(main, []).output == page + "\n"
    path = tmp_path / "methods.md"
    written = CliRunner().invoke(main, ["--write", str(path)])
    assert written.exit_code == 0
    assert path.read_text("utf-8") == page


@pytest.mark.parametrize("card", CARDS, ids=NAMES)
def test_every_card_is_on_the_page(page: str, card: Card) -> None:
    assert page.count(f"### `{card.method}`\n") == 1
    own = entry(page, card.method)
    assert escape_markdown(card.idea) in own
    for line in card.equation.strip("\n").splitlines():
        assert f"    {line}\n" in own
    for text in (*card.differs, *card.tried, *(one.protocol for one in card.published)):
        assert escape_markdown(text) in own
    for pair in pairs_of(card.method):
        assert f"**{escape_markdown(pair.name)}**: {escape_markdown(pair.summary)}" in own
        assert f"tuning trials: {pair.tuning.trials}" in own
        for control in pair.controls:
            assert escape_markdown(control) in own


def test_tables_are_rectangular(page: str) -> None:
    blocks = re.findall(r"(?:^\|.*\n)+", page, flags=re.MULTILINE)
    assert len(blocks) > 2 * len(NAMES)
    for block in blocks:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1, block


def test_parameters_are_resolved_and_stand_beside_the_official_ones() -> None:
    (card,) = (card for card in CARDS if card.method == "luhman")
    (pair,) = (pair for pair in pairs_of("luhman") if pair.name == "toy-luhman")
    assert "sampler" not in (pair.method.params if pair.method else {})
    assert resolved_params(pair)["sampler"] == "heun@1"
    table = write_parameters(card, [pair])[1]
    assert "| parameter | official, CIFAR-10 | toy-luhman |" in table
    assert "| sampler | DDIM, 100 quadratic steps | heun@1 |" in table
    assert "| pairs | 1.024 million | 5,000 |" in table
    assert "| loss | absolute error | — |" in table


def test_what_pairs_have_in_common_stands_once() -> None:
    (card,) = (card for card in CARDS if card.method == "progressive")
    pairs = [pair for pair in pairs_of("progressive") if pair.task == "digits@1"]
    title, table, shared = write_parameters(card, pairs)[:3]
    assert title == "Parameters on digits@1:"
    assert "precision fp32" in shared
    assert "| precision |" not in table
    assert "| calls |" in table
    assert "| clip | 1 |" in table, "an official value stands beside it"


def test_trials_are_shown_with_what_was_changed() -> None:
    pairs = [pair for pair in pairs_of("luhman") if pair.name == "digits-luhman"]
    _, table = write_trials(pairs)
    assert (
        "| digits-luhman/student | pairs-40k | method.params.pairs = 40,000 | 1 | 0.0262 |" in table
    )
    assert "digits-gan-scratch" not in table
    moved = pairs[0].model_copy(
        update={"tuning": pairs[0].tuning.model_copy(update={"record": "none.json"})}
    )
    assert write_trials([moved]) == ["- none.json is not written yet."]


def test_what_was_never_run_is_told() -> None:
    (pair,) = (pair for pair in pairs_of("luhman") if pair.name == "digits-luhman")
    assert "never run" not in write_pair(pair)
    told = write_pair(pair.model_copy(update={"unrun": "needs a GPU"}))
    assert "- never run as it is: needs a GPU\n" in told


# ---------------------------------------------------------------- records


def test_without_records_nothing_is_measured() -> None:
    page = write_page(CARDS, [])
    assert page.count("| not yet measured |") == len(NAMES)
    assert "± " not in re.sub(r"with 95 %.*\n", "", page)
    assert "Published suites that are read here: none." in page


def test_verdicts_are_those_of_the_published_report(page: str) -> None:
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


def test_values_are_those_of_the_published_report(page: str) -> None:
    board = (RESULTS / "quick" / "leaderboard.md").read_text("utf-8")
    own = entry(page, "luhman")
    assert "| pair/arm | role | calls | parameters | stratified KID ↓ | seeds |" in own
    row = next(
        line for line in board.splitlines() if line.startswith("| student | digits-luhman@1")
    )
    value = row.split("|")[6].strip()
    assert "±" in value
    assert f"| digits-luhman@1/student | student | 1 | 82.1k | {value} | 3/3 |" in own
    assert "n = 1,000 generated against 500 reference images" in own


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
    (card,) = (card for card in CARDS if card.method == "luhman")
    assert "recorded with other values" not in write_card(card, published)
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
    told = write_card(card, [one])
    assert "recorded with other values of pairs; recorded after 11 updates" in told


def test_a_method_that_fails_is_said_to(published: list[Published], page: str) -> None:
    outcomes = [o for one in published for o in one.outcomes if o.student is not None]
    lost = [o for o in outcomes if not o.gain.startswith("gain (")]
    assert lost
    said = write_standing(lost[:1], kind="distillation", measured=True)
    assert said == f"not shown to work: {lost[0].gain} (1 of 1)"
    won = replace(
        lost[0],
        against_anchor=replace(lost[0].against_anchor, verdict=Verdict("better", "indication")),
        against_fewer_calls=replace(lost[0].against_fewer_calls, opponent=None),
        headroom=Headroom(1.0, 1.0, 0.0, 3),
    )
    name = lost[0].student.label if lost[0].student else ""
    both = write_standing([*lost[:1], won], kind="distillation", measured=True)
    assert both == f"shown in 1 of 2 named comparisons ({name}: gain (indication))"
    assert write_standing([], kind="distillation", measured=True).endswith("no verdict")
    assert write_standing(lost, kind="distillation", measured=False) == "not yet measured"


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
    told = write_card(card, [])
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
