"""One look for all pictures: colours that colour-blind readers tell apart, quiet axes."""

from __future__ import annotations

from typing import Any, Literal

TEACHER = "#000000"
CONTROL = "#767676"
START = "#a3a3a3"
FLOOR = "#d9d9d9"
BAND = "#f4f4f4"
STUDENTS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7b4fa3", "#8c6d31")
"""Okabe and Ito, Color universal design, 2008, without black and yellow, and two dark ones."""
TEACHER_MARKERS = ("s", "p", "h", "*")
"""One a family."""
MARKERS = ("o", "D", "^", "v", "P", "X", "<", ">")
START_MARKERS = ("d", "H", "8", "*")
LineStyle = Literal["-", "--", ":", "-."]
LINES: tuple[LineStyle, ...] = ("-", "--", ":", "-.")
"""One a family, in the order of names."""

WIDTH_INCHES, HEIGHT_INCHES = 8.0, 4.4
ENTRY_INCHES = 0.195
"""Height of one entry of a legend."""
DPI = 160

STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.labelsize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.3,
    "lines.markersize": 6.5,
    "text.parse_math": False,  # a name with dollar signs is a name
    "pdf.fonttype": 42,  # text stays text
    "svg.hashsalt": "kdbench",
}
