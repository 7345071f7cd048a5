"""What an evaluation gives: scores with all that they depend on, and the numbers of each image."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from pydantic import Field

from kdbench.record import Code, Interval, Part
from kdbench.spec import content_key
from kdbench.store import write_atomically

SCHEMA: Literal["kdbench.evaluation/1"] = "kdbench.evaluation/1"


class Given(Part):
    """Something that was read or drawn, by its content; no path is kept."""

    name: str
    n: int | None
    """Images; None where statistics do not say."""
    sha256: str
    """Of pixels, those of partners in the student's order, or of mean and covariance."""
    labels_sha256: str | None = None
    """Of labels and the names of their classes; None without labels."""
    n_failed: int = 0
    """Drawn images with a value that is not finite, or with one value everywhere."""
    notes: list[str] = Field(default_factory=list)
    """How files were treated."""


class EvaluationScore(Part):
    """One metric's value with everything that it depends on."""

    metric: str
    """`name@version`, with the extractor in brackets where it was chosen."""
    value: float | None
    reason: str | None = None
    """Why there is no value, or no interval."""
    unit: str | None = None
    higher_is_better: bool | None = None
    """None: neither direction is better by itself."""
    n: int
    """Images of the student that entered."""
    n_reference: int | None = None
    """Images that they are compared with."""
    interval: Interval | None = None
    reference: str | None = None
    """SHA-256 of what is compared with, as in records."""
    extractor: str | None = None
    """`name@version:sha256` of the feature network."""
    protocol: str
    """How it was measured, in words that are compared literally."""
    details: dict[str, float | None] = Field(default_factory=dict)
    marks: list[str] = Field(default_factory=list)
    """What a reader must know before believing the value."""


class Evaluation(Part):
    """One student against what was given."""

    schema_: Literal["kdbench.evaluation/1"] = Field(alias="schema")
    created: str
    """UTC, ISO 8601; a label, never a duration."""
    student: Given
    reference: Given | None = None
    targets: Given | None = None
    teacher: Given | None = None
    task: str | None = None
    seed: int
    protocol: list[str] = Field(default_factory=list)
    """Named protocols, with the pixels that were cut."""
    scores: list[EvaluationScore]
    per_image: list[dict[str, float | str | None]] = Field(default_factory=list)
    """`name`, and the numbers by metric; none for metrics of sets."""
    code: Code

    @property
    def key(self) -> str:
        """Identity of what was measured and how, whenever and with whichever result."""
        how = [[s.metric, s.reference, s.extractor, s.protocol] for s in self.scores]
        sides = (self.student, self.teacher, self.targets, self.reference)
        content = [[side.sha256, side.labels_sha256] if side else None for side in sides]
        return content_key([self.student.name, content, self.task, self.seed, how])

    def score(self, metric: str) -> EvaluationScore | None:
        """The score of a metric, with or without its version, or None."""
        names = {score.metric: score for score in self.scores}
        short = {score.metric.partition("@")[0]: score for score in self.scores}
        return names.get(metric) or short.get(metric)

    def write(self, folder: Path) -> Path:
        """Write the record into a folder, in place of an earlier one of the same measurement.

        Raises:
            StoreError: the folder cannot be written or the disk is full.
        """
        path = folder / f"evaluation-{self.key[:12]}.json"
        write_atomically(path, self.to_json().encode())
        return path

    def to_json(self) -> str:
        """Readable JSON, the same text for the same evaluation."""
        value = self.model_dump(mode="json", by_alias=True)
        return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
