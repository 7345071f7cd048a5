"""What goes wrong in other implementations, shown where they are installed, and right here.

Each test below shows first that kdbench is right, then the fault in the version it was found in;
with another version of the peer, or none, that half is skipped. Faults that other files hold are
listed with them: names after `::` are tests, and the last test here checks that they exist.

Fréchet distance
    piq 0.8: Newton-Schulz stops early, FD(A, A) > 0     below
    torch-fidelity: eigenvalues of a singular product    below, test_frechet.py::
        test_of_a_set_with_itself_is_zero
    clean-fid, torch-fidelity: means in float32          below, test_frechet.py::
        test_does_not_move_with_a_common_offset
    TTUR, clean-fid and others: SciPy's sqrtm, complex   below
    torchmetrics: the batch size moves the value         test_measure.py::
        test_extraction_does_not_depend_on_the_number_of_images
Images on their way into the network
    torchmetrics: normalize=True truncates               below, ../generators/test_sampling.py::
        test_quantising_rounds_and_clips_as_numpy_does
    resizes differ under one name                        below, features/test_inception.py::
        test_one_file_and_three_names, features/test_resize.py::test_the_rules_differ
    clean-fid: a generator's images are not rounded      features/test_resize.py::
        test_other_images_are_refused
    values of different protocols in one table           ../report/test_comparisons.py::
        test_another_protocol_is_not_compared
Kernel distance
    piq: an assertion where the sets differ in size      below
    torchmetrics, clean-fid: another value each time     below
    torchmetrics and others: ± is not a standard error   below, test_kernel.py::
        test_standard_error_is_the_spread_over_draws
    CMMD's code: the biased form of an unbiased claim    test_kernel.py::
        test_is_unbiased_where_the_biased_form_is_not
Precision, recall, density, coverage
    piq, torch-fidelity: collapse recalls its one image  below
    piq: recall looks at the real images' radii          below
    torch-fidelity < 0.4: precision and recall swapped   test_neighbours.py::
        test_precision_is_of_the_generated_and_recall_of_the_real
    boundary strict or not                               test_neighbours.py::
        test_strict_inequality_leaves_points_on_the_rim_outside
Inception score
    dgm-eval: prints the score of another folder         below
    libraries disagree in splits, shuffle and divisor    test_inception_score.py::
        test_equals_torch_fidelity, test_inception_score.py::
        test_equals_torchmetrics_after_the_same_seed
    ± is the spread of splits, 0 · log 0, bias           test_inception_score.py::
        test_standard_error_is_the_spread_over_draws_and_std_is_not, test_inception_score.py::
        test_classes_that_no_image_has_do_not_make_it_nan, test_inception_score.py::
        test_rises_with_the_number_of_images
Others
    vendi-score: score_X leaves q aside                  below
    torchmetrics: PSNR pooled over images                test_paired.py::
        test_psnr_is_torchmetrics_per_image_and_not_its_default
    torchmetrics: FeatureShare gives stale features      below, test_image_sets.py::
        test_a_buffer_that_is_filled_again_is_another_set
    torchmetrics: FeatureShare runs the network again    test_image_sets.py::
        test_an_extractor_sees_a_set_once
    torch-fidelity, dgm-eval: a cache keyed by name      below, test_image_sets.py::
        test_features_are_kept_by_content_not_by_name
    torch-fidelity: the cache unpickles what it finds    test_cache.py::
        test_a_pickle_is_not_opened
    torch-fidelity: conditional generators fail          below
    torch-fidelity: DINOv2 knows no file of weights      below, features/test_dinov2.py::
        test_the_published_layout_is_loaded_whole
    StudioGAN: embeddings of the real set overwritten    below
"""

from __future__ import annotations

import re
import warnings
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from kdbench import registry
from kdbench.generators.base import Inputs, quantise, sample
from kdbench.metrics import inception_score as inception_score_module
from kdbench.metrics.base import ImageSet, Use
from kdbench.metrics.cache import Cache
from kdbench.metrics.features.base import Extractor
from kdbench.metrics.frechet import frechet_distance
from kdbench.metrics.image_sets import Images
from kdbench.metrics.kernel import kernel_distance
from kdbench.metrics.measure import measure
from kdbench.metrics.naming import measured_name, parse_use, shared_metric
from kdbench.metrics.neighbours import neighbours
from kdbench.metrics.vendi import vendi_score

inception_score: Any = inception_score_module.inception_score


def needs(package: str, wanted: str) -> None:
    """Skip what follows unless the version is here in which the fault was found."""
    try:
        found = version(package)
    except PackageNotFoundError:
        found = "none"
    if found != wanted:
        pytest.skip(f"the fault is in {package} {wanted}, here is {found}; kdbench was right")


def features(n: int, d: int, *, seed: int) -> Tensor:
    """float32, not negative, of a spectrum that falls off, as Inception's are."""
    mixing = torch.randn(d, d, generator=torch.Generator().manual_seed(0))
    mixing /= torch.arange(1, d + 1)[:, None]
    return (torch.randn(n, d, generator=torch.Generator().manual_seed(seed)) @ mixing).relu()


def statistics(x: Tensor) -> tuple[Any, Any]:
    """As clean-fid and torch-fidelity take them, in the features' own type."""
    return np.mean(x.numpy(), axis=0), np.cov(x.numpy(), rowvar=False)


# ---------------------------------------------------------------- Fréchet distance


def test_distance_to_itself_by_newton_schulz() -> None:
    x, y = features(600, 128, seed=1), features(600, 128, seed=2)
    x_stat, y_stat = statistics(x.double()), statistics(y.double())
    roots = np.sqrt(np.linalg.eigvals(x_stat[1] @ y_stat[1]).astype(complex)).real.sum()
    exact = ((x_stat[0] - y_stat[0]) ** 2).sum() + np.trace(x_stat[1] + y_stat[1]) - 2 * roots
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(x, y) == pytest.approx(exact, rel=1e-8)
    needs("piq", "0.8.0")
    piq = pytest.importorskip("piq")
    assert piq.FID()(x.double(), x.double()) > 1
    assert piq.FID()(x.double(), y.double()) > 2 * exact


def test_eigenvalues_of_a_singular_product() -> None:
    few = features(60, 128, seed=3)
    assert frechet_distance(few, few) == pytest.approx(0, abs=1e-12)
    needs("torch-fidelity", "0.4.0")
    peer = pytest.importorskip("torch_fidelity.metric_fid")
    same = peer.fid_features_to_statistics(few.double())
    value = peer.fid_statistics_to_metric(same, same, False)["frechet_inception_distance"]
    assert abs(value) > 1e-6


def test_means_in_float32() -> None:
    far = [features(5000, 16, seed=seed) + 3000 for seed in (4, 5)]
    exact = frechet_distance(*(x.double() for x in far))
    assert frechet_distance(*far) == pytest.approx(exact, rel=1e-6)
    needs("clean-fid", "0.1.35")
    peer = pytest.importorskip("cleanfid.fid")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        value = peer.frechet_distance(*statistics(far[0]), *statistics(far[1]))
    assert abs(value - exact) > 0.01 * exact


def test_square_root_that_is_complex_and_deprecated() -> None:
    few = [features(60, 128, seed=seed) for seed in (3, 9)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert isinstance(frechet_distance(*few), float)
    needs("clean-fid", "0.1.35")
    peer = pytest.importorskip("cleanfid.fid")
    scipy = pytest.importorskip("scipy.linalg")
    stats = [statistics(x.double()) for x in few]
    assert np.iscomplexobj(scipy.sqrtm(stats[0][1] @ stats[1][1]))
    with pytest.warns(DeprecationWarning, match="disp"):  # SciPy 1.18: a TypeError
        peer.frechet_distance(*stats[0], *stats[1])


# ---------------------------------------------------------------- images on their way


class Recording(nn.Module):
    """Remembers what it was shown; features are the mean and the maximum of an image."""

    num_features = 2

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[Tensor] = []

    def forward(self, images: Tensor) -> Tensor:
        self.shown.append(images.clone())
        flat = images.float().flatten(1)
        return torch.stack([flat.mean(1), flat.amax(1)], 1)


def test_truncating_to_bytes() -> None:
    levels = torch.linspace(0, 1, 8 * 3 * 16 * 16).reshape(8, 3, 16, 16)
    assert abs(float((quantise(levels) - levels * 255).mean())) < 0.01
    needs("torchmetrics", "1.9.0")
    peer = pytest.importorskip("torchmetrics.image.fid")
    network = Recording()
    metric = peer.FrechetInceptionDistance(feature=network, normalize=True)
    metric.used_custom_model = False  # what it does for its own network, without the weights
    metric.update(levels, real=True)
    assert float((network.shown[-1] - levels * 255).mean()) == pytest.approx(-0.5, abs=0.01)


def test_one_name_for_several_resizes() -> None:
    """Each resize is an extractor of its own, and the value is named by it."""
    metric = shared_metric("fd@1")
    names = ("inception-v3-compat", "inception-v3-compat-antialias", "inception-v3-compat-clean")
    uses = [parse_use(f"fd[{name}]", n=10) for name in names]
    assert [use.extractor for use in uses] == [f"{name}@1" for name in names]
    assert [measured_name(metric, use) for use in uses] == [f"fd[{name}]@1" for name in names]


# ---------------------------------------------------------------- kernel distance


def test_kernel_distance_of_sets_of_unequal_size() -> None:
    x, y = features(40, 8, seed=1), features(30, 8, seed=2)
    assert kernel_distance(x, y).value == pytest.approx(kernel_distance(y, x).value, rel=1e-6)
    needs("piq", "0.8.0")
    piq = pytest.importorskip("piq")
    with pytest.raises(AssertionError):
        piq.KID()(x, y)


def test_kernel_distance_that_moves_from_call_to_call() -> None:
    x, y = features(300, 8, seed=1), features(300, 8, seed=2)
    assert kernel_distance(x, y).value == kernel_distance(x, y).value
    needs("clean-fid", "0.1.35")
    peer = pytest.importorskip("cleanfid.fid")
    values = [
        peer.kernel_distance(x.numpy(), y.numpy(), num_subsets=10, max_subset_size=100)
        for _ in range(2)
    ]
    assert abs(values[0] - values[1]) > 1e-3 * abs(values[0])


def test_spread_over_subsets_as_an_error() -> None:
    """An error falls with the root of the number of images; a spread over subsets does not."""
    few, many = ([torch.rand(n, 8), torch.rand(n, 8) + 0.3] for n in (300, 4800))
    errors = [kernel_distance(*sets).standard_error for sets in (few, many)]
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.3)
    needs("torchmetrics", "1.9.0")
    peer = pytest.importorskip("torchmetrics.image.kid")
    printed = []
    for sets in (few, many):
        metric = peer.KernelInceptionDistance(feature=nn.Identity(), subsets=100, subset_size=100)
        metric.update(sets[0], real=True)
        metric.update(sets[1], real=False)
        printed.append(float(metric.compute()[1]))
    assert printed[0] / printed[1] < 1.5
    assert printed[1] > 4 * errors[1]


# ---------------------------------------------------------------- precision and recall


def test_recall_of_a_collapsed_generator() -> None:
    """All generated images are one and the same real image: balls of no size hold nothing."""
    real = features(200, 16, seed=1) + 0.1
    collapsed = real[:1].repeat(200, 1)
    assert neighbours(collapsed, real, ks=(5,))[5].recall == 0
    needs("torch-fidelity", "0.4.0")
    peer = pytest.importorskip("torch_fidelity.metric_prc")
    assert peer.calculate_precision_recall_full(collapsed, real, 5)[1] > 0
    needs("piq", "0.8.0")
    assert pytest.importorskip("piq").PR(nearest_k=5)(real, collapsed)[1] > 0


def test_recall_by_the_radii_of_real_images() -> None:
    """A generated image on the rim of a real ball, and no generated ball that reaches anywhere."""
    real, generated = torch.tensor([[0.0], [1.0], [9.0]]), torch.tensor([[-1.0], [-1.1], [-1.2]])
    assert neighbours(generated, real, ks=(1,))[1].recall == 0
    needs("piq", "0.8.0")
    assert pytest.importorskip("piq").PR(nearest_k=1)(real, generated)[1] > 0


# ---------------------------------------------------------------- inception score


def test_the_score_of_another_set(image_set: Any) -> None:
    sharp, flat = (scale * torch.randn(100, 1008) for scale in (9, 0.1))
    own, other = (image_set(logits, logits=logits) for logits in (sharp, flat))
    use = Use("inception-score@1", n=100)
    found = measure(inception_score, use=use, generated=own, others={"reference": other})
    assert found.value == inception_score(own).value
    assert inception_score.sets == ()
    assert found.value > 2 * inception_score(other).value


# ---------------------------------------------------------------- others


@pytest.mark.filterwarnings("ignore:.*csr_matrix.*:DeprecationWarning")
def test_order_of_the_vendi_score_left_aside() -> None:
    x = features(100, 12, seed=1) + 0.1
    assert vendi_score(x, q=2) < 0.99 * vendi_score(x, q=1)
    needs("vendi-score", "0.0.3")
    peer = pytest.importorskip("vendi_score.vendi")
    assert peer.score_X(x.double().numpy(), q=2) == peer.score_X(x.double().numpy(), q=1)


class AsExtractor(Recording):
    """Without logits."""

    def forward(self, images: Tensor) -> Any:
        return super().forward(images), None


def mean_feature(images: Tensor, cache: Cache) -> float:
    """Of what an extractor says of these images, through a cache."""
    held = Images(images, torch.zeros(len(images), dtype=torch.int64))
    seen = held.seen_by(Extractor("recording@1:0", AsExtractor()), cache)
    assert seen.features is not None
    return float(seen.features[:, 0].mean())


def test_stale_features_of_a_buffer_that_is_filled_again(tmp_path: Path) -> None:
    buffer = torch.zeros(10, 3, 8, 8, dtype=torch.uint8)
    found = [mean_feature(buffer.fill_(level), Cache(tmp_path)) for level in (0, 200, 0)]
    assert found == [0, 200, 0]
    needs("torchmetrics", "1.9.0")
    peer = pytest.importorskip("torchmetrics.image.fid").FrechetInceptionDistance(Recording())
    shared = pytest.importorskip("torchmetrics.wrappers").FeatureShare([peer])
    shared.update(buffer.fill_(0), real=True)
    shared.update(buffer.fill_(200), real=False)
    assert float(peer.fake_features_sum.sum()) == 0


def test_cache_keyed_by_name(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "ours")
    sets = [torch.full((10, 1, 4, 4), level, dtype=torch.uint8) for level in (3, 4, 3)]
    assert [mean_feature(images, cache) for images in sets] == [3, 4, 3]
    needs("torch-fidelity", "0.4.0")
    peer = pytest.importorskip("torch_fidelity.metric_fid")

    class Named:
        def get_name(self) -> str:
            return "any"

    def theirs(content: float) -> float:
        stat = peer.fid_featuresdict_to_statistics_cached(
            {"layer": torch.full((10, 2), content)},
            "samples",
            Named(),
            "layer",
            cache=True,
            cache_root=str(tmp_path / "theirs"),
            verbose=False,
        )
        return float(stat["mu"].mean())

    assert [theirs(content) for content in (3.0, 4.0)] == [3, 3]


class Conditional:
    """Images of one grey level a class."""

    nfe = 1

    def __call__(self, inputs: Inputs) -> Tensor:
        return inputs.labels[:, None, None, None].expand(-1, 1, 8, 8) / 10


def test_conditional_generators() -> None:
    labels = torch.arange(30) % 10
    inputs = Inputs(torch.zeros(30, 1, 8, 8), labels, torch.arange(30))
    images = quantise(sample(Conditional(), inputs))
    assert images[:, 0, 0, 0].tolist() == [round(25.5 * int(label)) for label in labels]
    needs("torch-fidelity", "0.4.0")
    peer = pytest.importorskip("torch_fidelity")
    utils = pytest.importorskip("torch_fidelity.utils")

    class Extracts(peer.FeatureExtractorBase):  # type: ignore[name-defined,misc]
        def __init__(self) -> None:
            super().__init__("any", ["mean"])

        @staticmethod
        def get_provided_features_list() -> tuple[str, ...]:
            return ("mean",)

    model = peer.GenerativeModelModuleWrapper(nn.Identity(), 8, "normal", 10)
    with pytest.raises(AttributeError, match=r"np\.int"):
        utils.get_featuresdict_from_generative_model(model, Extracts(), 4, 2, False, 0, False)


def test_dinov2_from_a_file() -> None:
    assert "dinov2-vit-l14@1" in list(registry.extractors)
    needs("torch-fidelity", "0.4.0")
    peer = pytest.importorskip("torch_fidelity.feature_extractor_dinov2")
    with pytest.raises(NotImplementedError):
        peer.FeatureExtractorDinoV2("dinov2-vit-l-14", ["dinov2"], "weights.pth")


def measurable() -> list[str]:
    """Set metrics that take the features of any extractor."""
    metrics = [shared_metric(name) for name in registry.metrics]
    return [m.id for m in metrics if m.kind == "set" and m.extractor == "task"]


def test_metrics_that_change_what_others_are_given() -> None:
    """In either order every metric says the same, and the sets are as they were."""
    labels = torch.arange(220) % 2

    def made(seed: int) -> ImageSet:
        draw = features(220, 6, seed=seed) + 0.1
        images = torch.arange(220, dtype=torch.uint8)[:, None, None, None].expand(-1, 1, 2, 2)
        return ImageSet(images, labels, draw, draw[:, :2].clone())

    names = [name for name in measurable() if not name.startswith("kid-subsets")]  # n ≥ 1,000
    values = []
    for order in (names, names[::-1]):
        generated, reference, train, teacher, again = (made(seed) for seed in range(1, 6))
        others: Any = {"reference": reference, "train": train}
        others |= {"teacher": teacher, "teacher-again": again}
        found = {}
        for name in order:
            use = Use(name, n=220)
            found[name] = measure(shared_metric(name), use=use, generated=generated, others=others)
        values.append(found)
        for seed, held in zip(range(1, 6), (generated, *others.values()), strict=True):
            assert torch.equal(held.features, made(seed).features)  # type: ignore[arg-type]
            assert torch.equal(held.logits, made(seed).logits)  # type: ignore[arg-type]
    assert values[0] == values[1]
    assert len(names) > 25
    assert all(estimate.value is not None for estimate in values[0].values())


def test_the_list_above_names_tests_that_exist() -> None:
    here = Path(__file__).parent
    named = re.findall(r"(\S+\.py)::\s+(test_\w+)", __doc__ or "")
    named += re.findall(r"(\S+\.py)::(test_\w+)", __doc__ or "")
    assert len(named) > 20
    for file, name in named:
        text = (here / file).read_text()
        assert re.search(rf"def {name}\(", text), f"{file}::{name}"
