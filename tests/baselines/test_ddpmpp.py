"""The networks of official size, and the generator beside them: their sizes and their parts."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from kdbench_baselines.diffusion.ddpmpp import ddpmpp
from kdbench_baselines.diffusion.ddpmpp_block import FORMS, Attention, Block
from kdbench_baselines.diffusion.gan_head import JudgedScore, features_at
from kdbench_baselines.diffusion.meanflow import mean_velocity
from kdbench_baselines.gan.conv_generator import conv_generator
from torch import nn

from kdbench.errors import BadSpec
from kdbench.tasks.cifar10 import Cifar10
from kdbench.tasks.imagenet64 import ImageNet64
from kdbench.tasks.toy import Toy

ADM = {
    "form": "adm",
    "channels": 192,
    "mult": [1, 2, 3, 4],
    "blocks": 3,
    "attention": [32, 16, 8],
}
SMALL = {"channels": 8, "mult": [1, 2], "blocks": 1}


@dataclass
class Case:
    """Inputs of a network, of any batch size."""

    shape: tuple[int, int, int] = (3, 32, 32)
    n: int = 3

    def inputs(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        return torch.randn(self.n, *self.shape), torch.rand(self.n) + 0.1, torch.arange(self.n)


def size(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def awake(network: nn.Module) -> nn.Module:
    """With weights where a fresh network has zeros, so that every branch is seen."""
    torch.manual_seed(0)
    for parameter in network.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    return network.eval()


# ---------------------------------------------------------------- size and layout


def test_official_sizes() -> None:
    """55.7 and 296 million parameters are what papers say of EDM's two networks."""
    with torch.device("meta"):
        sizes = size(ddpmpp(Cifar10())), size(ddpmpp(ImageNet64(), **ADM))
    assert sizes == (55_688_707, 295_776_387)


def attending(network: nn.Module) -> list[int]:
    """Blocks that attend, by their number in the encoder."""
    return [i for i, block in enumerate(network.encoder) if block.attention is not None]


def test_blocks_attend_where_they_are_told_to() -> None:
    with torch.device("meta"):
        cifar, imagenet = ddpmpp(Cifar10()).network, ddpmpp(ImageNet64(), **ADM).network
    assert attending(cifar) == [5, 6, 7, 8]
    assert attending(imagenet) == [4, 5, 6, 8, 9, 10, 12, 13, 14]
    late = [block.attention is not None for block in cifar.decoder]
    assert late == [False] * 5 + [False] + [False] * 4 + [True] + [False] * 6
    assert sum(block.attention is not None for block in imagenet.decoder) == 12


def test_heads_of_adm_have_64_channels() -> None:
    assert [Attention(c, 64).heads for c in (32, 64, 192)] == [1, 1, 3]
    assert Attention(192, None).heads == 1


@pytest.mark.parametrize("form", list(FORMS))
def test_a_fresh_network_is_the_skip_of_its_preconditioning(form: str) -> None:
    x, sigma, labels = Case().inputs()
    network = ddpmpp(Cifar10(), form=form, **SMALL)  # type: ignore[arg-type]
    c_skip = 0.25 / (sigma.square() + 0.25)
    assert torch.allclose(network(x, sigma, labels), c_skip.view(-1, 1, 1, 1) * x)


@pytest.mark.parametrize("form", list(FORMS))
def test_every_parameter_and_input_counts(form: str) -> None:
    network = awake(ddpmpp(Cifar10(), form=form, **SMALL, second_time=True))  # type: ignore[arg-type]
    x, sigma, labels = Case().inputs()
    second = torch.rand(3)
    out = network(x, sigma, labels, second)
    out.square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in network.parameters())
    for other in (
        network(x, sigma * 2, labels, second),
        network(x, sigma, labels + 1, second),
        network(x, sigma, labels, second + 1),
    ):
        assert not torch.allclose(out, other, atol=1e-3)


@pytest.mark.parametrize("form", list(FORMS))
def test_images_of_a_batch_do_not_mix(form: str) -> None:
    network = awake(ddpmpp(Cifar10(), form=form, **SMALL))  # type: ignore[arg-type]
    x, sigma, labels = Case().inputs()
    whole = network(x, sigma, labels)
    one = torch.cat([network(x[i : i + 1], sigma[i : i + 1], labels[i : i + 1]) for i in range(3)])
    assert torch.allclose(whole, one, atol=1e-5)


# ---------------------------------------------------------------- parts


def test_attention_is_a_softmax_over_places() -> None:
    attention = awake(Attention(8, 4))
    x = torch.randn(2, 8, 3, 5)
    query, key, value = attention.qkv(attention.norm(x)).flatten(2).chunk(3, dim=1)
    heads = []
    for head in (slice(0, 4), slice(4, 8)):
        weights = torch.einsum("bcq,bck->bqk", query[:, head], key[:, head]) / 2
        heads.append(torch.einsum("bqk,bck->bcq", weights.softmax(dim=2), value[:, head]))
    expected = attention.proj(torch.cat(heads, dim=1).view(2, 8, 3, 5))
    assert torch.allclose(attention(x), expected, atol=1e-6)


@pytest.mark.parametrize(("resample", "side"), [("up", 8), ("down", 2), (None, 4)])
def test_blocks_resample(resample: str | None, side: int) -> None:
    for form in FORMS.values():
        block = Block(8, 8, 5, form, dropout=0.0, resample=resample)  # type: ignore[arg-type]
        assert isinstance(block.skip, nn.Conv2d) == (
            resample is not None and form.resample_projection
        )
        assert block(torch.randn(2, 8, 4, 4), torch.randn(2, 5)).shape == (2, 8, side, side)


def test_sums_of_ddpmpp_keep_the_variance_and_those_of_adm_are_plain() -> None:
    """EDM's `skip_scale`: a fresh block and its fresh attention add nothing."""
    x, condition = torch.randn(2, 8, 4, 4), torch.randn(2, 5)
    for name, gain in (("ddpm++", 0.5**0.5), ("adm", 1.0)):
        block = Block(8, 8, 5, FORMS[name], dropout=0.0, attend=True)
        assert torch.allclose(block(x, condition), gain**2 * x)


def test_the_condition_scales_and_shifts_in_adm_and_is_added_before_the_norm_in_ddpmpp() -> None:
    hidden, condition = torch.randn(2, 8, 4, 4), torch.randn(2, 5)
    plain, adm = (Block(8, 8, 5, form, dropout=0.0) for form in FORMS.values())
    shift = plain.affine(condition)[:, :, None, None]
    assert torch.allclose(plain._conditioned(hidden, condition), plain.norm_out(hidden + shift))
    scale, shift = adm.affine(condition)[:, :, None, None].chunk(2, dim=1)
    expected = adm.norm_out(hidden) * (1 + scale) + shift
    assert torch.allclose(adm._conditioned(hidden, condition), expected)


@pytest.mark.parametrize(
    ("task", "args", "path", "features"),
    [
        (Cifar10(), {}, "network.encoder.13", (256, 8, 8)),
        (Cifar10(), {}, "network.coarse", (256, 8, 8)),
        (ImageNet64(), ADM, "network.encoder.14", (768, 8, 8)),
    ],
    ids=["CIFAR-10", "the default", "ImageNet-64"],
)
def test_a_classifier_finds_the_bottleneck(
    task: Cifar10, args: dict[str, object], path: str, features: tuple[int, int, int]
) -> None:
    """The encoder's end is where the official code of DMD2 looks (`return_bottleneck`)."""
    with torch.device("meta"):
        network = ddpmpp(task, **args)  # type: ignore[arg-type]
        inputs = Case(task.shape, 1).inputs()
        assert features_at(network, path, *inputs).shape == (1, *features)
        assert JudgedScore(network, path, task.shape).logits(*inputs).shape == (1,)


def test_meanflow_can_differentiate_it_forwards() -> None:
    network = awake(ddpmpp(Cifar10(), **SMALL, second_time=True)).double()  # type: ignore[arg-type]
    z, v = torch.randn(2, 1, 3, 32, 32, dtype=torch.float64)
    t, r, labels = torch.tensor([0.6]).double(), torch.tensor([0.3]).double(), torch.zeros(1).long()
    u, target = mean_velocity(network, z, t, r, v, labels)
    step = 1e-6
    ahead, _ = mean_velocity(network, z + step * v, t + step, r, v, labels)
    assert torch.allclose(target, v - 0.3 * (ahead - u) / step, atol=1e-4)


def test_images_of_no_class_are_known_if_asked_for() -> None:
    network = awake(ddpmpp(Cifar10(), **SMALL, null_label=True))  # type: ignore[arg-type]
    x, sigma, _ = Case().inputs()
    assert network.null_label == 10
    assert network(x, sigma, torch.full((3,), 10)).shape == x.shape


@pytest.mark.parametrize(
    ("task", "args"), [(Toy(), {}), (Cifar10(), {"mult": [1] * 7}), (Cifar10(), {"form": "vit"})]
)
def test_what_it_cannot_be_is_said(task: Toy, args: dict[str, object]) -> None:
    with pytest.raises(BadSpec, match=r"ddpmpp@1 has no '.*' of \d levels for images of \d+×\d+"):
        ddpmpp(task, **args)  # type: ignore[arg-type]


# ---------------------------------------------------------------- the generator


def test_a_generator_draws_images_of_its_latents_and_labels() -> None:
    network = awake(conv_generator(Cifar10(), channels=4))
    latents, labels = torch.randn(4, 3, 32, 32), torch.arange(4)
    images = network(latents, labels)
    assert images.shape == latents.shape
    assert not torch.allclose(images, network(latents, labels + 1), atol=1e-3)
    images.square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in network.parameters())
    latents.flatten(1)[:, 128:] = 0  # a view: the first values alone are looked at
    assert torch.equal(images, network(latents, labels))


def test_a_generator_wants_sides_that_are_multiples_of_8() -> None:
    with pytest.raises(BadSpec, match="multiples of 8"):
        conv_generator(Toy(), channels=4)
