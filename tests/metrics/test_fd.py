"""The metrics made of Fréchet distances: their values, details, marks, and the extrapolation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from kdbench.errors import NothingMeasured
from kdbench.metrics import fd as module
from kdbench.metrics.base import ImageSet, Tensors, Use
from kdbench.metrics.fd import sampling_marks
from kdbench.metrics.frechet import Moments, frechet_distance
from kdbench.metrics.group_jackknife import Replicates
from kdbench.metrics.measure import measure

fd: Any = module.fd
fid: Any = module.fid
fd_teacher: Any = module.fd_teacher
fd_infinity: Any = module.fd_infinity

D = 6


def draw(n: int, *, seed: int, d: int = D, shift: float = 0.0) -> Tensor:
    """Skewed features, float32."""
    normal = torch.randn(n, d, generator=torch.Generator().manual_seed(seed))
    return (normal + 0.3 * normal.square()) * torch.linspace(1 + shift, 0.5, d) + shift


def test_names() -> None:
    found: list[Any] = [module.fd, module.fid, module.fd_dinov2, module.fd_clip]
    assert [one.id for one in found] == ["fd@1", "fid@1", "fd-dinov2@1", "fd-clip@1"]
    assert [one.extractor for one in found] == [
        "task",
        "inception-v3-compat@1",
        "dinov2-vit-l14@1",
        "clip-vit-b32@1",
    ]
    found += [module.fd_teacher, module.fd_infinity]
    assert [one.id for one in found[4:]] == ["fd-teacher@1", "fd-infinity@1"]
    assert all(one.needs_features and one.higher_is_better is False for one in found)
    cut = f"{module.PERMUTATIONS} permutations of 20 groups in {module.PARTS} parts"
    assert cut in fd_infinity.protocol
    assert all("Blind to" in (one.__doc__ or "") for one in found)


def test_reports_plain_corrected_and_error(image_set: Any) -> None:
    x, y = draw(200, seed=1, shift=0.3), draw(300, seed=2)
    found = fd(image_set(x), image_set(y))
    assert found.value == found.details["plain"] == frechet_distance(x, y)
    assert found.details["bias_corrected"] < found.value
    assert found.interval.method == "jackknife"
    width = found.interval.high - found.interval.low
    assert width == pytest.approx(2 * 2.093024 * found.details["standard_error"], rel=1e-6)


def test_is_one_distance_under_several_names(image_set: Any) -> None:
    sets = image_set(draw(200, seed=1, shift=0.3)), image_set(draw(300, seed=2))
    values = [metric(*sets).value for metric in (fd, fid, module.fd_dinov2, module.fd_clip)]
    assert len(set(values)) == 1


def test_interval_of_a_collapsed_generator_holds_the_value(image_set: Any) -> None:
    real = draw(200, seed=1)
    found = fd(image_set(real[:1].expand(200, -1)), image_set(real))
    assert found.interval.low < found.value < found.interval.high


def test_too_few_images_for_a_jackknife_say_so(image_set: Any) -> None:
    few, many = image_set(torch.rand(19, 4)), image_set(torch.rand(40, 4))
    found = fd(few, many)
    assert found.value > 0
    assert found.interval is None
    assert "20 images" in found.reason
    assert fid(few, many).marks == ("few samples: 19 of at least 5,000",)
    infinite = fd_infinity(few, many)
    assert infinite.value is None
    assert "20 images" in infinite.reason


@pytest.mark.parametrize("metric", [fd, fd_teacher, fd_infinity], ids=lambda one: one.name)
@pytest.mark.parametrize(
    ("bad", "sentence"),
    [
        (None, "no features"),
        (torch.rand(1, 4), "at least 2"),
        (torch.rand(30, 5), "same extractor"),
        (torch.full((30, 4), torch.nan), "not finite"),
    ],
)
def test_sets_that_cannot_be_compared_are_refused(
    image_set: Any, metric: Any, bad: Tensor | None, sentence: str
) -> None:
    generated = image_set(n=30) if bad is None else image_set(bad)
    with pytest.raises(NothingMeasured, match=sentence):
        metric(generated, image_set(torch.rand(30, 4)))
    with pytest.raises(NothingMeasured, match=sentence):
        metric(image_set(torch.rand(30, 4)), generated)


def test_moments_of_a_reference_are_kept_for_other_students(image_set: Any) -> None:
    store: dict[str, Tensors] = {}
    made: list[str] = []

    def keep(name: str, make: Any) -> Tensors:
        if name not in store:
            made.append(name)
            store[name] = make()
        return store[name]

    x, y = draw(200, seed=1), draw(300, seed=2)
    plain = image_set(y)
    for _ in range(2):
        reference = ImageSet(plain.images, plain.labels, y, keep=keep)
        assert fd(image_set(x), reference).value == fd(image_set(x), plain).value
    assert made == ["moments@1"]
    torch.testing.assert_close(store["moments@1"]["scatter"], Moments.of(y).scatter)


# Marks.


@pytest.mark.parametrize(
    ("value", "bias", "error", "n", "d", "few", "mark"),
    [
        (15.0, 8.2, 0.1, 1000, 512, 5000, "few samples: 1,000 of at least 5,000; 8.2 of 15.0"),
        (862.0, 480.0, 9.0, 512, 1024, 5000, "few samples: 512 of at least 5,000; 480 of 862"),
        (0.0123, 0.0051, 0.1, 64, 64, 0, "few samples: 64 for 64 features; 0.0051 of 0.0123"),
        (2.0, 0.9, 0.1, 1000, 64, 0, "0.90 of 2.00"),
        (2.0, 0.19, 0.1, 1000, 64, 0, None),
    ],
)
def test_marks_tell_the_size_of_the_bias(
    value: float, bias: float, error: float, n: int, d: int, few: int, mark: str | None
) -> None:
    # Nineteen 20ths of the sum of squares of ±e is the square of the error.
    e = error / 19**0.5
    left = torch.tensor([[value + bias / 19 + e, value + bias / 19 - e] * 10], dtype=torch.float64)
    found = Replicates(value, left)
    assert found.standard_error == pytest.approx(error)
    marks = sampling_marks(found, (n, d), few=few)
    if mark is None:
        assert marks == ()
    else:
        reason, _, numbers = mark.rpartition("; ")
        assert marks == ("; ".join(filter(None, [reason, f"sampling bias about +{numbers}"])),)


def test_marks_are_on_the_estimate_and_said_once(image_set: Any) -> None:
    sets = image_set(draw(500, seed=1, shift=0.4)), image_set(draw(400, seed=2))
    found = measure(fid, use=Use("fid@1", n=500), generated=sets[0], others={"reference": sets[1]})
    assert len(found.marks) == 1
    assert found.marks[0].startswith("few samples: 400 of at least 5,000; sampling bias about +0.")
    assert found.marks[0].endswith(f"of {found.value:.2f}")
    # In the task's own features there is no convention, and this bias is below two errors.
    assert fd(*sets).marks == ()


def test_mark_of_fewer_images_than_features(image_set: Any) -> None:
    found = fd(image_set(draw(60, seed=1, d=64)), image_set(draw(90, seed=2, d=64)))
    assert "few samples: 60 for 64 features; sampling bias" in found.marks[0]


# Against the teacher.


def test_distance_to_the_teacher_itself_is_zero_without_width(image_set: Any) -> None:
    x = draw(60, seed=1)
    found = fd_teacher(image_set(x), image_set(x))
    assert found.value == pytest.approx(0.0, abs=1e-12)
    assert found.details["standard_error"] == pytest.approx(0.0, abs=1e-12)


def test_standard_error_of_the_distance_to_the_teacher_knows_common_latents(
    image_set: Any,
) -> None:
    teacher = draw(400, seed=1)
    student = image_set(0.9 * teacher + 0.1 * draw(400, seed=2))
    alone = fd(student, image_set(teacher)).details["standard_error"]
    assert fd_teacher(student, image_set(teacher)).details["standard_error"] < 0.5 * alone


def test_teacher_must_be_paired(image_set: Any) -> None:
    features = torch.rand(40, 4)
    with pytest.raises(NothingMeasured, match="same latents"):
        fd_teacher(image_set(features), image_set(features[:30]))


# Extrapolation.


def test_extrapolation_is_deterministic(image_set: Any) -> None:
    x, y = draw(200, seed=1, shift=0.3), draw(300, seed=2)
    first, second = (fd_infinity(image_set(x), image_set(y)) for _ in range(2))
    assert first == second
    assert first.details["plain"] == frechet_distance(x, y)
    assert first.marks == ()


@pytest.mark.parametrize(("n", "m"), [(60, 90), (100, 150), (200, 300)])
def test_extrapolates_through_means_of_smaller_sets(image_set: Any, n: int, m: int) -> None:
    """Against the same windows cut from the features, whichever of them are singular."""
    x, y = draw(n, seed=1, d=64, shift=0.3), draw(m, seed=2, d=64)
    generated, reference = image_set(x), image_set(y)
    limits = []
    for permutation in range(module.PERMUTATIONS):
        points = [(1.0, frechet_distance(x, y))]
        orders = [
            torch.randperm(
                20,
                generator=torch.Generator().manual_seed(
                    module.seed("fd-infinity", which, permutation)
                ),
            )
            for which in ("first", "second")
        ]
        for size in (2, 3):
            for start in range(4):
                cut = []
                for images, order in zip((generated, reference), orders, strict=True):
                    chosen = order.view(4, 5)[[(start + i) % 4 for i in range(size)]]
                    rows = torch.isin(module.deal(images.labels), chosen)
                    cut.append(images.features[rows])
                points.append((4 / size, frechet_distance(*cut)))
        at, values = np.array(points).T
        weights = np.where(at == 1, 2.0, 1.0)  # four windows of each size count as one point
        limits.append(np.polyfit(at, values, 1, w=weights)[1])
    assert fd_infinity(generated, reference).value == pytest.approx(np.mean(limits), rel=1e-8)


@pytest.mark.parametrize("shift", [0.0, 0.4])
def test_interval_of_the_limit_covers_it(image_set: Any, shift: float) -> None:
    """400 draws know a coverage of 95 % to 1.1 %; the interval of equal sources is too wide."""
    large = [draw(10**6, seed=i, shift=s).double() for i, s in ((1, shift), (2, 0.0))]
    truth = frechet_distance(*large)
    values, plain, covered = [], [], 0
    for i in range(400):
        sets = draw(160, seed=1000 + i, shift=shift), draw(240, seed=5000 + i)
        found = fd_infinity(*map(image_set, sets))
        values.append(found.value)
        plain.append(found.details["plain"])
        covered += found.interval.low <= truth <= found.interval.high
    noise = np.std(values) / 400**0.5
    assert np.mean(plain) > truth + 5 * noise
    assert np.mean(values) == pytest.approx(truth, abs=3 * noise)
    assert 0.92 <= covered / 400 <= (0.99 if shift else 1.0)


def test_limit_from_few_images_is_marked(image_set: Any) -> None:
    found = fd_infinity(image_set(draw(120, seed=1, d=64)), image_set(draw(200, seed=2, d=64)))
    assert found.marks == ("few samples: half of 120 for 64 features",)
