"""What each mark of a cost says, in a reader's words: one place for screens, tables and reports."""

from __future__ import annotations

EXPLAINED = {
    "noisy": "the middle half of all rounds spreads over more than 10 % of the median",
    "unstable": "the middle half of all rounds spreads over more than 25 % of the median",
    "drift": "the first and the last third of the rounds differ by more than 5 %",
    "gap": "the median is more than 25 % above the fastest round",
    "few_rounds": "fewer than 6 rounds, too few for an interval of the median",
    "preempted": "other work had the processor for part of the time, so this time is too long: "
    "CPU time is below 95 % of wall time (85 % with several threads)",
    "starved": "other work had the processor for more than a quarter of the time: this wall time "
    "says nothing; cpu_ms in the JSON is the time that the call itself computed",
    "overthreaded": "more threads computed than the conditions say",
    "uneven_share": "other work met student and teacher unequally: the ratio of wall times and "
    "that of CPU times differ by more than 10 %",
    "host_busy": "other load took time from this process, or must have: host_busy_by in the JSON",
    "host_bound": "more than 10 % of the time lies before or after the work on the device; "
    "cuda-graph may help",
    "gpu_shared": "another process computed on the same device",
    "throttled": "the device held its clock back",
    "proc_spread": "equal processes differ by more than 5 %",
    "warmup_unsettled": "calls were still changing in length when warming up had to end",
    "replayed": "calls got much faster on inputs seen before: images may come from a cache",
    "output_differs": "images of timed calls are others than the program draws without a clock "
    "(PSNR below 50 dB): speed and quality are of two programs",
    "output_unchecked": "images of timed calls could not be compared with any others",
    "mismatch": "student and teacher ran under different conditions: no fair speed-up",
    "ratio_disagrees": "the ratio of the two latencies, measured apart, lies outside the interval "
    "of the interleaved one",
    "faster_than_macs": "the speed-up is more than 1.5 times what fewer operations explain: no "
    "proof of a fault, but ask why",
    "implausible": "faster than this device can compute or read weights: the work was not done",
    "macs_incomplete": "operations without a formula were met: the true number is higher",
    "macs_disagree": "evaluations differ in their number of operations, so one does not stand for "
    "all",
    "nfe_counted": "the program declares another number of evaluations than were counted",
    "in_process": "measured in a process that does other things too, not in a fresh one",
}
"""By the mark's name, which is what stands before a colon."""


def explain_mark(mark: str) -> str | None:
    """What a mark says; None of one that is not known here, as in a record of a later version.

    >>> explain_mark("mismatch:dtype")
    'student and teacher ran under different conditions: no fair speed-up'
    """
    return EXPLAINED.get(mark.partition(":")[0])
