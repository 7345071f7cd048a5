"""The measured part of the page of speeds, from one run of the benchmarks: `make speed`."""

from __future__ import annotations

from typing import Any

from measured_page import writer

_SETTING = """\
One thread of {cpu}; {packages}. Times are medians of the rounds of one process, in which own code
and peers took turns."""


def _measured(run: dict[str, Any]) -> str:
    found = [bench for bench in run["benchmarks"] if "what" in bench["extra_info"]]
    cpu = run["machine_info"]["cpu"]["brand_raw"]
    setting = _SETTING.format(cpu=cpu, packages=found[0]["extra_info"]["packages"])
    table = ["| what | kdbench | peer | ratio | goal |", "| --- | ---: | --- | ---: | ---: |"]
    table += [line for bench in found for line in _lines(bench)]
    notes = [f"- {b['extra_info']['what']}: {note}." for b in found if (note := _note(b))]
    return "\n\n".join([setting, "\n".join(table), "\n".join(notes)])


def _lines(bench: dict[str, Any]) -> list[str]:
    info, own = bench["extra_info"], bench["stats"]["median"]
    lines = []
    for name, seconds in sorted(info["peers_s"].items(), key=lambda item: item[1]):
        meant = name == info["against"]
        goal = f"≥ {info['goal']:g}×" if meant and info["goal"] else ""
        ratio = f"{seconds / own:.1f}×"
        lines.append(
            f"| {info['what'] if not lines else ''} | {_seconds(own) if not lines else ''} | "
            f"{name}: {_seconds(seconds)} | {f'**{ratio}**' if meant else ratio} | {goal} |"
        )
    return lines


def _seconds(value: float) -> str:
    return f"{value:.1f} s" if value >= 10 else f"{value:.2f} s"


def _note(bench: dict[str, Any]) -> str:
    info = bench["extra_info"]
    said = [info["note"]] if info["note"] else []
    if peaks := info.get("peak_mb"):
        each = ", ".join(f"{name} {peak:,.0f} MB" for name, peak in peaks.items())
        said.append(f"memory beyond the features at the peak: {each}")
    if share := info.get("share_of_feature_pass"):
        image = info["seconds_an_image"]
        said.append(
            f"it takes {share:.1%} of the feature pass of both sets with Inception-v3, which at "
            f"{image:.3f} s an image (measured over 50) is {20_000 * image / 60:.0f} minutes"
        )
    return "; ".join(said)


if __name__ == "__main__":
    writer(_measured)()
