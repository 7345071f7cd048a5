"""Random weights in the layouts in which the judges' weights are published."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import vgg16

from kdbench.metrics.features import base, clip
from kdbench.metrics.features.inception import published_layers
from kdbench.metrics.features.vision_transformer import Shape
from kdbench.store import sha256_file

State = dict[str, Tensor]
Sizes = dict[str, tuple[int, ...]]


def publish(patch: pytest.MonkeyPatch, name: str, path: Path) -> None:
    """Let extractors find a file under the name of published weights, whatever its hash is."""
    sha256 = sha256_file(path)
    for module in (base, clip):
        patch.setattr(module, "find_weights", {name: path}.__getitem__)
    patch.setattr(base, "weights_id", {name: f"{name}:{sha256}"}.__getitem__)


def pickled(state: Mapping[str, Tensor], *, old: bool = False) -> bytes:
    """What `torch.save` writes; `old` for the format before torch 1.6."""
    buffer = io.BytesIO()
    torch.save(dict(state), buffer, _use_new_zipfile_serialization=not old)
    return buffer.getvalue()


def inception_state(seed: int = 0) -> State:
    """FID's network: weights that keep the size of activations, norms that are not the identity."""
    torch.manual_seed(seed)
    layers = nn.Sequential(published_layers())
    for module in layers.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        elif isinstance(module, nn.BatchNorm2d):
            for parameter in (module.weight, module.running_var):
                nn.init.uniform_(parameter, 0.7, 1.3)
            for parameter in (module.bias, module.running_mean):
                nn.init.normal_(parameter, std=0.1)
    state = {name: tensor.detach() for name, tensor in layers.state_dict().items()}
    return state | {"fc.weight": torch.randn(1008, 2048) / 45, "fc.bias": torch.randn(1008)}


def vgg16_state(seed: int = 0) -> State:
    """torchvision's VGG-16, 138 million weights in a file of 1 MB.

    Row i of a large matrix is row 0 moved by i: views of one short storage, which is what
    `torch.save` writes. Neighbouring features differ all the same.
    """
    torch.manual_seed(seed)
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in vgg16().state_dict().items()}
    return {name: _moved_rows(shape) for name, shape in shapes.items()}


def _moved_rows(shape: torch.Size) -> Tensor:
    rows, columns = shape[0], math.prod(shape[1:])
    if len(shape) == 1:
        return torch.randn(shape) * 0.1
    line = torch.randn(rows + columns) * math.sqrt(2 / columns)
    strides = [math.prod(shape[i + 1 :]) for i in range(1, len(shape))]
    return line.as_strided(shape, [1, *strides])


def dinov2_state(shape: Shape, *, device: str = "cpu", seed: int = 0) -> State:
    """The layout of `dinov2_vitl14_pretrain.pth`, at any shape."""
    w, patches = shape.width, (shape.size // shape.patch) ** 2
    sizes: Sizes = {
        "cls_token": (1, 1, w),
        "pos_embed": (1, 1 + patches, w),
        "mask_token": (1, w),
        "patch_embed.proj.weight": (w, 3, shape.patch, shape.patch),
        "patch_embed.proj.bias": (w,),
        "norm.weight": (w,),
        "norm.bias": (w,),
    }
    for i in range(shape.depth):
        block = _pairs({"norm1": (w,), "norm2": (w,), "attn.qkv": (3 * w, w), "attn.proj": (w, w)})
        block |= _pairs({"mlp.fc1": (4 * w, w), "mlp.fc2": (w, 4 * w)})
        block |= {"ls1.gamma": (w,), "ls2.gamma": (w,)}
        sizes |= {f"blocks.{i}.{name}": size for name, size in block.items()}
    return _random(sizes, device=device, seed=seed)


def clip_state(shape: Shape, *, device: str = "cpu", seed: int = 0) -> State:
    """The layout of OpenAI's files, at any shape; the text tower is small.

    Norms and embeddings are float32, all else is float16.
    """
    assert shape.projection is not None
    w, features = shape.width, shape.projection
    visual: Sizes = {
        "class_embedding": (w,),
        "positional_embedding": ((shape.size // shape.patch) ** 2 + 1, w),
        "proj": (w, features),
        "conv1.weight": (w, 3, shape.patch, shape.patch),
    } | _pairs({"ln_pre": (w,), "ln_post": (w,)})
    visual |= _resblocks(w, shape.depth)
    text: Sizes = {"text_projection": (64, features), "token_embedding.weight": (10, 64)}
    text |= {"positional_embedding": (7, 64), "logit_scale": (), **_pairs({"ln_final": (64,)})}
    text |= _resblocks(64, 1)
    state = _random(
        {f"visual.{name}": size for name, size in visual.items()} | text, device=device, seed=seed
    )
    single = ("ln_", "embedding", "logit_scale")
    return {
        name: tensor if any(part in name for part in single) else tensor.half()
        for name, tensor in state.items()
    }


def clip_archive(state: Mapping[str, Tensor]) -> bytes:
    """A TorchScript archive with these parameters, and with the three numbers OpenAI's have."""
    root = _Scripted()
    for name, tensor in state.items():
        *folders, leaf = name.split(".")
        _folder(root, folders).register_parameter(leaf, nn.Parameter(tensor))
    for name in ("input_resolution", "context_length", "vocab_size"):
        root.register_buffer(name, torch.tensor(7))
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*torch.jit")  # deprecated, and still read
        torch.jit.save(torch.jit.script(root), buffer)
    return buffer.getvalue()


class _Scripted(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images


def _folder(module: nn.Module, names: list[str]) -> nn.Module:
    for name in names:
        children = dict(module.named_children())
        if name not in children:
            module.add_module(name, _Scripted())
        module = dict(module.named_children())[name]
    return module


def _resblocks(w: int, depth: int) -> Sizes:
    block = _pairs({"ln_1": (w,), "ln_2": (w,), "attn.out_proj": (w, w)})
    block |= _pairs({"mlp.c_fc": (4 * w, w), "mlp.c_proj": (w, 4 * w)})
    block |= {"attn.in_proj_weight": (3 * w, w), "attn.in_proj_bias": (3 * w,)}
    return {
        f"transformer.resblocks.{i}.{name}": size
        for i in range(depth)
        for name, size in block.items()
    }


def _pairs(weights: Sizes) -> Sizes:
    """A weight and a bias for each name."""
    biases = {f"{name}.bias": (size[0],) for name, size in weights.items()}
    return {f"{name}.weight": size for name, size in weights.items()} | biases


def _random(sizes: Sizes, *, device: str, seed: int) -> State:
    """Normal numbers; matrices keep the size of what they are multiplied with."""
    torch.manual_seed(seed)
    return {
        name: torch.randn(size, device=device)
        / math.sqrt(math.prod(size[1:]) if name.endswith("weight") else 4)
        for name, size in sizes.items()
    }
