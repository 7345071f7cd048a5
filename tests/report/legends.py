"""What every plot's legend must be."""

from __future__ import annotations

from matplotlib.figure import Figure

from kdbench.report.plots import save


def assert_legend_is_whole_and_beside_the_axes(figure: Figure) -> None:
    """Nothing of legend or axes is cut off, and neither hides the other."""
    save(figure, "png")  # lays the figure out
    legend, axes = figure.legends[0].get_window_extent(), figure.axes[0].get_tightbbox()
    assert axes is not None
    assert axes.x0 >= 0
    assert legend.x0 >= axes.x1
    assert legend.x1 <= figure.bbox.x1
    assert legend.y0 >= 0
