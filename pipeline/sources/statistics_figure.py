"""A figure like the paper's Fig. 3: derivative histograms of the sets on a log scale, and their spectra."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from pipeline.sources.statistics import Measured, divergence

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_STYLES = ("-", "--", "-.", ":")


def figure(sets: Mapping[str, Measured], natural: Measured | None = None) -> Figure:
    """Derivative densities (left, log scale, with KL(natural, set) where there are photographs) and spectra (right).

    The caller saves it (``savefig``); no display is needed.
    """
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(10, 4), layout="constrained")
    left, right = drawn.subplots(1, 2)
    for number, (name, measured) in enumerate(sets.items()):
        beside = "" if natural is None else f", KL {divergence(natural.counts, measured.counts):.3f}"
        _lines(left, right, measured, name.replace("_", " "), beside, linestyle=_STYLES[number % 4])
    if natural is not None:
        _lines(left, right, natural, "photographs", "", linestyle="-", color="black")
    left.set(xlabel="derivative of the luma, grey levels", ylabel="density (unit bins)", ylim=(1e-7, 1.5))
    right.set(xlabel="cycles per pixel", ylabel="log10 power, relative", xlim=(0.02, 0.25))
    right.set_xticks([0.02, 0.05, 0.1, 0.2], ["0.02", "0.05", "0.1", "0.2"])
    right.minorticks_off()
    for axes in (left, right):
        axes.legend(fontsize=8, frameon=False, loc="upper left" if axes is left else "lower left")
        axes.grid(alpha=0.25)
    return drawn


def svg(sets: Mapping[str, Measured], natural: Measured | None = None) -> bytes:
    """:func:`figure` as an SVG file; equal statistics give equal bytes (no date, element ids from a fixed salt)."""
    import matplotlib

    drawn = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "statistics", "svg.fonttype": "path"}):
        figure(sets, natural).savefig(drawn, format="svg", metadata={"Date": None})
    return drawn.getvalue()


def _lines(left: Axes, right: Axes, measured: Measured, name: str, beside: str, **style: str) -> None:
    arrays = measured.arrays()
    left.semilogy(arrays["bins"], np.maximum(arrays["density"], 1e-8), label=name + beside, linewidth=1.4, **style)
    label = f"{name}, slope {measured.figures()['slope']:.2f}"
    power = arrays["power"] - np.nanmax(arrays["power"])
    right.semilogx(arrays["frequency"], power, label=label, linewidth=1.4, **style)
