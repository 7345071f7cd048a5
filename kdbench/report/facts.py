"""What a report has to know of a task without importing it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kdbench.errors import StoreError
from kdbench.record import Record


@dataclass(frozen=True)
class TaskFacts:
    """How the rows of one task are compared."""

    task: str
    """`name@version`."""
    main: str
    """The main metric, `name@version`."""
    margin: float
    """The smallest difference of the main metric that matters, in its unit."""
    higher_is_better: bool
    """Direction of the main metric."""
    kind: str = ""
    """`class-conditional generation`, …; empty where it is not known."""

    def rank(self, value: float) -> float:
        """A sort key of the main metric: the smaller, the better."""
        return -value if self.higher_is_better else value


def read_facts(records: Sequence[Record]) -> list[TaskFacts]:
    """The facts of every task among `records`, in the order of their names.

    The direction is that of the main metric's scores; without one there is nothing to compare.

    Raises:
        StoreError: records of one task name different main metrics or margins.
    """
    tasks = sorted({record.identity.task for record in records})
    return [_facts(task, [r for r in records if r.identity.task == task]) for task in tasks]


def _facts(task: str, records: Sequence[Record]) -> TaskFacts:
    stated = {(r.identity.main_metric, r.identity.margin) for r in records}
    if len(stated) > 1:
        raise StoreError(
            f"The records of {task} disagree about its main metric or margin: "
            "report those of one kdbench version at a time."
        )
    main, margin = stated.pop()
    scores = [score for record in records if (score := record.score(main)) is not None]
    return TaskFacts(task, main, margin, any(score.higher_is_better for score in scores))
