"""Precision, recall, density and coverage against prdc, torch-fidelity and piq."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from kdbench.errors import NothingMeasured
from kdbench.metrics import prdc as module
from kdbench.metrics.base import Metric, Tensors, Use
from kdbench.metrics.measure import measure
from kdbench.metrics.neighbours import neighbours

NAMES = ("precision", "recall", "density", "coverage")
BY_K = {
    5: [module.precision, module.recall, module.density, module.coverage],
    3: [module.precision_k3, module.recall_k3, module.density_k3, module.coverage_k3],
}
TF = [module.precision_tf, module.recall_tf]


def draw(n: int, d: int, *, seed: int) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def lattice(n: int, d: int, *, seed: int) -> Tensor:
    """Small whole numbers: copies, and many points on the rim of many balls."""
    return torch.randint(4, (n, d), generator=torch.Generator().manual_seed(seed)).float()


def shrunk_mixture(n: int, spread: float, *, seed: int) -> Tensor:
    return 6 * draw(10, 8, seed=0).repeat(n // 10, 1) + spread * draw(n, 8, seed=seed)


PAIRS = {
    "shifted": (draw(300, 64, seed=1) + 0.1, draw(300, 64, seed=2)),
    "one distribution": (draw(500, 64, seed=1), draw(500, 64, seed=2)),
    "shrunk modes": (shrunk_mixture(300, 0.5, seed=1), shrunk_mixture(300, 1.0, seed=2)),
    "not negative": (draw(300, 500, seed=1).relu(), draw(300, 500, seed=2).relu()),
    "copies and rims": (lattice(200, 4, seed=1), lattice(200, 4, seed=2)),
    "one feature": (draw(100, 1, seed=1), draw(100, 1, seed=2)),
    "its own reference": (draw(150, 8, seed=1), draw(150, 8, seed=1)),
    "collapsed": (lattice(1, 6, seed=1).repeat(200, 1), lattice(200, 6, seed=2)),
    "of all sizes": (
        draw(200, 6, seed=1) * torch.logspace(-3, 3, 200)[:, None],
        draw(200, 6, seed=2) * torch.logspace(-3, 3, 200)[:, None],
    ),
}


def values(metrics: list[Metric], x: Any, y: Any) -> list[float]:
    found: list[Any] = [metric(x, y) for metric in metrics]
    return [estimate.value for estimate in found]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("k", [3, 5])
@pytest.mark.parametrize("name", PAIRS)
def test_equal_prdc_exactly(
    image_set: Any, name: str, k: int, dtype: torch.dtype, capsys: pytest.CaptureFixture[str]
) -> None:
    peer = pytest.importorskip("prdc")
    x, y = (features.to(dtype) for features in PAIRS[name])
    theirs = peer.compute_prdc(y.numpy(), x.numpy(), k)
    capsys.readouterr()  # it prints
    ours = values(BY_K[k], image_set(x), image_set(y))
    assert ours == [float(theirs[name]) for name in NAMES]


@pytest.mark.parametrize("name", PAIRS)
def test_equal_torch_fidelity(image_set: Any, name: str) -> None:
    peer = pytest.importorskip("torch_fidelity.metric_prc")
    x, y = PAIRS[name]
    theirs = peer.prc_features_to_metric(x, y, verbose=False)
    ours = values(TF, image_set(x), image_set(y))
    assert ours == pytest.approx([theirs["precision"], theirs["recall"]], abs=1e-6)


def fifth_neighbour(points: Tensor, i: int) -> int:
    return int((points - points[i]).square().sum(1).argsort()[5])


def test_a_collapsed_generator_recalls_nothing_where_peers_see_something(image_set: Any) -> None:
    """500 copies of one image: torch-fidelity and piq let some real images in."""
    fidelity, piq = pytest.importorskip("torch_fidelity.metric_prc"), pytest.importorskip("piq")
    real = draw(500, 64, seed=1)
    copied = fifth_neighbour(real, 7)
    copies = real[copied].repeat(500, 1)
    x, y = image_set(copies), image_set(real)
    assert values(BY_K[5][:2], x, y) == [1.0, 0.0]
    assert fidelity.calculate_precision_recall_full(copies, real, 5)[1] == pytest.approx(0.002)
    assert float(piq.PR(5).compute_metric(real, copies)[1]) > 0


def test_recall_looks_at_the_generated_balls_as_piq_does_not(
    image_set: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """piq 0.8.0 also lets a real image in that has a generated one on the rim of its own ball."""
    piq, peer = pytest.importorskip("piq"), pytest.importorskip("prdc")
    real, generated = draw(500, 64, seed=1), 0.6 * draw(500, 64, seed=2)
    out = int(neighbours(generated, real)[5].reached.argmin())
    generated[0] = real[fifth_neighbour(real, out)]
    ours = values(BY_K[5], image_set(generated), image_set(real))[1]
    assert ours == float(peer.compute_prdc(real.numpy(), generated.numpy(), 5)["recall"])
    assert float(piq.PR(5).compute_metric(real, generated)[1]) > ours + 0.001


def test_two_samples_of_one_distribution_have_no_fixed_top_mark(image_set: Any) -> None:
    """500 images: precision and recall depend on the features; density and coverage do not."""
    for d, expected in ((64, 0.76), (4, 0.95)):
        pairs = [[image_set(draw(500, d, seed=2 * i + j)) for j in (0, 1)] for i in range(6)]
        precision, recall, density, coverage = np.mean([values(BY_K[5], *p) for p in pairs], axis=0)
        assert (precision, recall) == pytest.approx((expected, expected), abs=0.04)
        assert (density, coverage) == pytest.approx((1, 0.969), abs=0.05)


def counting(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the passes that are made from now on."""
    calls: list[str] = []

    def counted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            calls.append(name)
            return function(*args, **kwargs)

        return call

    for name in ("neighbours", "radii"):
        monkeypatch.setattr(module, name, counted(name, getattr(module, name)))
    return calls


def test_eight_metrics_share_one_pass(image_set: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = counting(monkeypatch)
    x, y, other = (image_set(draw(40, 3, seed=i)) for i in (1, 2, 3))
    both = [*BY_K[5], *BY_K[3]]
    found = values(both, x, y)
    assert calls == ["radii", "radii", "neighbours"]
    direct = neighbours(x.features, y.features, ks=(3, 5))
    assert found == [getattr(direct[k], name) for k in (5, 3) for name in NAMES]
    module.recall(other, y)  # the reference's radii are known
    assert calls[3:] == ["radii", "neighbours"]


def test_a_lasting_reference_keeps_its_radii(image_set: Any) -> None:
    kept: dict[str, Tensors] = {}

    def keep(name: str, make: Callable[[], Tensors]) -> Tensors:
        return kept.setdefault(name, kept.get(name) or make())

    x, y = image_set(draw(40, 3, seed=1)), image_set(draw(40, 3, seed=2))
    lasting = replace(y, keep=keep)
    assert values(BY_K[5], x, lasting) == values(BY_K[5], x, y)
    assert list(kept) == ["radii-k3-k5@1"]
    kept["radii-k3-k5@1"] = {"squared": torch.zeros(40, 2, dtype=torch.float64)}
    assert values(BY_K[5], x, replace(y, keep=keep))[0] == 0


def test_precision_has_wilsons_interval(image_set: Any) -> None:
    x, y = image_set(draw(200, 8, seed=1) * 1.3), image_set(draw(200, 8, seed=2))
    found: Any = module.precision(x, y)
    assert found.interval.method == "wilson"
    assert found.interval.low < found.value < found.interval.high


def test_errors_given_the_reference_are_the_spread_over_generated_draws(image_set: Any) -> None:
    real = image_set(draw(150, 6, seed=1))
    found: list[list[Any]] = [
        [module.density(x, real), module.precision(x, real)]
        for x in (image_set(0.95 * draw(150, 6, seed=i) + 0.1) for i in range(2, 302))
    ]
    spreads = np.std([[estimate.value for estimate in pair] for pair in found], axis=0, ddof=1)
    density = np.mean([pair[0].details["standard_error"] for pair in found])
    assert density == pytest.approx(spreads[0], rel=0.1)
    widths = [pair[1].interval.high - pair[1].interval.low for pair in found]
    assert np.mean(widths) == pytest.approx(2 * 1.96 * spreads[1], rel=0.1)


def test_density_without_spread_has_no_interval(image_set: Any) -> None:
    far: Any = module.density(image_set(draw(30, 3, seed=1) + 99), image_set(draw(30, 3, seed=2)))
    assert (far.value, far.interval) == (0.0, None)
    assert "as any other" in far.reason


@pytest.mark.parametrize("metric", [module.recall, module.coverage], ids=lambda m: m.name)
def test_recall_and_coverage_have_an_interval_from_blocks(image_set: Any, metric: Metric) -> None:
    x, y = image_set(draw(120, 5, seed=1)), image_set(draw(60, 5, seed=2))
    one = measure(metric, use=Use(metric.id, n=60), generated=x, others={"reference": y})
    assert one.interval is None
    assert "from two blocks on" in (one.reason or "")
    two = measure(metric, use=Use(metric.id, n=60, blocks=2), generated=x, others={"reference": y})
    assert two.interval is not None
    assert two.interval.method == "blocks-t"


def test_unequal_or_tiny_sets_are_refused(image_set: Any) -> None:
    for n, m in ((30, 31), (5, 5)):
        with pytest.raises(NothingMeasured, match=f"{n} generated and {m} reference"):
            module.recall(image_set(draw(n, 3, seed=1)), image_set(draw(m, 3, seed=2)))
    with pytest.raises(NothingMeasured, match="no features"):
        module.recall(image_set(n=30), image_set(draw(30, 3, seed=2)))


def test_each_says_what_it_is_of() -> None:
    every = [*BY_K[5], *BY_K[3], *TF]
    ids = [metric.id for metric in every]
    own = [f"{name}{suffix}@1" for suffix in ("", "-k3") for name in NAMES]
    assert ids == [*own, "precision-tf@1", "recall-tf@1"]
    assert all(metric.equal_n and metric.needs_features for metric in every)
    assert [metric.extractor for metric in TF] == ["vgg16-fc2@1"] * 2
    assert {metric.protocol for metric in TF} == {
        "k=3, Euclidean, self excluded, boundary inclusive, equal n, float64"
    }
    assert all(
        (metric.function.__doc__ or "").startswith(("Share", "Reference")) for metric in every
    )
