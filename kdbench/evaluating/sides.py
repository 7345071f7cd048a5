"""The sides of a comparison: images in the student's order, or what an extractor says of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from kdbench.evaluating.few_at_a_time import Side, places_by, stacked
from kdbench.evaluating.material import Material
from kdbench.evaluating.partners import widened
from kdbench.evaluating.watched import watched
from kdbench.metrics.cache import Cache
from kdbench.metrics.features.base import Extractor
from kdbench.metrics.image_sets import Images
from kdbench.stages import Progress

Whose = Literal["student", "paired", "partner", "teacher"]
"""The student's images as they were read, or as they are paired; what those are compared with; and
the teacher's, where targets are compared with."""


@dataclass(frozen=True, eq=False)
class Sides:
    """Whose images there are, all that belong to one image with as many channels."""

    material: Material
    cache: Cache
    progress: Progress
    _seen: dict[tuple[Whose, str], list[Tensor]] = field(default_factory=dict)

    @cached_property
    def images(self) -> dict[Whose, Side]:
        """(C, H, W) each, in the student's order."""
        compared, beside = self.material.compared, self.material.beside
        pairs: dict[Whose, list[Tensor]] = {}
        if compared is not None:
            pairs |= {"paired": compared.pairs.students, "partner": compared.pairs.targets}
        if self.material.targets is not None and beside is not None:
            pairs["teacher"] = beside.pairs.targets
        places = self.material.in_colour
        found: dict[Whose, Side] = {who: widened(side, places) for who, side in pairs.items()}
        return {"student": self.material.student.read.images, **found}

    def features(self, whose: Whose, judge: Extractor) -> list[Tensor]:
        """(D,) each, computed once; images of one shape are seen together."""
        if (whose, judge.id) not in self._seen:
            self._seen[whose, judge.id] = self._extracted(self.images[whose], judge)
        return self._seen[whose, judge.id]

    def _extracted(self, side: Side, judge: Extractor) -> list[Tensor]:
        found: dict[int, Tensor] = {}
        for places in places_by(side):
            images = stacked(side, places)
            told = watched(judge, "pairs", len(images), progress=self.progress)
            seen = Images(images, torch.zeros(len(images), dtype=torch.int64))
            features = seen.seen_by(told, self.cache).features
            assert features is not None
            found |= zip(places.tolist(), features, strict=True)
        return [found[i] for i in range(len(side))]
