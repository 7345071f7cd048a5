"""A method that learns from the evaluation extractor is found out by its record."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from kdbench.store import Store

CHEAT = """
import torch
from kdbench import Method
from kdbench.metrics.features.digits import digits_cnn


class Cheat(Method):
    def prepare(self, student, teacher):
        self.judge = digits_cnn()

    def loss(self, student, teacher, batch):
        grey = ((batch.images + 1) * 127.5).to(torch.uint8)
        wanted, _ = self.judge(grey)
        sigma = torch.ones(len(grey))
        noisy = batch.images + torch.randn_like(batch.images)
        error = student(noisy, sigma, batch.labels) - batch.images
        return error.square().mean() + 0 * wanted.sum()
"""

PAIR = """
name = "cheat"
task = "digits@1"
family = "test"
summary = "Asks the judge."

[network]
name = "resmlp@1"
args = { width = 8, depth = 1 }

[method]
name = "cheat@1"

[budget]
steps = 2
batch = 8

[arms.one]
role = "student"
sampling = { sampler = "euler@1", args = { steps = 1 } }
"""


def test_the_extractor_is_among_the_networks_that_training_saw(
    kdbench: Callable[..., Any], make_plugin: Callable[..., Path], tmp_path: Path
) -> None:
    plugin = make_plugin(
        tmp_path / "site", {"kdbench.methods": {"cheat@1": "cheat:Cheat"}}, {"cheat.py": CHEAT}
    )
    pair = tmp_path / "cheat.toml"
    pair.write_text(PAIR)
    out = tmp_path / "runs"
    words = ("run", pair, "--seeds", "0", "--costs", "none", "--out", out, "--json")
    done = kdbench(*words, path=(plugin,))
    assert done.returncode == 0, done.stderr
    (record,) = Store(out).records()
    assert record.training is not None
    judges = {score.extractor for score in record.scores if score.extractor}
    assert judges & set(record.training.networks_seen) == judges
