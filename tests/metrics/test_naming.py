"""How metrics are written, and what cannot be written."""

from __future__ import annotations

import pytest

from kdbench.errors import BadSpec, UnknownName
from kdbench.metrics.base import Use
from kdbench.metrics.naming import judge_of, measured_name, parse_use, shared_metric


@pytest.mark.parametrize("text", ["fd", "fd@1", " fd@1 "])
def test_a_name_stands_for_its_newest_version(text: str) -> None:
    assert parse_use(text, n=5) == Use("fd@1", n=5)


@pytest.mark.parametrize("text", ["fd[digits-cnn]", "fd[digits-cnn@1]@1"])
def test_an_extractor_may_be_named(text: str) -> None:
    use = parse_use(text, n=5)
    assert use == Use("fd@1", n=5, extractor="digits-cnn@1")
    assert measured_name(shared_metric("fd@1"), use) == "fd[digits-cnn]@1"


@pytest.mark.parametrize("text", ["fd[", "fd[]", "[x]", "fd@one", "fd]x[", ""])
def test_what_is_not_written_like_a_metric_is_refused(text: str) -> None:
    with pytest.raises(BadSpec, match="is not a metric"):
        parse_use(text, n=5)


def test_unknown_names_have_the_closest_one() -> None:
    with pytest.raises(UnknownName, match="recall"):
        parse_use("recal", n=5)
    with pytest.raises(UnknownName, match="digits-cnn"):
        parse_use("fd[digit-cnn]", n=5)


def test_fid_means_one_network() -> None:
    use = parse_use("fid[digits-cnn]", n=5)
    with pytest.raises(BadSpec, match="inception-v3-compat"):
        measured_name(shared_metric("fid@1"), use)
    with pytest.raises(BadSpec, match="takes no extractor"):
        measured_name(shared_metric("psnr@1"), Use("psnr@1", n=5, extractor="digits-cnn@1"))


def test_a_metric_without_an_extractor_needs_the_tasks() -> None:
    fd = shared_metric("fd@1")
    with pytest.raises(BadSpec, match=r"fd\[inception-v3-compat\]"):
        judge_of(fd, Use("fd@1", n=5), default=None)
    found = judge_of(fd, Use("fd@1", n=5), default="digits-cnn@1")
    assert found is not None
    assert found.id.startswith("digits-cnn@1:")
    assert judge_of(shared_metric("psnr@1"), Use("psnr@1", n=5), default=None) is None
