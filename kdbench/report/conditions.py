"""What must be equal before two scores may stand in one column or be subtracted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

from kdbench.record import Score


@dataclass(frozen=True)
class Conditions:
    """How a score was measured; compared literally."""

    metric: str
    n: int
    n_reference: int | None
    extractor: str | None
    protocol: str
    reference: str | None
    """SHA-256 of the reference; each seed has its own where the targets are a teacher's images."""

    @property
    def pooled(self) -> Conditions:
        """The same without the reference, which may differ between seeds of one row."""
        return replace(self, reference=None)

    def agree(self, other: Conditions) -> bool:
        """Whether two scores may be ranked together; one without a single reference may."""
        references = {self.reference, other.reference} - {None}
        return self.pooled == other.pooled and len(references) <= 1

    def describe(self) -> str:
        """One clause for a reader: n, reference, extractor, protocol."""
        against = f" against {self.n_reference:,} reference images" if self.n_reference else ""
        parts = [f"n = {self.n:,} generated{against}"]
        if self.extractor:
            name, _, digest = self.extractor.partition(":")
            parts.append(f"extractor {name}" + (f" ({digest[:12]})" if digest else ""))
        if self.reference:
            parts.append(f"reference {self.reference[:12]}")
        return ", ".join([*parts, self.protocol] if self.protocol else parts)


def conditions_of(score: Score) -> Conditions:
    """The conditions of one score."""
    return Conditions(
        metric=score.metric,
        n=score.n,
        n_reference=score.n_reference,
        extractor=score.extractor,
        protocol=score.protocol,
        reference=score.reference,
    )


def most_common(conditions: Iterable[Conditions]) -> Conditions | None:
    """The conditions that most rows share; of equally many, the first in sorting order."""
    counts = Counter(conditions)
    if not counts:
        return None
    return min(counts, key=lambda c: (-counts[c], _sortable(c)))


def _sortable(conditions: Conditions) -> tuple[str, ...]:
    return (conditions.metric, conditions.protocol, conditions.describe())
