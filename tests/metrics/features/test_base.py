"""Extractors: what they promise a metric whatever the rest of the process does."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from random_weights import pickled
from torch import Tensor, nn

from kdbench import registry
from kdbench.errors import BadSpec, UnknownName
from kdbench.metrics.features.base import (
    Extractor,
    Prepared,
    frozen_extractor,
    published_state,
    shared_extractor,
    watch_extractors,
)
from kdbench.metrics.measure import extract
from kdbench.weights import weights_id

Publish = Callable[[str, bytes], Path]
IMAGES = torch.zeros(3, 1, 8, 8, dtype=torch.uint8)


class Sums(nn.Module):
    """Calls `look` while it is asked."""

    def __init__(self, look: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.look = look

    def forward(self, images: Tensor) -> tuple[Tensor, None]:
        self.look()
        return images.float().sum(dim=(2, 3)) * self.weight, None


@pytest.fixture
def _no_extractor_loaded() -> Iterator[None]:
    shared_extractor.cache_clear()
    yield
    shared_extractor.cache_clear()


def settings() -> dict[str, Any]:
    backends: Any = torch.backends
    return {
        "deterministic": backends.cudnn.deterministic,
        "benchmark": backends.cudnn.benchmark,
        "conv": backends.cudnn.conv.fp32_precision,
        "matmul": backends.cuda.matmul.fp32_precision,
        "cpu conv": backends.mkldnn.conv.fp32_precision,
        "cpu matmul": backends.mkldnn.matmul.fp32_precision,
        "autocast": torch.is_autocast_enabled("cpu"),
    }


def test_features_are_float32_whatever_a_method_has_set() -> None:
    seen: list[dict[str, Any]] = []
    extractor = Extractor("sums@1:0", Sums(lambda: seen.append(settings())))
    try:
        torch.set_float32_matmul_precision("medium")
        with torch.autocast("cpu", dtype=torch.bfloat16):
            before = settings()
            extractor(IMAGES)
            assert settings() == before
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")
    full = dict.fromkeys(("conv", "matmul", "cpu conv", "cpu matmul"), "ieee")
    assert seen == [{"deterministic": True, "benchmark": False, "autocast": False, **full}]
    assert before["matmul"] == "tf32"
    assert before["autocast"]


def test_settings_come_back_after_an_error() -> None:
    def fail() -> None:
        raise ValueError("no")

    before = settings()
    with pytest.raises(ValueError, match="no"):
        Extractor("sums@1:0", Sums(fail))(IMAGES)
    assert settings() == before


def test_asking_is_seen_by_those_who_watch() -> None:
    first, second = Extractor("sums@1:0", Sums()), Extractor("sums@2:0", Sums())
    with watch_extractors() as outer:
        with watch_extractors() as inner:
            first(IMAGES)
        second(IMAGES)
        with watch_extractors() as later:
            pass
    assert (outer, inner, later) == ({"sums@1:0", "sums@2:0"}, {"sums@1:0"}, set())


def test_a_moved_extractor_is_the_same_one() -> None:
    extractor = Extractor("sums@1:0", Sums())
    assert extractor.device == torch.device("cpu")
    assert extractor.on("meta") is extractor
    assert extractor.device == torch.device("meta")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_images_go_where_the_network_is() -> None:
    extractor = Extractor("sums@1:0", Sums()).on("cuda")
    assert extractor(IMAGES)[0].device == extractor.device
    held = extract(extractor, IMAGES, torch.zeros(3, dtype=torch.int64), chunk=2)
    assert held.features is not None
    assert held.features.device == torch.device("cpu")


def test_a_network_never_sees_more_images_at_once_than_it_says() -> None:
    seen: list[int] = []

    class Counts(nn.Module):
        def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
            seen.append(len(images))
            return images.float().mean((2, 3)), images.float().amax((2, 3))

    images = torch.arange(7, dtype=torch.uint8).view(7, 1, 1, 1).expand(7, 1, 2, 2)
    features, logits = Extractor("counts@1:0", Counts(), at_once=3)(images)
    assert seen == [3, 3, 1]
    assert logits is not None
    assert features.flatten().tolist() == logits.flatten().tolist() == list(range(7))
    assert Extractor("counts@1:0", Counts(), at_once=3)(images[:0])[0].shape == (0, 1)


def test_a_network_without_parameters_is_on_the_cpu() -> None:
    network = Prepared(lambda images: images.float(), nn.Flatten())
    features, _ = Extractor("pixels@1:0", network)(IMAGES)
    assert features.shape == (3, 64)


def test_extracted_features_are_on_the_cpu_without_logits() -> None:
    labels = torch.zeros(3, dtype=torch.int64)
    held = extract(Extractor("sums@1:0", Sums()), IMAGES + 2, labels, chunk=2)
    assert held.features is not None
    assert torch.equal(held.features, torch.full((3, 1), 128.0))
    assert held.logits is None


def test_a_frozen_extractor_has_the_hash_of_its_weights() -> None:
    extractor = frozen_extractor("sums-twice@3", Sums(), weights="digits-cnn")
    assert extractor.id == f"sums-twice@3:{weights_id('digits-cnn').partition(':')[2]}"
    assert not extractor.network.training
    assert not any(p.requires_grad for p in extractor.network.parameters())


@pytest.mark.usefixtures("_no_extractor_loaded")
def test_an_extractor_is_loaded_once() -> None:
    assert shared_extractor("digits-cnn@1") is shared_extractor("digits-cnn@1")
    assert shared_extractor("digits-cnn@1").id.startswith("digits-cnn@1:")


@pytest.mark.usefixtures("_no_extractor_loaded")
def test_what_makes_no_extractor_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry.extractors, "load", lambda name: Sums)
    with pytest.raises(BadSpec, match="'sums@1' does not make a kdbench extractor"):
        shared_extractor("sums@1")


@pytest.mark.usefixtures("_no_extractor_loaded")
def test_an_unknown_extractor_gets_the_closest_name() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'digits-cnn"):
        shared_extractor("digit-cnn")


@pytest.mark.parametrize("old", [False, True])
def test_a_state_dict_is_read_in_both_formats_of_torch(published: Publish, old: bool) -> None:
    state = {"weight": torch.arange(6.0).view(2, 3), "bias": torch.ones(2)}
    published("sums", pickled(state, old=old))
    found = published_state("sums")
    assert list(found) == ["weight", "bias"]
    assert all(torch.equal(found[name], state[name]) for name in state)


class _Code:
    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("code ran",)


def test_code_in_a_published_file_is_not_run(
    published: Publish, capsys: pytest.CaptureFixture[str]
) -> None:
    buffer = io.BytesIO()
    torch.save({"weight": _Code()}, buffer)
    published("sums", buffer.getvalue())
    with pytest.raises(pickle.UnpicklingError):
        published_state("sums")
    assert capsys.readouterr().out == ""
