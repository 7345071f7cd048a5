"""`kdbench eval` as people use it: folders, batches, targets, checkpoints, and what is said."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

import kdbench
from kdbench.cli import main
from kdbench.evaluating.evaluate import evaluate
from kdbench.evaluating.evaluation import Evaluation
from kdbench.metrics.paired import psnr
from kdbench.metrics.restoration import MATLAB_Y
from kdbench.metrics.ssim import ssim
from kdbench.stages import shared_task

DIGITS = shared_task("digits@1")
JUDGED = ("fd[digits-cnn]", "kid[digits-cnn]")


def run(*words: object) -> Result:
    return CliRunner().invoke(main, ["eval", *map(str, words)], catch_exceptions=False)


def said(*words: object) -> dict[str, Any]:
    done = run(*words, "--json")
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def photo(seed: int, height: int, width: int) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, height // 4, width // 4, generator=draw)
    smooth = nn.functional.interpolate(coarse, (height, width), mode="bilinear")
    return (255 * smooth[0]).round().byte()


def write(folder: Path, name: str, image: Tensor) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    pixels = image.permute(1, 2, 0).numpy()
    Image.fromarray(pixels.squeeze(-1) if pixels.shape[2] == 1 else pixels).save(folder / name)


@pytest.fixture
def restored(tmp_path: Path) -> dict[str, tuple[Tensor, Tensor]]:
    """Three pairs of two sizes in `upscaled` and `targets`."""
    pairs = {}
    for i, (name, height, width) in enumerate([("baby", 24, 32), ("bird", 32, 32), ("it", 24, 32)]):
        target = photo(i, height, width)
        student = (target.float() + 9 * (i + 1)).clamp(0, 255).byte()
        write(tmp_path / "upscaled", f"{name}.png", student)
        write(tmp_path / "targets", f"{name}.bmp", target)
        pairs[name] = student, target
    return pairs


@pytest.fixture(scope="module")
def batches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`samples.npz` with 60 training digits, `ref.npz` with 80 held-out ones."""
    folder = tmp_path_factory.mktemp("batches")
    for name, split, n in (("samples", "train", 60), ("ref", "held-out", 80)):
        images = DIGITS.split(split).images[:n].permute(0, 2, 3, 1).numpy()
        np.savez(folder / f"{name}.npz", arr_0=images)
    return folder


# ---------------------------------------------------------------- pairs


def test_psnr_and_ssim_of_each_image_and_their_mean(
    tmp_path: Path, restored: dict[str, tuple[Tensor, Tensor]]
) -> None:
    words = ("--targets", tmp_path / "targets", "--protocol", "matlab-y", "--crop", 4)
    found = said(tmp_path / "upscaled", *words)
    assert [image["name"] for image in found["per_image"]] == ["baby.png", "bird.png", "it.png"]
    for name, function in (("psnr@1", psnr), ("ssim@1", ssim)):
        own = [
            float(function(*(MATLAB_Y.planes(side[None], 4) for side in pair)))
            for pair in restored.values()
        ]
        score = next(score for score in found["scores"] if score["metric"] == name)
        assert [image[name] for image in found["per_image"]] == pytest.approx(own, abs=1e-9)
        assert score["value"] == pytest.approx(np.mean(own), abs=1e-9)
        assert score["details"]["median"] == pytest.approx(np.median(own), abs=1e-9)
        assert score["details"]["p5"] == pytest.approx(np.quantile(own, 0.05), abs=1e-9)
        assert (score["n"], score["n_reference"]) == (3, 3)
        assert "matlab-y (BT.601" in score["protocol"]
        assert "4 pixels cut on each side" in score["protocol"]
        assert "uint8" not in score["protocol"]
    assert [score["metric"] for score in found["scores"]] == ["psnr@1", "ssim@1"]


def test_values_of_two_protocols_differ_and_say_so(
    tmp_path: Path, restored: dict[str, tuple[Tensor, Tensor]]
) -> None:
    by_name = [
        evaluate(
            tmp_path / "upscaled",
            targets=tmp_path / "targets",
            metrics=["psnr"],
            protocols=[name],
            crop=2,
        ).scores[0]
        for name in ("matlab-y", "ntire", "rgb")
    ]
    y, ntire, rgb = by_name
    assert y.value is not None
    assert rgb.value is not None
    assert abs(y.value - rgb.value) > 0.5
    assert ntire.value == rgb.value
    assert len({score.protocol for score in by_name}) == 3


def test_a_teacher_beside_targets(
    tmp_path: Path, restored: dict[str, tuple[Tensor, Tensor]]
) -> None:
    for name, (_, target) in restored.items():
        write(tmp_path / "teacher", f"{name}.png", (target.float() + 9).clamp(0, 255).byte())
    found = evaluate(
        tmp_path / "upscaled",
        targets=tmp_path / "targets",
        teacher=tmp_path / "teacher",
        metrics=["l1"],
    ).scores[0]
    assert found.value is not None
    assert found.details["teacher"] == pytest.approx(9, abs=0.2)
    assert found.details["difference"] == pytest.approx(found.value - 9, abs=0.2)


def test_two_single_images_are_a_pair_whatever_their_names(tmp_path: Path) -> None:
    for name in ("mine", "theirs"):
        write(tmp_path, f"{name}.png", photo(len(name), 16, 16))
    found = evaluate(
        tmp_path / "mine.png", targets=tmp_path / "theirs.png", metrics=["psnr"]
    ).scores[0]
    assert found.value is not None
    assert (found.n, found.interval, found.reason) == (1, None, "No interval: it is one image.")


def test_without_weights_lpips_says_what_is_missing(
    tmp_path: Path, restored: dict[str, tuple[Tensor, Tensor]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HOME", "XDG_CACHE_HOME", "TORCH_HOME", "KDBENCH_CACHE"):
        monkeypatch.setenv(name, str(tmp_path / "empty"))
    monkeypatch.delenv("KDBENCH_WEIGHTS", raising=False)
    found = evaluate(tmp_path / "upscaled", targets=tmp_path / "targets")
    lpips = found.score("lpips-alex")
    assert lpips is not None
    assert lpips.value is None
    assert "alexnet" in str(lpips.reason)
    done = run(tmp_path / "upscaled", "--targets", tmp_path / "targets", "--metrics", "lpips-alex")
    assert done.exit_code == 2
    assert "kdbench doctor --fetch alexnet" in done.output


# ---------------------------------------------------------------- sets


def test_a_batch_against_a_batch(batches: Path) -> None:
    done = run(
        batches / "samples.npz", "--reference", batches / "ref.npz", "--metrics", ",".join(JUDGED)
    )
    assert done.exit_code == 0
    found = evaluate(batches / "samples.npz", reference=batches / "ref.npz", metrics=JUDGED)
    for score in found.scores:
        assert score.metric.partition("@")[0] in done.stdout
        assert (score.n, score.n_reference) == (60, 80)
        assert score.interval is not None
        assert score.extractor is not None
        assert score.extractor.startswith("digits-cnn@1:")
    own = kdbench.measure_images(
        JUDGED,
        DIGITS.split("train").images[:60],
        others={"reference": DIGITS.split("held-out").images[:80]},
    )
    for score in found.scores:  # float32 features of equal pixels in other strides
        assert score.value == pytest.approx(own[score.metric].value, rel=1e-6)


def test_a_record_on_request(batches: Path, tmp_path: Path) -> None:
    words = (batches / "samples.npz", "--reference", batches / "ref.npz", "--metrics", JUDGED[0])
    out = tmp_path / "records"
    done = run(*words, "--out", out)
    (path,) = out.glob("evaluation-*.json")
    assert f"wrote {path}" in done.output
    text = path.read_text()
    found = Evaluation.model_validate_json(text)
    assert (found.student.name, found.student.n) == ("samples.npz", 60)
    assert str(tmp_path) not in text
    assert str(batches) not in text
    assert run(*words, "--out", out).exit_code == 0
    assert len(list(out.glob("evaluation-*.json"))) == 1
    assert list((out / "features").glob("*.safetensors"))


def test_what_is_measured_follows_from_what_is_given(batches: Path) -> None:
    alone = evaluate(batches / "samples.npz", extractor="digits-cnn")
    names = [score.metric.partition("@")[0] for score in alone.scores]
    assert {"sharpness", "contrast", "vendi[digits-cnn]"} <= set(names)
    assert len(alone.per_image) == 60
    compared = evaluate(batches / "samples.npz", reference="digits")
    names = [score.metric.partition("@")[0] for score in compared.scores]
    assert names[:3] == ["fd[digits-cnn]", "kid[digits-cnn]", "precision[digits-cnn]"]
    assert "sharpness-distance" in names
    assert compared.reference is not None
    assert compared.reference.name == "digits@1, held-out"


# ---------------------------------------------------------------- what makes images


class Ink(nn.Module):
    """Noise on a grey level of the class."""

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        return (0.1 * latents + labels.view(-1, 1, 1, 1) / 10).clamp(0, 1)


class Lost(nn.Module):
    """Not a number, and one grey."""

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        return torch.where(labels.view(-1, 1, 1, 1) == 3, latents * torch.nan, latents * 0 + 0.5)


def scripted(path: Path, module: nn.Module) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(module).save(str(path))
    return path


def test_a_program_is_run_on_the_inputs_of_a_task(tmp_path: Path) -> None:
    program = scripted(tmp_path / "model.pt", Ink())
    found = evaluate(program, task="digits", metrics=["kid", "class-accuracy", "precision"])
    inputs = DIGITS.inputs(1000, split="held-out", replicate=0)
    images = DIGITS.finish(Ink()(inputs.latents, inputs.labels))
    own = kdbench.measure_images(
        ["kid", "class-accuracy"],
        images,
        labels=inputs.labels,
        others={"reference": (DIGITS.split("held-out").images, DIGITS.split("held-out").labels)},
        extractor="digits-cnn",
    )
    assert [score.value for score in found.scores[:2]] == [one.value for one in own.values()]
    assert found.scores[0].protocol.startswith("digits@1, held-out, 1000 images, uint8, ")
    assert found.scores[2].protocol.startswith("digits@1, held-out, 2×500 images, uint8, ")
    other = evaluate(program, task="digits", metrics=["class-accuracy"], seed=1)
    assert other.student.sha256 != found.student.sha256


def test_failed_images_are_counted_and_void_what_is_measured_of_sets(tmp_path: Path) -> None:
    program = scripted(tmp_path / "model.pt", Lost())
    done = run(program, "--task", "digits", "--metrics", "kid,precision")
    assert done.exit_code == 4
    assert "1,000 images, of which 1,000 failed" in done.output
    assert "Not measured: kid, precision: 1,000 images are not finite" in done.output


def test_a_checkpoint_is_its_registered_network(tmp_path: Path) -> None:
    from kdbench.weights import find_weights

    path = tmp_path / "mine.safetensors"
    path.write_bytes(find_weights("digits-gan-teacher-1").read_bytes())
    arm = "digits-gan-teacher/teacher"
    mine = evaluate(path, arm=arm, metrics=["class-accuracy"])
    registered = evaluate(arm, metrics=["class-accuracy"], seed=1)
    assert mine.student.name == "mine.safetensors"
    assert mine.task == registered.task == "digits@1"
    assert mine.student.sha256 != registered.student.sha256  # other inputs
    same = evaluate(path, arm=arm, metrics=["class-accuracy"], seed=1)
    assert same.student.sha256 == registered.student.sha256
    assert same.scores == registered.scores


def test_a_student_beside_its_teacher() -> None:
    found = evaluate(
        "digits-gan-teacher/teacher",
        teacher="digits-gan-teacher",
        metrics=["psnr", "kid-stratified-teacher", "recall-retention", "vendi-ratio"],
    )
    values = [score.value for score in found.scores]
    assert values == pytest.approx([58.92, 0, 1, 1], abs=0.01)
    assert all("teacher's image" in score.protocol for score in found.scores[:3])


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["nowhere"], "no file or folder 'nowhere'"),
        (["model.pt2"], "say with --task"),
        (["w.safetensors"], "--as PAIR/ARM"),
        (["w.pth"], "pickled"),
        (["digits-edm"], "digits-edm/heun-35"),
        (["digits-gan-student/student"], "No weights of digits-gan-student are published"),
        (["digits-edm/heun-35", "--task", "toy"], "several tasks"),
        (["images", "--as", "digits-edm/heun-35"], "--as is for checkpoints"),
        (["images", "--task", "digit"], "Did you mean 'digits'"),
        (["images", "--reference", "elsewhere"], "no task of this name"),
        (["images", "--metrics", "psnr"], "give --targets or --teacher"),
        (["images", "--metrics", "fd[digits-cnn]"], "give --reference or --task"),
        (["images", "--metrics", "vendi"], "or give --extractor"),
        (["images", "--metrics", "authenticity[digits-cnn]", "--reference", "."], "--task"),
        (["images", "--metrics", "nonsense"], "no metric 'nonsense'"),
        (["images", "--crop", "4"], "--crop needs a --protocol"),
        (["images", "--protocol", "matlab"], "there are matlab-y"),
        (["images", "--protocol", "rgb"], "give --targets"),
        (["images", "--protocol", "rgb,ntire", "--targets", "x"], "exclude each other"),
        (["images", "--protocol", "torch-fidelity"], "give --reference"),
        ([], "Say what to measure"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_answered_is_said_at_once(words: list[str], expected: str) -> None:
    done = run(*words)
    assert done.exit_code == 2
    assert expected in done.output.replace("\n", " ")


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"weight": torch.zeros(3)}, path)
    done = run(path, "--as", "digits-gan-teacher")
    assert done.exit_code == 2
    assert "does not hold the network of digits-gan-teacher" in done.output
    path.write_bytes(b"damaged")
    done = run(path, "--as", "digits-gan-teacher")
    assert done.exit_code == 2
    assert "'other.safetensors' is damaged" in done.output


def test_unmatched_targets_are_named(tmp_path: Path) -> None:
    write(tmp_path / "a", "one.png", photo(0, 16, 16))
    write(tmp_path / "b", "two.png", photo(0, 16, 16))
    done = run(tmp_path / "a", "--targets", tmp_path / "b")
    assert done.exit_code == 2
    assert "one is among the students only" in done.output


def test_markup_in_names_is_shown_as_it_is(tmp_path: Path) -> None:
    for side in ("a", "b"):
        write(tmp_path / side, "[bold]x[bold].png", photo(0, 16, 16))
    done = run(tmp_path / "a", "--targets", tmp_path / "b", "--metrics", "psnr")
    assert "[bold]x[bold].png" in done.output


def test_a_grey_pair_is_the_same_whatever_else_is_in_the_folder(tmp_path: Path) -> None:
    """Grey repeated in three channels would go through studio swing, which is 1.32 dB more."""
    colour = photo(3, 40, 40)
    for side, level in (("student", 3), ("target", 0)):
        grey = (photo(1, 40, 40)[:1].int() + level).clamp(0, 255).byte()
        for folder, others in (("alone", {}), ("mixed", {"colour.png": colour})):
            (tmp_path / folder / side).mkdir(parents=True, exist_ok=True)
            Image.fromarray(grey[0].numpy()).save(tmp_path / folder / side / "grey.png")
            for name, image in others.items():
                write(tmp_path / folder / side, name, image)
    found = {}
    for folder in ("alone", "mixed"):
        own, targets = (tmp_path / folder / side for side in ("student", "target"))
        rows = said(own, "--targets", targets, "--protocol", "matlab-y", "--metrics", "psnr")
        found[folder] = next(row for row in rows["per_image"] if row["name"].startswith("grey"))
    assert found["alone"] == found["mixed"]
