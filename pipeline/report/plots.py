"""The page's figures as inline SVG by matplotlib. Text stays text, and colours follow the page's light or dark theme.

Figures are drawn in placeholder colours (#0101xx), which are then replaced by the page's CSS variables. Equal data give
equal bytes: no date, ids from a fixed salt.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from pipeline.evaluation.agreement.logistic import LogisticFit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, RULE = "#010100", "#010101", "#010102"
SERIES = tuple(f"#0101{number}" for number in range(10, 18))
RAMP = tuple(f"#0101{number}" for number in range(20, 25))  # five steps from low (or bad) to high
_NAMES = {INK: "ink", MUTED: "muted", RULE: "rule", **{code: f"c{index}" for index, code in enumerate(SERIES)}}
_NAMES |= {code: f"r{index}" for index, code in enumerate(RAMP)}
MOST_POINTS = 2000  # in a scatter plot; each point takes 35 bytes of the page


@dataclass(frozen=True)
class Curve:
    """One line of a figure: its name, x and y (equal lengths), and the number of its colour."""

    name: str
    x: np.ndarray
    y: np.ndarray
    colour: int


def lines(curves: Sequence[Curve], *, x: str, y: str, alt: str, level: tuple[str, float] | None = None) -> str:
    """Named curves over axes named ``x`` and ``y``; ``level`` is a named horizontal line."""
    figure, axes = _figure(5.6, 3.1, x, y)
    for curve in curves:
        axes.plot(
            curve.x, curve.y, color=_colour(curve.colour), linewidth=1.7, label=curve.name, solid_capstyle="round"
        )
    if level is not None:
        place = axes.get_yaxis_transform()
        axes.axhline(level[1], color=MUTED, linewidth=0.9, dashes=(4, 3))
        axes.text(0.99, level[1], level[0], transform=place, ha="right", va="bottom", color=MUTED, fontsize=9)
    axes.legend(frameon=False, fontsize=10, labelcolor=INK, handlelength=1.2, borderaxespad=0)
    return _svg(figure, alt)


def scatter(
    prediction: np.ndarray,
    mos: np.ndarray,
    *,
    colour: int,
    fits: Sequence[LogisticFit],
    alt: str,
    diagonal: bool = True,
) -> str:
    """Predictions against opinions (vectors of equal length), with the fitted curves and a dashed diagonal.

    ``diagonal`` is false where the two have different units. Of more than ``MOST_POINTS`` points only every n-th is
    drawn (:func:`thinning`).
    """
    figure, axes = _figure(3.1, 2.7, "predicted" if diagonal else "metric, higher is better", "opinion")
    step = thinning(len(mos))
    axes.plot(prediction[::step], mos[::step], "o", color=_colour(colour), markersize=2.6, markeredgewidth=0, alpha=0.5)
    span = np.linspace(float(np.min(prediction)), float(np.max(prediction)), 60)
    shared = [max(span[0], float(np.min(mos))), min(span[-1], float(np.max(mos)))]
    if diagonal and shared[0] < shared[1]:
        axes.plot(shared, shared, color=MUTED, linewidth=0.9, dashes=(4, 3))
    for fit in fits:
        axes.plot(span, fit(span), color=INK, linewidth=1.0 if len(fits) > 1 else 1.5, alpha=0.85)
    low, high = float(np.min(mos)), float(np.max(mos))
    room = 0.06 * (high - low or 1.0)
    axes.set_ylim(low - room, high + room)
    return _svg(figure, alt)


@dataclass(frozen=True)
class Cloud:
    """Points of one colour (of :data:`SERIES` or :data:`RAMP`): ``places`` float [n, 2]."""

    name: str
    places: np.ndarray
    colour: str


def clouds(parts: Sequence[Cloud], *, alt: str) -> str:
    """Points in the plane without axes, since only their neighbourhoods mean something."""
    figure, axes = _figure(3.1, 3.1, "", "")
    for cloud in parts:
        axes.plot(*cloud.places.T, "o", color=cloud.colour, markersize=2.8, markeredgewidth=0, alpha=0.8)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_aspect("equal", "datalim")
    return _svg(figure, alt)


def thinning(count: int) -> int:
    """The step between the points that a scatter plot of ``count`` points draws; 1: all."""
    return max(1, -(-count // MOST_POINTS))


def bars(
    values: Mapping[str, Mapping[str, float]],
    colours: Mapping[str, int],
    *,
    x: str,
    alt: str,
    level: float | None = None,
) -> str:
    """Horizontal bars: ``values`` maps a group (a set) to the value of each name (an encoder), drawn in this order."""
    count = sum(len(group) + 1 for group in values.values())
    figure, axes = _figure(5.6, 0.55 + 0.24 * count, x, "")
    place, ticks = 0.0, []
    for group, named in values.items():
        ticks.append((place + 0.5 * (len(named) - 1), group))
        for name, value in named.items():
            axes.barh(place, value, 0.74, color=_colour(colours[name]))
            axes.annotate(
                f"{value:.3f} {name}",
                (value, place),
                (5, 0),
                textcoords="offset points",
                va="center",
                color=INK,
                fontsize=9.5,
            )
            place += 1
        place += 0.8
    if level is not None:
        axes.axvline(level, color=INK, linewidth=0.9, dashes=(3, 2))
    axes.set_yticks([position for position, _ in ticks], [f"on {group.replace('_', ' ')}" for _, group in ticks])
    axes.tick_params(axis="y", length=0)
    axes.set_xlim(0, 1.6 * max([1e-3, *(value for group in values.values() for value in group.values())]))
    axes.invert_yaxis()
    axes.grid(False, axis="y")
    return _svg(figure, alt)


def _colour(number: int) -> str:
    return SERIES[number % len(SERIES)]


def _figure(width: float, height: float, x: str, y: str) -> tuple[Figure, Axes]:
    """An empty figure of ``width`` x ``height`` inches at 80 pixels an inch, in the style of the page."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure((width, height), dpi=80, layout="constrained", facecolor="none")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(facecolor="none")
    axes.set_xlabel(x, color=MUTED, fontsize=10)
    axes.set_ylabel(y, color=MUTED, fontsize=10)
    axes.tick_params(colors=MUTED, labelsize=9.5, length=0)
    axes.grid(color=RULE, linewidth=0.8)
    axes.set_axisbelow(True)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return figure, axes


def _svg(figure: Figure, alt: str) -> str:
    """The figure as an ``<svg>`` element whose text has the page's font and whose colours are the page's variables."""
    import matplotlib

    sink = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": alt}):
        figure.savefig(sink, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = sink.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", text, flags=re.S)
    text = re.sub(r' id="[A-Za-z0-9.]+_\d+"', "", text)  # ids that nothing refers to
    text = re.sub(r"(font-size: [^;]+); font-family: [^;]+;", r"\1;", text)
    # a marker's colour once for all points
    text = re.sub(r'(<g[^>]*)>\s*(?=<use [^>]*(style="[^"]*"))', r"\1 \2>", text)
    text = re.sub(r'(<use [^>]*?) style="[^"]*"', r"\1", text)
    text = re.sub(
        r"<[^>]+>", lambda tag: re.sub(r"(\.\d\d)\d+", r"\1", tag[0]), text
    )  # digits of coordinates, not of text
    for code, name in _NAMES.items():
        text = text.replace(code, f"var(--{name})")
    opening, rest = text.split(">", 1)
    box = re.search(r'viewBox="([^"]+)"', opening)
    assert box is not None
    head = f'<svg class="plot" viewBox="{box[1]}" role="img" aria-label="{escape(alt)}" xmlns:xlink="http://www.w3.org/1999/xlink">'
    return head + re.sub(r">\s+<", "><", rest).strip()
