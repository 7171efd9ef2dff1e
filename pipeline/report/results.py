"""Tables and figures of what was trained: one row for each encoder, likeness to photographs, training, probe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.report import plots
from pipeline.report.collect import RANDOM, Content
from pipeline.report.evaluations import MODES, Evaluation
from pipeline.report.tables import Cell, Line, Table, figure, readable, size

_GREY = {RANDOM: 2}  # the floor and the metrics have colour 3
_COLOURS = (0, 1, 4, 5, 6, 7)


def colours(content: Content) -> dict[str, int]:
    """The number of each encoder's colour, the same in every figure and table; baselines have quiet ones."""
    trained = [encoder.name for encoder in content.encoders if not encoder.is_baseline]
    quiet = {encoder.name: _GREY.get(encoder.name, 3) for encoder in content.encoders if encoder.is_baseline}
    return quiet | {name: _COLOURS[index % len(_COLOURS)] for index, name in enumerate(trained)}


def encoder_line(content: Content, encoder: str, cells: Sequence[str | Cell], regressor: str = "") -> Line:
    """A row of an encoder, with the dot of its colour. A ridge need not be named."""
    head = encoder if regressor in ("", "none", "ridge") else f"{encoder} + {regressor}"
    baseline = any(e.name == encoder and e.is_baseline for e in content.encoders)
    return Line(head, cells, "baseline" if baseline else "", colours(content)[encoder])


def glance(content: Content) -> Table:
    """One row an encoder: the probe, and SROCC on every database."""
    shown = [(e.database, mode) for e in first_of_each(content) for mode in reversed(modes(content, e.database))]
    evaluations = {(e.encoder, e.database): e for e in content.evaluations}
    base = _mean_accuracy(content, RANDOM)
    lines = []
    for encoder in content.encoders:
        accuracy = _mean_accuracy(content, encoder.name)
        cells = [figure(accuracy), f"{accuracy / base:.2f}" if accuracy is not None and base else "–"]
        for database, mode in shown:
            evaluation = evaluations.get((encoder.name, database))
            cells.append(figure(evaluation.headline(mode).get("srocc") if evaluation else None))
        lines.append(encoder_line(content, encoder.name, cells))
    columns = ["type accuracy", "times random_init’s", *(f"{database}, {MODES[mode]}" for database, mode in shown)]
    return Table("Each encoder in one row", columns, lines, corner="encoder")


def likeness(content: Content) -> Table:
    """How much each set resembles photographs: derivatives, spectrum, scale."""
    columns = ["images", "P(d = 0)", "kurtosis", "spectrum slope", "std at scale 2, 4, 8"]
    columns += ["KL(natural, set)", "KL(set, natural)"] if content.has_natural else []
    lines = []
    for name, measured in content.statistics.items():
        scales = " ".join(f"{ratio:.2f}" for ratio in measured["scale_ratio"][1:])
        slope = f"{measured['slope']:.2f} ± {measured['slope_sd']:.2f}"
        cells = [f"{measured['images']}", f"{measured['p_zero']:.3f}", f"{measured['kurtosis']:.1f}", slope, scales]
        if content.has_natural:
            cells += [f"{measured[key]:.3f}" for key in ("kl_natural_set", "kl_set_natural")]
        lines.append(Line(readable(name), cells))
    return Table("Statistics of the sets", columns, lines, corner="set")


@dataclass(frozen=True)
class Training:
    """SVG of the loss and, where the probe was run on the way, of its type accuracy; and the table of losses."""

    loss: str
    accuracy: str
    table: Table


def training(content: Content) -> Training | None:
    """The loss of each trained encoder at each step, and the probe's type accuracy; None where nothing was trained."""
    losses, accuracies, lines = [], [], []
    for encoder in content.encoders:
        if encoder.steps is None or encoder.loss is None or not len(encoder.steps):
            continue
        colour = colours(content)[encoder.name]
        losses.append(plots.Curve(encoder.name, *_smooth(encoder.steps, encoder.loss), colour))
        lines.append(encoder_line(content, encoder.name, _course(encoder.loss)))
        probed = np.flatnonzero(~np.isnan(np.asarray([] if encoder.accuracy is None else encoder.accuracy)))
        if len(probed) > 1:  # one point, after the last step, is the probe's own section
            accuracy = np.asarray(encoder.accuracy)[probed]
            accuracies.append(plots.Curve(encoder.name, encoder.steps[probed], accuracy, colour))
    if not losses:
        return None
    drawn = plots.lines(losses, x="step", y="loss", alt=f"Training loss against step: {_ends(losses)}")
    learnt, alt = "", f"Type accuracy of the probe against step: {_ends(accuracies)}"
    if accuracies:
        learnt = plots.lines(accuracies, x="step", y="type accuracy", alt=alt, level=("chance", 1 / 25))
    title, columns = "Loss, mean of the first and last twentieth of the steps", ("steps", "first", "last", "lowest")
    return Training(drawn, learnt, Table(title, columns, lines, corner="encoder"))


@dataclass(frozen=True)
class Probe:
    """SVG bars of the accuracy of type and of class on each set, and both as a table."""

    bars: dict[str, str]
    table: Table


def probe(content: Content) -> Probe | None:
    """Accuracy of the linear probe of type and class, each encoder on each set; None where nothing was probed."""
    if not any(encoder.probe for encoder in content.encoders):
        return None
    bars, columns, rows = {}, list[str](), list[dict[str, float]]()
    for kind in ("type", "class"):
        values = _accuracies(content, kind)
        chance = [p[f"{kind}_chance"] for e in content.encoders for p in e.probe.values() if f"{kind}_chance" in p]
        level = float(np.mean(chance)) if chance else None
        words = "; ".join(f"on {s}: " + ", ".join(f"{e} {v:.3f}" for e, v in row.items()) for s, row in values.items())
        alt = f"{kind.capitalize()} accuracy {words}"
        bars[kind] = plots.bars(values, colours(content), x=f"{kind} accuracy", level=level, alt=alt)
        columns += [f"{kind}, on {readable(name)}" for name in values]
        rows += values.values()
    lines = []
    for encoder in content.encoders:
        cells = list[str | Cell]()
        for row in rows:
            own, base = row.get(encoder.name), row.get(RANDOM)
            cells.append(Cell(figure(own), f"{own / base:.2f} ×" if own is not None and base else ""))
        lines.append(encoder_line(content, encoder.name, cells))
    title = "Accuracy, and below it its ratio to random_init’s"
    return Probe(bars, Table(title, columns, lines, corner="encoder"))


def modes(content: Content, database: str) -> list[str]:
    """The modes, of nr and fr, in which anything was evaluated on ``database``."""
    done = {mode for e in content.evaluations if e.database == database for mode in e.modes}
    return [mode for mode in MODES if mode in done]


def first_of_each(content: Content) -> list[Evaluation]:
    """One evaluation of every database: what it says of the database and the protocol holds for all."""
    firsts: dict[str, Evaluation] = {}
    for evaluation in content.evaluations:
        if evaluation.modes:
            firsts.setdefault(evaluation.database, evaluation)
    return list(firsts.values())


def sets(content: Content) -> Table:
    """The source sets and the shards made of them: counts, sizes, bytes on disk."""
    lines = [
        Line(
            readable(s.name),
            [f"{s.sources:,}", s.sizes, size(s.source_bytes), f"{s.images:,}", size(s.image_bytes)],
        )
        for s in content.sets
    ]
    columns = ("sources", "size", "their bytes", "distorted images", "their bytes")
    return Table("Source sets and the shards made of them", columns, lines, corner="set")


def opinions_predicted(content: Content) -> int:
    """The number of scored images, over all databases."""
    return sum({e.database: int(e.metrics["images"]) for e in content.evaluations}.values())


def parameters(content: Content) -> dict[str, dict[str, Any]]:
    """The parameters by section, those without a section first; ``run`` changes no result and is left out."""
    dump = content.params.model_dump(mode="json", exclude={"run"})
    top = {key: value for key, value in dump.items() if not isinstance(value, dict)}
    return {"The run": top} | {key: value for key, value in dump.items() if isinstance(value, dict)}


def cards(content: Content) -> Table:
    """Each encoder's network, the length of its feature and the sha256 of its weights."""
    lines = []
    for encoder in content.encoders:
        card = encoder.card
        network = f"{card.get('architecture', card['kind'])}" + (f", width {card['width']}" if "width" in card else "")
        sha256 = Cell(str(card.get("sha256", "–")), kind="text mono")
        cells: list[str | Cell] = [Cell(network, kind="text"), str(card.get("dim", "–")), sha256]
        lines.append(encoder_line(content, encoder.name, cells))
    columns = ("network", "feature length", "sha256")
    return Table("Encoders and the sha256 of their weights", columns, lines, corner="encoder")


def _ends(curves: list[plots.Curve]) -> str:
    return ", ".join(f"{curve.name} {curve.y[0]:.2f} to {curve.y[-1]:.2f}" for curve in curves)


def _accuracies(content: Content, kind: str) -> dict[str, dict[str, float]]:
    """set -> encoder -> accuracy, in the order of the encoders."""
    sets = list(dict.fromkeys(name for encoder in content.encoders for name in encoder.probe))
    key = f"{kind}_accuracy"
    return {s: {e.name: float(e.probe[s][key]) for e in content.encoders if s in e.probe} for s in sets}


def _mean_accuracy(content: Content, name: str) -> float | None:
    values = [row[name] for row in _accuracies(content, "type").values() if name in row]
    return float(np.mean(values)) if values else None


def _course(loss: np.ndarray) -> list[str]:
    part = max(1, len(loss) // 20)
    return [f"{len(loss):,}", f"{loss[:part].mean():.3f}", f"{loss[-part:].mean():.3f}", f"{loss.min():.3f}"]


def _smooth(steps: np.ndarray, loss: np.ndarray, points: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Steps and losses as means of at most ``points`` stretches of equal length."""
    parts = np.array_split(np.arange(len(loss)), min(points, len(loss)))
    return np.array([steps[p].mean() for p in parts]), np.array([loss[p].mean() for p in parts])
