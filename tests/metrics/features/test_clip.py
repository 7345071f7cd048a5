"""CLIP's image towers against torch-fidelity and open_clip, from archives like OpenAI's."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from random_weights import clip_archive, clip_state
from torch import Tensor

from kdbench.metrics.features.base import Extractor
from kdbench.metrics.features.clip import (
    DEVIATION,
    MEAN,
    VIT_B32,
    VIT_L14_336,
    clip_tower,
    clip_vit_b32,
    clip_vit_l14_336,
    load_clip,
    read_archive,
    tower,
)
from kdbench.metrics.features.resize import Resize, pil_bicubic_uint8, torch_bicubic_antialias
from kdbench.metrics.features.vision_transformer import Shape
from kdbench.store import sha256_file

Publish = Callable[[str, bytes], Path]
SMALL = tower(size=48, patch=16, width=128, depth=2, features=24)


def test_the_tower_is_torch_fidelitys(tmp_path: Path) -> None:
    from torch_fidelity.feature_extractor_clip import build_model

    path = tmp_path / "clip.pt"
    path.write_bytes(clip_archive(clip_state(SMALL)))
    theirs = build_model(read_archive(path), torch.float32).visual
    images = torch.randn(3, 3, 48, 48)
    with torch.inference_mode():
        expected = theirs(images)
        found = clip_tower(read_archive(path), SMALL)(images)
    assert torch.allclose(found, expected, atol=1e-5, rtol=1e-5)
    assert found.shape == (3, 24)
    assert found.dtype == torch.float32
    assert (found[0] - found[1]).abs().max() > 0.1


def test_the_tower_is_open_clips() -> None:
    build = pytest.importorskip("open_clip.model").build_model_from_openai_state_dict
    state = clip_state(SMALL)
    images = torch.randn(2, 3, 48, 48)
    ours = clip_tower(state, SMALL)
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        theirs = build(dict(state), cast_dtype=torch.float32).float().eval()
        expected = theirs.encode_image(images)
        assert torch.allclose(ours(images), expected, atol=1e-5, rtol=1e-5)


def test_an_archive_gives_back_what_it_was_made_of(tmp_path: Path) -> None:
    state = clip_state(SMALL)
    path = tmp_path / "clip.pt"
    path.write_bytes(clip_archive(state))
    found = read_archive(path)
    assert set(found) == {*state, "input_resolution", "context_length", "vocab_size"}
    assert all(torch.equal(found[name], state[name]) for name in state)


@pytest.mark.parametrize(
    ("shape", "tensors", "parameters"),
    [(VIT_B32, 152, 87_849_216), (VIT_L14_336, 296, 304_293_888)],
    ids=["b32", "l14-336"],
)
def test_the_published_layouts_are_loaded_whole(
    shape: Shape, tensors: int, parameters: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = clip_state(shape, device="meta")
    visual = [tensor for name, tensor in state.items() if name.startswith("visual.")]
    assert len(visual) == tensors
    assert sum(tensor.numel() for tensor in visual) == parameters
    monkeypatch.setattr(torch.nn.Module, "to_empty", lambda module, device: module)
    network = clip_tower(state, shape)
    assert network.cls_token.is_meta
    assert sum(p.numel() for p in network.parameters()) == parameters


def test_a_tower_of_another_shape_is_refused() -> None:
    with pytest.raises(RuntimeError, match="size mismatch"):
        clip_tower(clip_state(SMALL), tower(size=64, patch=16, width=128, depth=2, features=24))


def test_images_are_prepared_as_by_openai(published: Publish, photos: Tensor) -> None:
    transforms = pytest.importorskip("torchvision.transforms")
    prepare = transforms.Compose(
        [
            transforms.Resize(48, transforms.InterpolationMode.BICUBIC),
            transforms.CenterCrop(48),
            transforms.ToTensor(),
            transforms.Normalize(
                (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
            ),
        ]
    )
    state = clip_state(SMALL)
    published("clip-small", clip_archive(state))
    extractor = load_clip("clip-small@1", SMALL, resize=pil_bicubic_uint8)
    pictures = [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in photos]
    with torch.inference_mode():
        expected = clip_tower(state, SMALL)(torch.stack([prepare(p) for p in pictures]))
    features, logits = extractor(photos)
    assert torch.allclose(features, expected, atol=1e-5, rtol=1e-5)
    assert logits is None
    assert extractor.id.startswith("clip-small@1:")
    assert not extractor.network.training


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "name", "shape", "resize"),
    [
        (clip_vit_b32, "clip-vit-b32", VIT_B32, pil_bicubic_uint8),
        (clip_vit_l14_336, "clip-vit-l14-336", VIT_L14_336, torch_bicubic_antialias),
    ],
    ids=["b32", "l14-336"],
)
def test_the_published_towers_are_torch_fidelitys(
    make: Callable[[], Extractor],
    name: str,
    shape: Shape,
    resize: Resize,
    published: Publish,
    photos: Tensor,
) -> None:
    from torch_fidelity.feature_extractor_clip import build_model

    path = published(name, clip_archive(clip_state(shape)))
    extractor = make()
    features, _ = extractor(photos)
    theirs = build_model(read_archive(path), torch.float32).visual
    mean, deviation = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, DEVIATION))
    with torch.inference_mode():
        expected = theirs((resize(photos, shape.size) - mean) / deviation)
    assert torch.allclose(features, expected, atol=1e-4, rtol=1e-4)
    assert features.shape == (2, shape.projection)
    assert extractor.id == f"{name}@1:{sha256_file(path)}"


def test_cmmds_images_are_neither_rounded_nor_clipped(published: Publish, photos: Tensor) -> None:
    state = clip_state(SMALL)
    published("clip-small", clip_archive(state))
    extractor = load_clip("clip-small@1", SMALL, resize=torch_bicubic_antialias)
    pixels = torch_bicubic_antialias(photos, 48)
    mean, deviation = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, DEVIATION))
    with torch.inference_mode():
        expected = clip_tower(state, SMALL)((pixels - mean) / deviation)
    assert torch.equal(extractor(photos)[0], expected)
    assert not torch.equal(pixels, pixels.round())
