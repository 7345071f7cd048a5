"""A page that does not say whose images it shows, and the score of what people answered."""

from __future__ import annotations

import base64
import io
import json
import re
import secrets
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image
from scipy import stats

from kdbench.blind.make import BadPage, make_page
from kdbench.blind.trials import Key, Opponent, Shown, arrange
from kdbench.cli import main
from kdbench.evaluating.question import Question
from kdbench.seeds import seed as derive_seed


def run(*words: object) -> Result:
    return CliRunner().invoke(main, ["eval", *map(str, words)], catch_exceptions=False)


def images(folder: Path, level: int, n: int = 8) -> Path:
    """Grey images of which each is a little lighter, with a corner so that none is constant."""
    folder.mkdir(parents=True)
    for i in range(n):
        pixels = np.full((6, 5), level + i, np.uint8)
        pixels[0, 0] = 255
        Image.fromarray(pixels).save(folder / f"secret-{i}.png")
    return folder


def page_of(folder: Path) -> tuple[str, dict[str, Any], Key]:
    text = (folder / "index.html").read_text()
    found = re.search(r'type="application/json">(.*?)</script>', text, re.S)
    assert found
    key = Key.model_validate_json((folder / "key.json").read_bytes())
    return text, json.loads(found[1]), key


def level(data: str) -> int:
    content = base64.b64decode(data.removeprefix("data:image/png;base64,"))
    return int(np.asarray(Image.open(io.BytesIO(content)))[3, 3])


def answers(path: Path, test: str, said: dict[str, str], person: str = "a") -> Path:
    schema = "kdbench.blind-answers/1"
    saved = {"schema": schema, "test": test, "person": person, "answers": said}
    path.write_text(json.dumps(saved))
    return path


@pytest.fixture
def sides(tmp_path: Path) -> tuple[Path, Path]:
    """A student's images of grey 10 to 17 and its teacher's of 100 to 107, of equal names."""
    return images(tmp_path / "student-x", 10), images(tmp_path / "teacher-y", 100)


def test_the_key_alone_says_which_side_is_whose(sides: tuple[Path, Path], tmp_path: Path) -> None:
    student, teacher = sides
    done = run(student, "--teacher", teacher, "--blind", tmp_path / "page", "--pairs", 6)
    assert done.exit_code == 0, done.output
    text, data, key = page_of(tmp_path / "page")
    assert len(data["trials"]) == len(key.trials) == 6
    for trial in data["trials"]:
        own = key.trials[trial["id"]]
        other = "right" if own.student == "left" else "left"
        assert level(trial[own.student]) < 20
        assert level(trial[other]) == level(trial[own.student]) + 90  # of the same name
        assert own.student_image == own.other_image == f"secret-{level(trial[own.student]) - 10}"
        assert set(trial) == {"id", "left", "right"}
    for word in ("secret", "student-x", "teacher-y", "teacher", "://"):
        assert word not in text
    assert "default-src 'none'" in text


def test_the_same_images_give_the_same_page_again_and_others_are_refused(
    sides: tuple[Path, Path], tmp_path: Path
) -> None:
    student, teacher = sides
    words = (student, "--teacher", teacher, "--pairs", 6, "--blind", tmp_path / "page")
    assert run(*words).exit_code == 0
    first, _, key = page_of(tmp_path / "page")
    assert run(*words).exit_code == 0
    assert page_of(tmp_path / "page")[0] == first
    done = run(*words, "--seed", 1)
    assert done.exit_code == 2
    assert "holds another comparison" in done.output
    assert page_of(tmp_path / "page")[:3:2] == (first, key)
    (tmp_path / "page" / "key.json").unlink()
    done = run(*words)
    assert done.exit_code == 2
    assert "There is no key.json" in done.output
    assert (tmp_path / "page" / "index.html").read_text() == first


def many() -> list[Opponent]:
    image = torch.zeros(1, 4, 4, dtype=torch.uint8)
    pairs = [(Shown(str(i), image + 1), Shown(str(i), image)) for i in range(400)]
    return [Opponent("teacher", "t", pairs)]


def sides_by_image(key: Key) -> dict[str, str]:
    return {trial.student_image: trial.student for trial in key.trials.values()}


def test_pages_of_the_same_images_differ_in_order_and_sides() -> None:
    first, second = (arrange("s", many(), seed=0)[1] for _ in range(2))
    assert first.content == second.content
    assert first.test != second.test
    here, there = sides_by_image(first), sides_by_image(second)
    equal = sum(here[name] == there[name] for name in here)
    assert stats.binomtest(equal, 400).pvalue > 1e-6
    assert list(here) != list(there)


def test_what_a_page_shows_of_itself_does_not_fix_its_sides(
    sides: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    student, teacher = sides
    assert run(student, "--teacher", teacher, "--blind", tmp_path / "page").exit_code == 0
    text, data, key = page_of(tmp_path / "page")
    assert key.secret not in text
    assert key.content[:16] not in text
    assert [trial["id"] for trial in data["trials"]] == [str(i) for i in range(1, 9)]
    monkeypatch.setattr(secrets, "token_hex", lambda _: "0" * 16)  # one test, two secrets
    one, two = (arrange("s", many(), seed=0) for _ in range(2))
    assert one[1].test == two[1].test
    assert [trial.id for trial in one[0]] == [trial.id for trial in two[0]]
    assert sides_by_image(one[1]) != sides_by_image(two[1])
    of_test = np.random.default_rng(derive_seed("blind", one[1].test))
    places = [int(trial.student_image) for trial in one[1].trials.values()]
    assert of_test.permutation(400).tolist() != places
    monkeypatch.setattr(secrets, "token_bytes", lambda n: b"\x01" * n)
    monkeypatch.setattr(secrets, "token_hex", lambda _: "1" * 16)  # two tests, one secret
    three = arrange("s", many(), seed=0)[1]
    monkeypatch.setattr(secrets, "token_hex", lambda _: "2" * 16)
    assert sides_by_image(three) == sides_by_image(arrange("s", many(), seed=0)[1])


def test_sides_are_even_in_the_long_run() -> None:
    trials, key = arrange("s", many(), seed=0)
    left = sum(trial.student == "left" for trial in key.trials.values())
    assert len({trial.id for trial in trials}) == 400
    assert stats.binomtest(left, 400).pvalue > 1e-6  # sides are random in each run
    places = [int(key.trials[trial.id].student_image) for trial in trials]
    assert places != sorted(places)


def test_images_of_other_names_are_matched_by_label_or_at_random(
    sides: tuple[Path, Path], tmp_path: Path
) -> None:
    student, _ = sides
    real = images(tmp_path / "real", 200, n=3)
    (real / "secret-0.png").rename(real / "other.png")
    done = run(student, "--reference", real, "--blind", tmp_path / "page")
    assert done.exit_code == 0, done.output
    _, data, key = page_of(tmp_path / "page")
    assert len(data["trials"]) == 8
    assert {trial.against for trial in key.trials.values()} == {"reference"}
    by_class = []
    for name, start in (("a", 10), ("b", 50)):
        for number in (0, 1):
            images(tmp_path / name / str(number), start + 100 * number, n=3)
        by_class.append(tmp_path / name)
    (by_class[1] / "0" / "secret-0.png").rename(by_class[1] / "0" / "x.png")
    make_page(
        Question(str(by_class[0]), teacher=str(by_class[1])),
        tmp_path / "classes",
        count=24,
        progress=lambda stage, done, total: None,
    )
    _, _, key = page_of(tmp_path / "classes")
    assert len(key.trials) == 6
    for trial in key.trials.values():
        assert trial.student_image.split("/")[0] == trial.other_image.split("/")[0]


def test_answers_are_scored_with_an_interval(sides: tuple[Path, Path], tmp_path: Path) -> None:
    student, teacher = sides
    page = tmp_path / "page"
    assert run(student, "--teacher", teacher, "--blind", page).exit_code == 0
    _, _, key = page_of(page)
    own = {name: trial.student for name, trial in key.trials.items()}
    names = list(own)
    said = {name: own[name] for name in names[:5]}  # five for the student
    said[names[5]] = "right" if own[names[5]] == "left" else "left"
    said[names[6]] = "neither"
    path = answers(tmp_path / "answers.json", key.test, said)
    done = run("--blind", page, "--answers", path, "--json")
    assert done.exit_code == 0, done.output
    (found,) = json.loads(done.stdout)["comparisons"]
    counts = (found["preferred"], found["n"], found["ties"], found["unanswered"])
    assert counts == (5, 6, 1, 1)
    assert found["share"] == 5 / 6
    wilson = stats.binomtest(5, 6).proportion_ci(0.95, method="wilson")
    assert found["interval"]["low"] == pytest.approx(wilson.low)
    assert found["p"] == pytest.approx(0.21875)  # 2 (C(6,5) + C(6,6)) / 64
    shown = run("--blind", page, "--answers", path)
    assert "83%" in shown.output
    other = answers(tmp_path / "other.json", key.test, said, person="b")
    two = run("--blind", page, "--answers", path, "--answers", other)
    assert "not independent" in two.output


def test_answers_that_are_given_twice_are_refused(sides: tuple[Path, Path], tmp_path: Path) -> None:
    student, teacher = sides
    page = tmp_path / "page"
    assert run(student, "--teacher", teacher, "--blind", page).exit_code == 0
    said = {"1": "left", "2": "right"}
    paths = [
        answers(tmp_path / f"{name}.json", page_of(page)[2].test, said, name[0])
        for name in ("b", "a", "a-copy")
    ]
    for given, code in ((paths[:2], 0), ([paths[0], paths[0]], 2), (paths, 2)):
        words = [word for path in given for word in ("--answers", path)]
        done = run("--blind", page, *words)
        assert done.exit_code == code, done.output
    assert "'a.json' and 'a-copy.json' hold the same answers" in done.output


def test_ties_alone_are_nothing_measured(sides: tuple[Path, Path], tmp_path: Path) -> None:
    student, teacher = sides
    page = tmp_path / "page"
    assert run(student, "--teacher", teacher, "--blind", page).exit_code == 0
    _, _, key = page_of(page)
    said = dict.fromkeys(key.trials, "neither")
    path = answers(tmp_path / "answers.json", key.test, said)
    assert run("--blind", page, "--answers", path).exit_code == 4


@pytest.mark.parametrize("wrong", ["test", "trial", "choice", "text"])
def test_answers_to_something_else_are_refused(
    sides: tuple[Path, Path], tmp_path: Path, wrong: str
) -> None:
    student, teacher = sides
    page = tmp_path / "page"
    assert run(student, "--teacher", teacher, "--blind", page).exit_code == 0
    _, _, key = page_of(page)
    name = "0" * 8 if wrong == "trial" else next(iter(key.trials))
    said = {name: "student" if wrong == "choice" else "left"}
    path = answers(tmp_path / "a.json", "0" * 16 if wrong == "test" else key.test, said)
    if wrong == "text":
        path.write_text("left, left, right")
    done = run("--blind", page, "--answers", path)
    assert done.exit_code == 2
    assert ("another page" if wrong in ("test", "trial") else "no answers") in done.output


def test_what_cannot_be_shown_is_said(sides: tuple[Path, Path], tmp_path: Path) -> None:
    student, _ = sides
    assert "somebody to compare with" in run(student, "--blind", tmp_path / "p").output
    toy = ("toy-edm/heun-15", "--teacher", "toy-edm/euler-1", "--blind", tmp_path / "p")
    assert "points and no images" in run(*toy).output
    assert not (tmp_path / "p").exists()
    nothing = run("--blind", tmp_path / "p", "--answers", Path(__file__))
    assert nothing.exit_code == 2
    assert "There is no key.json" in nothing.output
    assert run("--answers", Path(__file__)).exit_code == 2


def test_a_page_that_no_browser_would_like_is_refused(
    sides: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    student, teacher = sides
    monkeypatch.setattr("kdbench.blind.make.MOST", 1000)
    with pytest.raises(BadPage, match="fewer --pairs"):
        make_page(
            Question(str(student), teacher=str(teacher)),
            tmp_path / "page",
            count=8,
            progress=lambda stage, done, total: None,
        )
