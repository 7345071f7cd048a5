"""The builds that one generator can be run in, by name."""

from __future__ import annotations

from dataclasses import dataclass

from kdbench.errors import BadSpec

_PRECISIONS = ("fp32", "tf32", "bf16", "fp16")
_MODES = {
    "compile": "default",
    "compile-reduce-overhead": "reduce-overhead",
    "compile-max-autotune": "max-autotune",
}
_WORDS = (*_PRECISIONS, *_MODES, "cuda-graph", "channels-last")


@dataclass(frozen=True)
class Variant:
    """How a network is run, whatever its weights."""

    precision: str = "fp32"
    """`fp32` (without TF32), `tf32`, `bf16` or `fp16`."""
    compile: str | None = None
    """Mode of torch.compile: `default`, `reduce-overhead` or `max-autotune`."""
    cuda_graph: bool = False
    channels_last: bool = False

    @property
    def name(self) -> str:
        """Its words in one order, the precision always first.

        >>> Variant("bf16", "default", channels_last=True).name
        'bf16+compile+channels-last'
        """
        words = [self.precision]
        words += [word for word, mode in _MODES.items() if mode == self.compile]
        words += ["cuda-graph"] if self.cuda_graph else []
        words += ["channels-last"] if self.channels_last else []
        return "+".join(words)


def parse_variant(name: str) -> Variant:
    """The variant of this name; words in any order, `fp32` where no precision is said.

    Raises:
        BadSpec: a word is unknown, said twice, or contradicts another.

    >>> parse_variant("channels-last").name
    'fp32+channels-last'
    """
    words = name.split("+")
    unknown = [word for word in words if word not in _WORDS]
    if unknown:
        raise BadSpec(f"No variant {unknown[0]!r}; the words are {', '.join(_WORDS)}, joined by +.")
    if len(set(words)) < len(words):
        raise BadSpec(f"The variant {name!r} says a word twice.")
    modes = [_MODES[word] for word in words if word in _MODES]
    precisions = [word for word in words if word in _PRECISIONS]
    graph = "cuda-graph" in words
    # Those modes capture graphs of their own.
    captured = graph and any(mode != "default" for mode in modes)
    if len(precisions) > 1 or len(modes) > 1 or captured:
        raise BadSpec(
            f"The variant {name!r} contradicts itself: one precision, one kind of compile, and "
            "cuda-graph with plain compile alone."
        )
    return Variant(
        precision=precisions[0] if precisions else "fp32",
        compile=modes[0] if modes else None,
        cuda_graph=graph,
        channels_last="channels-last" in words,
    )
