"""Metrics that are asked for by name: their full names, and what is refused at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from kdbench.errors import BadSpec, MissingWeights, UnknownName
from kdbench.metrics import requested
from kdbench.metrics.features.base import shared_extractor
from kdbench.metrics.requested import requested_metrics


@pytest.fixture(autouse=True)
def _no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No external weights, whatever is on this machine."""
    for name in ("KDBENCH_WEIGHTS", "KDBENCH_CACHE", "XDG_CACHE_HOME", "TORCH_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def test_names_are_full_and_come_once_in_their_order() -> None:
    names = ["psnr", "vendi[digits-cnn]", "vendi", "vendi@1", "vendi[digits-cnn@1]"]
    assert requested_metrics(names) == ("psnr@1", "vendi[digits-cnn]@1", "vendi@1")
    assert requested_metrics([]) == ()


def test_a_protocol_adds_its_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requested, "protocol_metrics", lambda name: {"p": ("psnr", "vendi")}[name])
    assert requested_metrics(["vendi", "vendi-q2"], ["p"]) == ("vendi@1", "vendi-q2@1", "psnr@1")


@pytest.mark.parametrize(
    ("names", "protocols", "words"),
    [
        (["vendy"], [], "no metric 'vendy'. Did you mean 'vendi'"),
        (["vendi[digits-cmm]"], [], "Did you mean 'digits-cnn"),
        (["psnr"], ["torchmetric"], "no protocol 'torchmetric'. Did you mean 'torchmetrics'"),
    ],
)
def test_unknown_names_are_refused(names: list[str], protocols: list[str], words: str) -> None:
    with pytest.raises(UnknownName) as caught:
        requested_metrics(names, protocols)
    assert words in str(caught.value)


@pytest.mark.parametrize("name", ["psnr[digits-cnn]", "inception-score[digits-cnn]", "", "fd["])
def test_what_is_no_metric_is_refused(name: str) -> None:
    with pytest.raises(BadSpec):
        requested_metrics([name])


@pytest.mark.parametrize(
    "name", ["vendi[inception-v3-compat]", "inception-score", "pairwise-lpips"]
)
def test_missing_weights_are_an_error_with_the_exact_words(name: str) -> None:
    with pytest.raises(MissingWeights, match="kdbench doctor --fetch") as caught:
        requested_metrics(["psnr", name])
    assert caught.value.exit_code == 2


def test_a_task_without_an_extractor_needs_one_named() -> None:
    assert requested_metrics(["vendi"], tasks=["digits@1"]) == ("vendi@1",)
    with pytest.raises(BadSpec, match="toy@1 has no extractor of its own: name one"):
        requested_metrics(["vendi"], tasks=["digits@1", "toy@1"])
    assert requested_metrics(["psnr", "vendi[digits-cnn]"], tasks=["toy@1"])


def test_networks_that_were_only_checked_are_not_kept() -> None:
    shared_extractor.cache_clear()
    requested_metrics(["vendi[digits-aux]"])
    assert shared_extractor.cache_info().currsize == 0
