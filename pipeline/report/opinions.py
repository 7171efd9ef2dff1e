"""The page's section about people's opinions: measures of every encoder and regressor, scatters, types and levels."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from pipeline.report import markup, plots
from pipeline.report.collect import Content, Evaluation
from pipeline.report.results import MODES, colours, figure, first_of_each, line, modes, sentence
from pipeline.report.sheets import readable

MEASURES = (
    ("srocc", "SROCC"), ("srocc_within", "within strata"), ("plcc", "PLCC"), ("plcc_raw", "PLCC raw"),
    ("krocc", "KROCC"), ("rmse", "RMSE"),
)  # fmt: skip
_NOT_OF_METRICS = ("plcc_raw",)  # its scale is not that of opinions: the figure would say nothing


def opinions(content: Content) -> str:
    """For each database: the table of measures, predicted against given scores, and which types and levels are hard."""
    parts = [
        "<p>A regression on the frozen features, its strength chosen without the test part; metrics are taken as they "
        "are. Medians over the splits; PLCC and RMSE after a four-parameter logistic, PLCC raw before it. All pass "
        "through the same protocol and the same splits.</p>"
    ]
    if not content.evaluations:
        return "".join([*parts, "<p>No encoder was evaluated in this run.</p>", _regressors(content)])
    for first in first_of_each(content):
        rows = [e for e in content.evaluations if e.database == first.database]
        parts.append(_heading(content, first))
        for mode in reversed(modes(content, first.database)):
            those = [e for e in rows if mode in e.modes]
            parts += [_measures(content, those, mode), _scatters(content, those, mode), _kinds(content, those, mode)]
        parts.append(_absent(rows))
    return "".join([*parts, _regressors(content)])


def _heading(content: Content, first: Evaluation) -> str:
    manifest, splits = content.databases[first.database], len({s["split"] for s in first.metrics["splits"]})
    protocol = readable(str(first.metrics["protocol"]))
    return (
        f"<h3>{escape(sentence(manifest.title).rstrip('.'))}</h3>"
        f'<p class="note">{first.metrics["images"]:,} scored images in {first.metrics["groups"]:,} groups; '
        f"protocol: {protocol}, {splits} split{'s' * (splits != 1)}. {escape(sentence(manifest.note))}</p>"
    )


def _measures(content: Content, rows: list[Evaluation], mode: str) -> str:
    lines, found = [], [(e, name, told) for e in rows for name, told in _by_regressor(e, mode).items()]
    names = [(key, name) for key, name in MEASURES if any(key in told for _, _, told in found)]
    intervals = {
        (m["encoder"], m["regressor"], m["database"], m["mode"]): m for m in content.compared.get("methods", ())
    }
    for e, regressor, told in found:
        interval = intervals.get((e.encoder, regressor, e.database, mode), {})
        metric = e.metrics.get("kind") == "metric"
        cells = [figure(None if metric and key in _NOT_OF_METRICS else told.get(key)) for key, _ in names]
        cells.append(_range(told.get("srocc_min"), told.get("srocc_max")))
        cells += [_range(interval.get("low"), interval.get("high"))] if intervals else []
        lines.append(line(content, e.encoder, cells, "" if metric else regressor))
    columns = [*(name for _, name in names), "least and most", *(["95 %, pooled"] if intervals else [])]
    title = f"{rows[0].database}, {MODES[mode]}"
    if (rows[0].database, mode) == ("photos", "nr"):
        title += ": decides nothing, these are too few photographs to learn from"
    return markup.table(title, columns, lines, corner="encoder")


def _by_regressor(e: Evaluation, mode: str) -> dict[str, Mapping[str, Any]]:
    """regressor -> medians; a metric on all images at once is a row of its own."""
    found = {str(e.metrics.get("regressor", "ridge")): e.metrics[mode]}
    for name, told in e.metrics.get("others", {}).items():
        if mode in told:
            found[name] = told[mode]
    return found


def _range(low: float | None, high: float | None) -> str:
    return "–" if low is None or high is None else f"{figure(low)} to {figure(high)}"


def _scatters(content: Content, rows: list[Evaluation], mode: str) -> str:
    figures = []
    for e in rows:
        if mode not in e.predictions:
            continue
        prediction, mos = e.predictions[mode]
        headline = e.metrics.get("regressor")
        fits = [
            plots.Logistic(s["fit_status"], tuple(s["betas"]))
            for s in e.metrics["splits"]
            if s["mode"] == mode and "betas" in s and s.get("regressor", headline) == headline
        ]
        alt = f"{e.encoder}, {e.database}, {MODES[mode]}: predicted against given scores of {len(mos)} test images"
        metric = e.metrics.get("kind") == "metric"
        colour = colours(content)[e.encoder]
        drawn = plots.scatter(prediction, mos, colour=colour, fits=fits, alt=alt, diagonal=not metric)
        step = plots.thinning(len(mos))
        thinned = f", 1 in {step} of {len(mos):,} points" if step > 1 else ""
        figures.append(markup.figure(drawn, f"{escape(e.encoder)}, {MODES[mode]}{thinned}"))
    if not figures:
        return ""
    note = (
        '<p class="note">Predicted against given scores of all test parts. Solid: the logistic fitted to each split; '
        "dashed: equal scores.</p>"
    )
    drawn = f'{note}<div class="plots four">{"".join(figures)}</div>'
    if len(figures) <= 8:
        return drawn
    return f"<details><summary>{len(figures)} scatters</summary>{drawn}</details>"


def _kinds(content: Content, rows: list[Evaluation], mode: str) -> str:
    """SROCC inside each type and each level, by the headline's predictions; nothing where the database has neither."""
    cells: dict[tuple[str, int], dict[str, float | None]] = {}
    for e in rows:
        told = e.metrics.get("types", {}).get(str(e.metrics.get("regressor", "ridge")), {})
        for row in told.get(mode, ()):
            kind, level = row["type"], row["level"]
            if (kind is None) != (level is None):
                key = ("type", kind) if level is None else ("level", level)
                cells.setdefault(key, {})[e.encoder] = row["srocc"]
    if not cells:
        return ""
    shown = [e.encoder for e in rows]
    lines = [
        markup.Line(f"{name} {number}", [figure(row.get(encoder)) for encoder in shown])
        for (name, number), row in sorted(cells.items(), key=lambda item: (item[0][0] != "type", item[0][1]))
    ]
    table = markup.table("SROCC inside a type, and inside a level", shown, lines)
    return f"<details><summary>{rows[0].database}, {MODES[mode]}: by type and by level</summary>{table}</details>"


def _absent(rows: list[Evaluation]) -> str:
    """What could not be done and why: metrics without references, regressors that were skipped."""
    said = [f"{e.encoder}: {e.metrics['absent']}" for e in rows if e.metrics.get("absent")]
    for e in rows:
        skipped = ((name, told.get("skipped")) for name, told in e.metrics.get("others", {}).items())
        said += [f"{e.encoder} + {name}: {why}" for name, why in skipped if why]
        bad = e.metrics.get("non_finite") or ()
        said += [f"{e.encoder}: {len(bad)} images with numbers that are not finite"] if bad else []
    items = "".join(f"<li>{escape(text)}</li>" for text in said)
    return f'<ul class="note">{items}</ul>' if items else ""


def _regressors(content: Content) -> str:
    """What `synthetic-iqa score` finds in this run."""
    if not content.regressors:
        return '<p class="note">No regressor was stored in this run for <code>synthetic-iqa score</code>.</p>'
    lines = []
    for card in content.regressors:
        better = "higher" if card["higher_is_better"] else "lower"
        strength = ", ".join(f"{mode} {told['lambda']:g}" for mode, told in card["modes"].items() if "lambda" in told)
        low, high = card["range"]
        cells = [f"{better} is better, {low:g} to {high:g}", f"{card.get('images', 0):,}", strength]
        lines.append(markup.Line(escape(f"{card['encoder']}/{card['database']}"), cells))
    columns = ("a score", "images", "lambda")
    return markup.table(
        "Regressors stored for synthetic-iqa score, fitted on all images", columns, lines, corner="name"
    )
