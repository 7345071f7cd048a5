"""Who may stand out among rows with equally many calls: nobody, unless separated."""

from __future__ import annotations

from collections.abc import Sequence

from kdbench.record import Split
from kdbench.report.facts import TaskFacts
from kdbench.report.rows import Row
from kdbench.statistics import adjust_holm, judge, paired_difference


def comparable(row: Row, other: Row, metric: str, *, split: Split = "held-out") -> bool:
    """Whether the values of two rows were measured under one and the same conditions."""
    return len(row.conditions(metric, split) | other.conditions(metric, split)) == 1


def find_leader(rows: Sequence[Row], facts: TaskFacts) -> Row | None:
    """The row whose main metric is separated from that of every other row, or None.

    Paired t tests by seed with Holm's adjustment over the other rows. Rows without a value or
    with a disqualification are passed over; one with an unfinished seed leaves the group unranked.
    """
    rows = [row for row in rows if row.values(facts.main) and not row.disqualified]
    values = [row.values(facts.main) for row in rows]
    if len(rows) < 2 or not all(row.complete for row in rows):
        return None
    best = min(range(len(rows)), key=lambda i: facts.rank(sum(values[i].values()) / len(values[i])))
    others = [i for i in range(len(rows)) if i != best]
    if not all(comparable(rows[best], rows[i], facts.main) for i in others):
        return None
    differences = [paired_difference(values[best], values[i]) for i in others]
    adjusted = adjust_holm([difference.p for difference in differences])
    verdicts = [
        judge(difference, higher_is_better=facts.higher_is_better, adjusted_p=p)
        for difference, p in zip(differences, adjusted, strict=True)
    ]
    return rows[best] if all(verdict.word == "better" for verdict in verdicts) else None
