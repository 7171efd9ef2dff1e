"""The page's sections about what was learnt: all in one table, likeness, training, probe."""

from __future__ import annotations

import base64
from html import escape

import numpy as np

from pipeline.report import markup, plots
from pipeline.report.collect import Content, Encoder, Evaluation
from pipeline.report.sheets import readable

MODES = {"nr": "no reference", "fr": "full reference"}
RANDOM = "random_init"
_GREY = {RANDOM: 2, "floor": 3}  # baselines keep quiet colours
_TRAINED = (0, 1, 4, 5, 6, 7)


def colours(content: Content) -> dict[str, int]:
    """The number of each encoder's colour, the same in every figure and table."""
    trained = [encoder.name for encoder in content.encoders if encoder.name not in content.params.untrained]
    return {
        **dict.fromkeys(content.params.untrained, 3),
        **_GREY,
        **{name: _TRAINED[index % len(_TRAINED)] for index, name in enumerate(trained)},
    }


def line(content: Content, encoder: str, cells: list[str], regressor: str = "") -> markup.Line:
    """A table's row of an encoder, with the dot of its colour; baselines are quiet. A ridge need not be named."""
    dot = f'<span class="dot" style="background:var(--c{colours(content)[encoder]})"></span>'
    name = encoder if regressor in ("", "ridge") else f"{encoder} + {regressor}"
    return markup.Line(dot + escape(name), cells, "baseline" if encoder in content.params.untrained else "")


def glance(content: Content) -> str:
    """One row an encoder: the probe, and SROCC on every database."""
    columns = ["type accuracy", "times random_init’s"]
    columns += [
        f"{e.database}, {MODES[mode]}" for e in first_of_each(content) for mode in reversed(modes(content, e.database))
    ]
    found = {(e.encoder, e.database): e for e in content.evaluations}
    base = _mean_accuracy(content, RANDOM)
    lines = []
    for encoder in content.encoders:
        accuracy = _mean_accuracy(content, encoder.name)
        cells = [figure(accuracy), f"{accuracy / base:.2f}" if accuracy is not None and base else "–"]
        for first in first_of_each(content):
            metrics = found[encoder.name, first.database].metrics if (encoder.name, first.database) in found else {}
            cells += [figure(metrics.get(mode, {}).get("srocc")) for mode in reversed(modes(content, first.database))]
        lines.append(line(content, encoder.name, cells))
    text = (
        "<p>Type accuracy is how often a linear probe names the distortion’s type right on sources never trained on, "
        "the mean over the sets. The other columns are rank correlations (SROCC) between predicted and given scores, "
        "1 being perfect order: the median over the splits.</p>"
    )
    return text + markup.table("Each encoder in one row", columns, lines, corner="encoder")


def likeness(content: Content) -> str:
    """How much each set resembles photographs: derivatives, spectrum, scale."""
    found = content.statistics
    against = any("kl_natural_set" in figures for figures in found.values())
    columns = ["images", "P(d = 0)", "kurtosis", "spectrum slope", "std at scale 2, 4, 8"]
    columns += ["KL(natural, set)", "KL(set, natural)"] if against else []
    lines = []
    for name, figures in found.items():
        scales = " ".join(f"{ratio:.2f}" for ratio in figures["scale_ratio"][1:])
        slope = f"{figures['slope']:.2f} ± {figures['slope_sd']:.2f}"
        cells = [f"{figures['images']}", f"{figures['p_zero']:.3f}", f"{figures['kurtosis']:.1f}", slope, scales]
        if against:
            cells += [f"{figures[key]:.3f}" for key in ("kl_natural_set", "kl_set_natural")]
        lines.append(markup.Line(escape(readable(name)), cells))
    text = (
        "<p>d is the derivative of the luma between neighbours. Photographs have heavy tails (a Gaussian’s kurtosis is "
        "3), a power spectrum that falls with a slope near −2, and derivatives of about equal strength at every scale."
        f"{'' if against else ' Name a folder in run.paths.natural and the divergences from it are shown here.'}</p>"
    )
    alt = "Densities of the luma’s derivative on a log scale, and power spectra, of each set"
    data = base64.b64encode(content.statistics_figure.encode()).decode()
    picture = f'<img class="plate" src="data:image/svg+xml;base64,{data}" alt="{alt}">'
    return text + markup.table("Statistics of the sets", columns, lines, corner="set") + markup.figure(picture, alt)


def training(content: Content) -> str:
    """The loss of each trained encoder at each step, and the probe's type accuracy where it was run on the way."""
    curves, learnt = [], []
    for encoder in content.encoders:
        if encoder.steps is not None and encoder.loss is not None and len(encoder.steps):
            step, loss = _smooth(encoder.steps, encoder.loss)
            curves.append(plots.Curve(encoder.name, step, loss, colours(content)[encoder.name]))
            known = np.flatnonzero(~np.isnan(np.asarray(encoder.accuracy)))
            if len(known) > 1:  # one point, after the last step, is the probe's own section
                accuracy = np.asarray(encoder.accuracy)[known]
                learnt.append(plots.Curve(encoder.name, encoder.steps[known], accuracy, colours(content)[encoder.name]))
    if not curves:
        return "<p>No encoder was trained in this run.</p>"
    drawn = plots.lines(curves, x="step", y="loss", alt=f"Training loss against step: {_ends(curves)}")
    lines = [line(content, e.name, _course(e)) for e in content.encoders if e.loss is not None and len(e.loss)]
    columns = ("steps", "first loss", "last loss", "lowest")
    table = markup.table("Loss, mean of the first and last twentieth of the steps", columns, lines, corner="encoder")
    return (
        "<p>The supervised contrastive loss of each step: images of one class are to lie together, those of the "
        "other classes apart. It is a means and no result; the probe and the opinions say what was learnt.</p>"
        f'<div class="plots two">{markup.figure(drawn, "Loss, the means of at most 200 stretches.")}{_learnt(learnt)}'
        f"{table}</div>"
    )


def _learnt(curves: list[plots.Curve]) -> str:
    if not curves:
        return ""
    alt = f"Type accuracy of the probe against step: {_ends(curves)}"
    drawn = plots.lines(curves, x="step", y="type accuracy", alt=alt, level=("chance", 1 / 25))
    return markup.figure(drawn, "Type accuracy on a few held-out sources while it was trained; it decides nothing.")


def _ends(curves: list[plots.Curve]) -> str:
    return ", ".join(f"{curve.name} {curve.y[0]:.2f} to {curve.y[-1]:.2f}" for curve in curves)


def probe(content: Content) -> str:
    """Accuracy of the linear probe of type and class, each encoder on each set."""
    parts = [
        "<p>A linear probe on the frozen features, fitted and tested on disjoint sources that no encoder was trained "
        "on: does it name the type (of 25) and the class (of 126)? Four of the classes equal the pristine image by "
        "construction.</p>"
    ]
    if not any(encoder.probe for encoder in content.encoders):
        return "<p>No encoder was probed in this run.</p>"
    figures = []
    for kind, title in (("type", "Type"), ("class", "Class")):
        values = _accuracies(content, kind)
        chance = [p[f"{kind}_chance"] for e in content.encoders for p in e.probe.values() if f"{kind}_chance" in p]
        level = float(np.mean(chance)) if chance else None
        said = "; ".join(f"on {s}: " + ", ".join(f"{e} {v:.3f}" for e, v in row.items()) for s, row in values.items())
        drawn = plots.bars(values, colours(content), x=f"{kind} accuracy", level=level, alt=f"{title} accuracy {said}")
        figures.append(markup.figure(drawn, f"{title} accuracy on each set; the dashed line is chance."))
    return "".join([*parts, f'<div class="plots two">{"".join(figures)}</div>', _probe_table(content)])


def _probe_table(content: Content) -> str:
    columns, rows = [], []
    for kind in ("type", "class"):
        for name, row in _accuracies(content, kind).items():
            columns.append(f"{kind}, on {readable(name)}")
            rows.append(row)
    lines = []
    for encoder in content.encoders:
        cells = []
        for row in rows:
            own, base = row.get(encoder.name), row.get(RANDOM)
            ratio = f'<span class="sub">{own / base:.2f} ×</span>' if own is not None and base else ""
            cells.append(f"{figure(own)}{ratio}")
        lines.append(line(content, encoder.name, cells))
    return markup.table("Accuracy, and below it its ratio to random_init’s", columns, lines, corner="encoder")


def _accuracies(content: Content, kind: str) -> dict[str, dict[str, float]]:
    """set -> encoder -> accuracy, in the order of the encoders."""
    sets = list(dict.fromkeys(name for encoder in content.encoders for name in encoder.probe))
    key = f"{kind}_accuracy"
    return {s: {e.name: float(e.probe[s][key]) for e in content.encoders if s in e.probe} for s in sets}


def _mean_accuracy(content: Content, name: str) -> float | None:
    values = [row[name] for row in _accuracies(content, "type").values() if name in row]
    return float(np.mean(values)) if values else None


def modes(content: Content, database: str) -> list[str]:
    """Those of nr and fr in which anything was evaluated on ``database``."""
    done = {mode for e in content.evaluations if e.database == database for mode in e.modes}
    return [mode for mode in MODES if mode in done]


def first_of_each(content: Content) -> list[Evaluation]:
    """One evaluation of every database: what it says of the database and the protocol holds for all."""
    found: dict[str, Evaluation] = {}
    for evaluation in content.evaluations:
        if evaluation.modes:
            found.setdefault(evaluation.database, evaluation)
    return list(found.values())


def _course(encoder: Encoder) -> list[str]:
    loss = np.asarray(encoder.loss)
    part = max(1, len(loss) // 20)
    return [f"{len(loss):,}", f"{loss[:part].mean():.3f}", f"{loss[-part:].mean():.3f}", f"{loss.min():.3f}"]


def _smooth(steps: np.ndarray, loss: np.ndarray, points: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Steps and losses as means of at most ``points`` stretches of equal length."""
    parts = np.array_split(np.arange(len(loss)), min(points, len(loss)))
    return np.array([steps[p].mean() for p in parts]), np.array([loss[p].mean() for p in parts])


def figure(value: float | None) -> str:
    """Three decimals, or a dash where there is no figure."""
    return "–" if value is None else f"{value:.3f}".replace("-", "−")


def sentence(text: str) -> str:
    """``text`` on one line with a capital and a full stop; nothing stays nothing."""
    text = " ".join(text.split())
    return f"{text[0].upper()}{text[1:]}{'' if text.endswith('.') else '.'}" if text else ""
