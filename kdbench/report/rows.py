"""Records grouped into rows: one (task, pair, arm) over its training seeds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean

from kdbench.errors import StoreError
from kdbench.record import Identity, Record, Score, Split
from kdbench.report.conditions import Conditions, conditions_of
from kdbench.statistics import Estimated, mean_interval

_ROUNDING = 1e-9
"""Values that differ by less than this share of their size are the same."""


@dataclass(frozen=True)
class Row:
    """One row of a leaderboard: its records, one a training seed, in the order of seeds."""

    records: tuple[Record, ...]
    left_out: int = 0
    """Records of the same name that were made by another recipe."""

    @cached_property
    def finished(self) -> tuple[Record, ...]:
        """The records that were measured."""
        return tuple(record for record in self.records if record.status == "ok")

    @cached_property
    def identity(self) -> Identity:
        """What the row is; of a finished seed where there is one."""
        return (self.finished or self.records)[0].identity

    @property
    def label(self) -> str:
        """`pair@version/arm`."""
        return f"{self.identity.pair}/{self.identity.arm}"

    @property
    def seeds(self) -> str:
        """Finished seeds of all: `3/3`."""
        return f"{len(self.finished)}/{len(self.records)}"

    @property
    def complete(self) -> bool:
        """Whether every seed finished; nothing is claimed of a row where one did not."""
        return len(self.finished) == len(self.records)

    @property
    def teachers(self) -> frozenset[tuple[str, str]]:
        """The distinct teachers behind the finished seeds: name and replicate.

        A teacher that is not published is trained anew for every seed.
        """
        named = [record.identity for record in self.finished if record.identity.teacher]
        return frozenset(
            (
                i.teacher or "",
                f"seed {i.train_seed}" if i.teacher_replicate is None else str(i.teacher_replicate),
            )
            for i in named
        )

    @property
    def unfinished(self) -> tuple[str, ...]:
        """The seeds without a result, each with its reason."""
        return tuple(
            f"seed {r.identity.train_seed} {r.status}: {r.reason or 'no reason given'}"
            for r in self.records
            if r.status != "ok"
        )

    @cached_property
    def disqualified(self) -> tuple[str, ...]:
        """Why the row has no rank: its training saw the judge, or its numbers are only claimed."""
        seen = {name for r in self.finished if r.training for name in r.training.networks_seen}
        judges = {score.extractor for r in self.finished for score in r.scores if score.extractor}
        overlap = [
            f"training saw the evaluation extractor {name}" for name in sorted(seen & judges)
        ]
        claimed = (
            ["claimed, not verified"] if any(r.claim == "claimed" for r in self.records) else []
        )
        return (*overlap, *claimed)

    @property
    def marks(self) -> tuple[str, ...]:
        """Everything that a reader must know before leaning on the row."""
        records = "record" if self.left_out == 1 else "records"
        left_out = [f"{self.left_out} {records} of other recipes left out"] if self.left_out else []
        return (*self.unfinished, *self.disqualified, *left_out)

    def is_named(self, name: str) -> bool:
        """Whether `pair/arm`, with or without the pair's version, is this row."""
        pair, _, arm = name.rpartition("/")
        own = self.identity.pair
        return arm == self.identity.arm and pair in (own, own.partition("@")[0])

    def scores(self, metric: str, split: Split = "held-out") -> dict[int, Score]:
        """The scores of one metric by seed, measured or not."""
        found = ((r.identity.train_seed, r.score(metric, split)) for r in self.finished)
        return {seed: score for seed, score in found if score is not None}

    def values(self, metric: str, split: Split = "held-out") -> dict[int, float]:
        """The values of one metric by seed."""
        scores = self.scores(metric, split)
        return {seed: s.value for seed, s in scores.items() if s.value is not None}

    def conditions(self, metric: str, split: Split = "held-out") -> set[Conditions]:
        """Under what the values of one metric were measured; more than one cannot be averaged."""
        return {
            conditions_of(s) for s in self.scores(metric, split).values() if s.value is not None
        }

    def estimate(self, metric: str, split: Split = "held-out") -> Estimated:
        """Mean of one metric over seeds with its t interval.

        A single value, or one that all seeds share, keeps the interval that came with it (noise
        of sampling). A reason beside a value says which seeds are not in it.
        """
        scores = self.scores(metric, split)
        values = self.values(metric, split)
        if not values:
            return Estimated(None, reason=self._why_missing(scores))
        if len({c.pooled for c in self.conditions(metric, split)}) > 1:
            return Estimated(None, reason="seeds were measured under different protocols")
        absent = [
            f"seed {r.identity.train_seed} has no value: {_reason(scores, r)}"
            for r in self.finished
            if r.identity.train_seed not in values
        ]
        mean = mean_interval(list(values.values()))
        low, high = mean.low, mean.high
        if _all_equal(values.values()):
            low, high = _widest([s for s in scores.values() if s.value is not None])
        return Estimated(mean.value, low, high, mean.n, "; ".join(absent) or None)

    def sampling_half_width(self, metric: str) -> float | None:
        """Mean over seeds of the half-width of the interval that came with each value."""
        intervals = [score.interval for score in self.scores(metric).values() if score.interval]
        widths = [(i.high - i.low) / 2 for i in intervals if i.source == "sampling"]
        return fmean(widths) if widths else None

    def _why_missing(self, scores: dict[int, Score]) -> str:
        if not self.finished:
            return self.marks[0] if self.marks else "no finished seed"
        reasons = dict.fromkeys(s.reason for s in scores.values() if s.reason)
        return "; ".join(reasons) or "not measured"


def _all_equal(values: Collection[float]) -> bool:
    return max(values) - min(values) <= _ROUNDING * max(1.0, *map(abs, values))


def _widest(scores: Iterable[Score]) -> tuple[float | None, float | None]:
    """From the lowest to the highest end of the scores' own intervals."""
    intervals = [score.interval for score in scores if score.interval]
    if not intervals:
        return None, None
    return min(i.low for i in intervals), max(i.high for i in intervals)


def _reason(scores: dict[int, Score], record: Record) -> str:
    score = scores.get(record.identity.train_seed)
    return (score.reason if score else None) or "not measured"


def group_rows(records: Iterable[Record]) -> tuple[Row, ...]:
    """Rows in the order of their names, whatever the order of the records.

    A row keeps the records of the recipe of its newest record and counts the others.

    Raises:
        StoreError: two kept records of one row have the same seed.
    """
    groups: dict[tuple[str, str, str], list[Record]] = defaultdict(list)
    for record in records:
        identity = record.identity
        groups[identity.task, identity.pair, identity.arm].append(record)
    return tuple(_make_row(groups[name]) for name in sorted(groups))


def _make_row(group: Sequence[Record]) -> Row:
    newest = max(group, key=lambda record: (record.created, record.identity.recipe or ""))
    recipe = newest.identity.recipe
    kept = sorted(
        (record for record in group if record.identity.recipe == recipe),
        key=lambda record: record.identity.train_seed,
    )
    if len({record.identity.train_seed for record in kept}) < len(kept):
        identity = newest.identity
        raise StoreError(
            f"Two records of {identity.task} {identity.pair}/{identity.arm} have the same seed: "
            "keep one of them, or report one output folder at a time."
        )
    return Row(tuple(kept), left_out=len(group) - len(kept))


def find_row(rows: Iterable[Row], name: str) -> Row | None:
    """The row of `pair/arm`, or None; of several versions the one that sorts last."""
    return next((row for row in reversed(list(rows)) if row.is_named(name)), None)
