"""Tables and figures of predicted opinions: measures of every encoder and regressor, scatters, types and levels."""

from __future__ import annotations

from pipeline.evaluation.agreement.logistic import LogisticFit
from pipeline.report import plots
from pipeline.report.collect import Content
from pipeline.report.evaluations import MODES, Evaluation
from pipeline.report.results import colours, encoder_line
from pipeline.report.tables import Line, Table, figure, interval

MEASURES = {
    "srocc": "SROCC", "srocc_within": "within strata", "plcc": "PLCC", "plcc_raw": "PLCC raw", "krocc": "KROCC",
    "rmse": "RMSE",
}  # fmt: skip
_NOT_OF_METRICS = ("plcc_raw",)  # a metric's scale is not that of opinions, so the figure would say nothing


def evaluated(content: Content, database: str, mode: str) -> list[Evaluation]:
    """The evaluations on ``database`` that have ``mode``."""
    return [e for e in content.evaluations if e.database == database and mode in e.modes]


def measures(content: Content, database: str, mode: str) -> Table:
    """Medians over the splits, a row for each encoder and regressor."""
    evaluations = evaluated(content, database, mode)
    rows = [(e, name, medians) for e in evaluations for name, medians in e.medians(mode).items()]
    keys = [key for key in MEASURES if any(key in medians for _, _, medians in rows)]
    compared = {
        (m["encoder"], m["regressor"], m["database"], m["mode"]): m for m in content.compared.get("methods", ())
    }
    lines = []
    for e, regressor, medians in rows:
        pooled = compared.get((e.encoder, regressor, database, mode), {})
        cells = [figure(None if e.is_metric and key in _NOT_OF_METRICS else medians.get(key)) for key in keys]
        cells.append(interval(medians.get("srocc_min"), medians.get("srocc_max")))
        cells += [interval(pooled.get("low"), pooled.get("high"))] if compared else []
        lines.append(encoder_line(content, e.encoder, cells, regressor))
    columns = [*(MEASURES[key] for key in keys), "least and most", *(["95 %, pooled"] if compared else [])]
    title = f"{database}, {MODES[mode]}"
    if (database, mode) == ("photos", "nr"):
        title += ": decides nothing, these are too few photographs to learn from"
    return Table(title, columns, lines, corner="encoder")


def scatters(content: Content, database: str, mode: str) -> list[tuple[str, str]]:
    """(SVG, caption) of each encoder: predicted against given scores of all test parts."""
    figures = []
    for e in evaluated(content, database, mode):
        if mode not in e.predictions:
            continue
        prediction, mos = e.predictions[mode]
        fits = [LogisticFit(split["fit_status"], tuple(split["betas"]), split["plcc"]) for split in e.fits(mode)]
        alt = f"{e.encoder}, {database}, {MODES[mode]}: predicted against given scores of {len(mos)} test images"
        colour, step = colours(content)[e.encoder], plots.thinning(len(mos))
        drawn = plots.scatter(prediction, mos, colour=colour, fits=fits, alt=alt, diagonal=not e.is_metric)
        thinned = f", 1 in {step} of {len(mos):,} points" if step > 1 else ""
        figures.append((drawn, f"{e.encoder}, {MODES[mode]}{thinned}"))
    return figures


def by_distortion(content: Content, database: str, mode: str) -> Table | None:
    """SROCC inside each type and each level; None where the database has neither."""
    cells: dict[tuple[str, int], dict[str, float | None]] = {}
    rows = evaluated(content, database, mode)
    for e in rows:
        for row in e.by_distortion(mode):
            if (row["type"] is None) != (row["level"] is None):
                key = ("type", row["type"]) if row["level"] is None else ("level", row["level"])
                cells.setdefault(key, {})[e.encoder] = row["srocc"]
    if not cells:
        return None
    ordered = sorted(cells.items(), key=lambda item: (item[0][0] != "type", item[0][1]))
    shown = [e.encoder for e in rows]
    lines = [Line(f"{name} {number}", [figure(row.get(e)) for e in shown]) for (name, number), row in ordered]
    return Table("SROCC inside a type, and inside a level", shown, lines)


def remarks(content: Content, database: str) -> list[str]:
    """What could not be done on ``database``, and why."""
    return [text for e in content.evaluations if e.database == database for text in e.remarks()]


def regressors(content: Content) -> Table:
    """The regressors that ``synthetic-iqa score`` finds in this run."""
    lines = []
    for card in content.regressors:
        better = "higher" if card["higher_is_better"] else "lower"
        strength = ", ".join(f"{mode} {fit['lambda']:g}" for mode, fit in card["modes"].items() if "lambda" in fit)
        low, high = card["range"]
        cells = [f"{better} is better, {low:g} to {high:g}", f"{card.get('images', 0):,}", strength]
        lines.append(Line(f"{card['encoder']}/{card['database']}", cells))
    title = "Regressors stored for synthetic-iqa score, fitted on all images"
    return Table(title, ("a score", "images", "lambda"), lines, corner="name")
