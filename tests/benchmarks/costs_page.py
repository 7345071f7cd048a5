"""The measured part of the page of costs, from one run of `test_ratio_under_load.py`."""

from __future__ import annotations

from typing import Any

from measured_page import writer

_SETTING = """\
`digits-edm/{student}` against `digits-edm/{teacher}`, one thread, {repeats} times each in turn, on
{cores} cores of {cpu} with two busy loops on each of them. CV is the standard deviation over
the mean."""


def _measured(run: dict[str, Any]) -> str:
    (info,) = (
        bench["extra_info"]["under_load"]
        for bench in run["benchmarks"]
        if "under_load" in bench["extra_info"]
    )
    setting = _SETTING.format(cpu=run["machine_info"]["cpu"]["brand_raw"], **info)
    marks = info["marks"]
    both = sorted({*marks[info["student"]], *marks[info["teacher"]]})
    rows = [
        _row("ratio, interleaved in one process", info["interleaved"], "×", marks["ratio"]),
        _row("ratio of two separate processes", info["separate"], "×", both),
        _row("latency of the student", info["student_ms"], " ms", marks[info["student"]]),
        _row("latency of the teacher", info["teacher_ms"], " ms", marks[info["teacher"]]),
    ]
    table = [
        "| figure | median | CV | range | marks of any run |",
        "| --- | ---: | ---: | --- | --- |",
    ]
    return "\n\n".join([setting, "\n".join([*table, *rows])])


def _row(name: str, found: dict[str, float], unit: str, marks: list[str]) -> str:
    low, high = (f"{found[end]:.2f}" for end in ("low", "high"))
    said = ", ".join(f"`{mark}`" for mark in marks) or "none"
    return (
        f"| {name} | {found['median']:.2f}{unit} | {found['cv']:.1%} | "
        f"{low}–{high}{unit} | {said} |"
    )


if __name__ == "__main__":
    writer(_measured)()
