"""The table of failures as a page of the documentation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from kdbench.metrics.blindness.table import BLIND, Response

MANY = 1000
"""More standard deviations than this are not told apart."""

_HEAD = """\
# What each metric sees, and what it is blind to

Made by `{command}`; do not
edit. A known truth, fifty modes in {dimensions} dimensions, takes the place of an extractor's
features; a generator that fails in one way is measured with n = {n:,}
images a set, like everything it is compared with. Numbers are the shift of the metric's mean in
standard deviations of a faultless generator ({null_draws} draws of it, {draws} of each failure).
**Bold**: the failure is seen (at least {blind:g} standard deviations). † : it is seen and looks
*better*. ∞: faultless generators all have the same value.

Every image is asked for by its mode, as a class is. A generator that drops a mode makes another one
in its place, which metrics that go class by class or latent by latent take for a wrong image: hence
their large numbers. One synthetic family: read directions and orders of magnitude, not the second
digit.
"""


def write_page(
    responses: Sequence[Response],
    *,
    aliases: Mapping[str, str],
    setting: Mapping[str, object],
) -> str:
    """The whole page as Markdown.

    Args:
        responses: one a metric, in the order of the table's rows.
        aliases: metrics that are not measured here, and why or as what they behave.
        setting: what the head of the page says of how it was made.
    """
    failures = list(responses[0].shifts)
    parts = [
        _HEAD.format(blind=BLIND, **setting),
        _table(responses, failures),
        "## In words",
        "\n".join(_words(response, failures) for response in responses),
        "## Not in the table",
        "\n".join(f"- `{name}`: {why}" for name, why in aliases.items()),
    ]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _table(responses: Sequence[Response], failures: Sequence[str]) -> str:
    lines = [
        "| " + " | ".join(["metric", "better", *failures]) + " |",
        "| " + " | ".join(["---", "---", *["---:"] * len(failures)]) + " |",
    ]
    for response in responses:
        cells = [_cell(response, failure) for failure in failures]
        lines.append("| " + " | ".join([f"`{response.metric}`", _arrow(response), *cells]) + " |")
    return "\n".join(lines)


def _arrow(response: Response) -> str:
    return {True: "↑", False: "↓", None: "–"}[response.higher_is_better]


def _cell(response: Response, failure: str) -> str:
    shift = response.shifts[failure]
    size = abs(shift)
    text = "∞" if math.isinf(size) else f"{size:.0f}" if size < MANY else f">{MANY:,.0f}"
    sign = ("+" if shift > 0 else "−") if text != "0" else ""
    if response.is_blind(failure):
        return sign + text
    return f"**{sign}{text}**" + ("†" if response.is_misled(failure) else "")


def _words(response: Response, failures: Sequence[str]) -> str:
    blind = [failure for failure in failures if response.is_blind(failure)]
    misled = [failure for failure in failures if response.is_misled(failure)]
    said = f"blind to {_list(blind)}" if blind else "blind to none of these"
    if misled:
        said += f"; takes for an improvement: {_list(misled)}"
    return f"- `{response.metric}` is {said}."


def _list(names: Sequence[str]) -> str:
    return ", ".join(f"“{name}”" for name in names)
