"""All costs of one program: a fresh process a figure, one after another, never two at once."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from kdbench.costs.arithmetic import check_arithmetic
from kdbench.costs.job import Figure
from kdbench.costs.merge import is_noisy, merge_costs, merge_ratios
from kdbench.costs.missing import FIGURES, OUT_OF_MEMORY, missing
from kdbench.costs.profiles import Profile
from kdbench.costs.run import Outcome, measure_figure
from kdbench.costs.shown import check_images, compare_images
from kdbench.costs.weights_cache import drop_from_cache
from kdbench.record import Cost

EQUAL_BATCH = 8
GAIN = 1.05
"""A sweep ends where a doubled batch makes throughput less than this many times higher."""
SHOWN = ("latency_ms", "speedup", "throughput_img_s")
"""Costs whose calls hand over images."""
SLOW_CALLS = 100
"""Calls that a process is given time for beyond its profile's, once their time is known."""
KEPT_ROUNDS = 3
FIRST_ROUNDS = 16
"""Rounds among which those whose images are kept are drawn; fewer are timed of slow generators."""

Images = dict[tuple[int, int], Any]
"""Images by replicate and number of their input."""
Tell = Callable[[str], None]
"""Told of each figure before it is measured."""


@dataclass(frozen=True)
class Program:
    """What is measured, beside what, and where."""

    build: dict[str, Any]
    """Opaque: what a generator is made of in a fresh process."""
    machine: str
    """Hashed identity."""
    against: dict[str, Any] | None = None
    """The teacher of a ratio."""
    against_label: str | None = None
    variant: str = "fp32"
    threads: int = 1


@dataclass(frozen=True, eq=False)
class _Piece:
    """A cost, and the images that its calls gave."""

    cost: Cost
    images: Images = field(default_factory=dict)


@dataclass(eq=False)
class Session:
    """Measures one program under one profile."""

    program: Program
    profile: Profile
    measure: Callable[..., Outcome] = measure_figure
    tell: Tell = lambda _: None
    rounds: list[Outcome] = field(default_factory=list)
    """The processes of the latency that was taken."""
    _call_s: float = 0.0
    """What a call takes, as soon as that is known."""

    def costs(self) -> list[Cost]:
        """All costs of the profile; what could not be measured has its reason.

        Where the program cannot even be timed at batch 1, nothing else is tried.
        """
        pieces = self._latencies()
        first = pieces[0].cost
        self._call_s = (first.value or 0) / 1e3
        if first.value is None:
            reason = first.reason or ""
            untried: tuple[Figure, ...] = ("memory", "counts")
            return [first, *(c for f in untried for c in self._all_missing(f, 1, reason))]
        if self.program.against is not None:
            pieces.append(self._ratio())
        pieces += self._throughputs()
        pieces += [self._once("memory", batch)[0] for batch in self.profile.memory_batches]
        if self.profile.cold_starts:
            pieces.append(self._cold_start())
        if self.profile.energy:
            batches = self.profile.memory_batches
            pieces += [piece for batch in batches for piece in self._once("energy", batch)]
        return self._counted_and_checked(pieces)

    def _latencies(self) -> list[_Piece]:
        """One cost a boundary, of as many processes as the profile asks for."""
        self.rounds = self._least_noisy("latency")
        outcomes, images = self.rounds, _images(self.rounds)
        failed = next((o for o in outcomes if o.status != "ok"), None)
        if failed is not None:
            return [_Piece(self._missing("latency", _reason(failed)))]
        return [
            _Piece(merge_costs(costs), images if costs[0].boundary == "e2e" else {})
            for costs in zip(*(outcome.costs for outcome in outcomes), strict=True)
        ]

    def _ratio(self) -> _Piece:
        outcomes = self._least_noisy("ratio")
        failed = next((o for o in outcomes if o.status != "ok"), None)
        if failed is not None:
            return _Piece(self._missing("ratio", _reason(failed)))
        ratios = [outcome.series["ratio"] for outcome in outcomes]
        costs = [outcome.costs[0] for outcome in outcomes]
        return _Piece(merge_ratios(costs, ratios), _images(outcomes))

    def _least_noisy(self, figure: Figure) -> list[Outcome]:
        """Equal processes; all of them once more while their figure is marked for noise.

        A process that fails ends it: what failed once is not a figure, and a hang takes long.
        """
        best: list[Outcome] = []
        for attempt in range(self.profile.reruns + 1):
            found: list[Outcome] = []
            while len(found) < self.profile.processes:
                again = ", again for its noise" if attempt else ""
                found.append(self._run(figure, 1, note=again, keep=_secret_rounds()))
                if found[-1].status != "ok":
                    return found
            if not best or _noise(found) < _noise(best):
                best = found
            if _noise(best) == 0:
                break
        return best

    def _throughputs(self) -> list[_Piece]:
        """Throughput at each batch, up to where a sweep ends."""
        pieces: list[_Piece] = []
        for batch in self.profile.batches:
            pieces += self._once("throughput", batch)
            if self.profile.sweep and _is_over([piece.cost for piece in pieces]):
                break
        return pieces

    def _cold_start(self) -> _Piece:
        weights = self.program.build.get("weights")
        outcomes, labels = [], set()
        for _ in range(self.profile.cold_starts):
            labels.add(drop_from_cache(Path(weights)) if weights else "no_file")
            with tempfile.TemporaryDirectory(prefix="kdbench-inductor-") as folder:
                # A compiler's results of an earlier process would make a cold start warm.
                fresh = {"TORCHINDUCTOR_CACHE_DIR": folder}
                outcomes.append(self._run("cold-start", 1, environment=fresh))
        failed = next((o for o in outcomes if o.status != "ok"), None)
        if failed is not None:
            return _Piece(self._missing("cold-start", _reason(failed)))
        merged = merge_costs([outcome.costs[0] for outcome in outcomes])
        details = {**merged.details, "file": "+".join(sorted(labels))}
        return _Piece(merged.model_copy(update={"details": details}))

    def _once(self, figure: Figure, batch: int) -> list[_Piece]:
        """A figure of one process."""
        outcome = self._run(figure, batch, keep=_secret_rounds())
        if outcome.status != "ok":
            return [_Piece(cost) for cost in self._all_missing(figure, batch, _reason(outcome))]
        return [_Piece(cost, outcome.images) for cost in outcome.costs]

    def _run(
        self,
        figure: Figure,
        batch: int,
        *,
        note: str = "",
        keep: tuple[int, ...] = (),
        show: tuple[tuple[int, int], ...] = (),
        environment: dict[str, str] | None = None,
    ) -> Outcome:
        self.tell(figure + (f" at batch {batch}" if batch > 1 else "") + note)
        program = self.program
        needs_teacher = figure in ("ratio", "counts")
        job = {
            "figure": figure,
            "build": program.build,
            "against": program.against if needs_teacher else None,
            "against_label": program.against_label if needs_teacher else None,
            "variant": program.variant,
            "batch": batch,
            "boundaries": self.profile.boundaries,
            "effort": self.profile.effort.model_dump(),
            "replicate": secrets.randbelow(2**31),
            "keep": keep,
            "show": show,
            "threads": program.threads,
            "machine": program.machine,
        }
        timeout_s = self.profile.timeout_s + SLOW_CALLS * self._call_s
        return self.measure(job, timeout_s=timeout_s, environment=environment)

    def _counted_and_checked(self, pieces: list[_Piece]) -> list[Cost]:
        """All costs, their images compared with those that the program draws without a clock."""
        numbers = sorted({number for piece in pieces for number in piece.images})
        drawn = self._run("counts", 1, show=tuple(numbers))
        counted = (
            drawn.costs if drawn.status == "ok" else self._all_missing("counts", 1, _reason(drawn))
        )
        compared = [_compared(piece, drawn.images) for piece in pieces]
        return check_arithmetic([*compared, *counted])

    def _missing(self, figure: Figure, reason: str) -> Cost:
        return self._all_missing(figure, 1, reason)[0]

    def _all_missing(self, figure: Figure, batch: int, reason: str) -> list[Cost]:
        against = self.program.against_label if figure == "ratio" else None
        return [
            missing(metric, reason, boundary="e2e", batch=batch, against=against)
            for metric in FIGURES[figure]
        ]


def _compared(piece: _Piece, drawn: Images) -> Cost:
    cost = piece.cost
    if cost.value is None or cost.boundary != "e2e" or cost.metric not in SHOWN:
        return cost
    if not piece.images.keys() <= drawn.keys() or not piece.images:
        return cost.model_copy(update={"marks": [*cost.marks, "output_unchecked"]})
    return check_images(cost, compare_images(piece.images, drawn))


def _secret_rounds() -> tuple[int, ...]:
    """Rounds that no generator can know of when it is written."""
    return tuple(sorted(secrets.SystemRandom().sample(range(FIRST_ROUNDS), KEPT_ROUNDS)))


def _reason(outcome: Outcome) -> str:
    if outcome.status == "oom":
        return OUT_OF_MEMORY
    if outcome.status == "skipped":
        return outcome.reason or ""
    return f"{outcome.status}: {outcome.reason}"


def _images(outcomes: list[Outcome]) -> Images:
    return {number: image for o in outcomes for number, image in o.images.items()}


def _noise(outcomes: list[Outcome]) -> int:
    """How many of the headlines are marked for noise, and whether they disagree."""
    costs = [outcome.costs[0] for outcome in outcomes]
    return sum(map(is_noisy, costs)) + is_noisy(merge_costs(costs))


def _is_over(costs: list[Cost]) -> bool:
    """Whether memory ended, or two doublings of the batch in a row gained too little.

    One alone can be the machine's. Batch 8 is always reached: it is what rows are compared at.
    """
    last = [cost.value for cost in costs[-3:]]
    if last[-1] is None:
        return True
    if len(last) < 3 or (costs[-1].batch or 0) < EQUAL_BATCH:
        return False
    return all(
        before is not None and after is not None and after < GAIN * before
        for before, after in pairwise(last)
    )
