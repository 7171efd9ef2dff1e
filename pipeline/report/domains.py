"""Tables of the classifiers of the types, and of the types that targets resemble (paper 4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.distortions import TYPES
from pipeline.labels import LEVELS
from pipeline.report.collect import Content
from pipeline.report.tables import Cell, Line, Table, figure, interval, readable

MOST_CONFUSIONS = 5  # named for each classifier
NAMES = tuple(readable(kind.name) for kind in TYPES)


def classifiers(content: Content) -> Table:
    """Accuracy of each classifier on held-out sources, over all and by level, and what it confuses most often."""
    levels = [str(level) for level in range(1, LEVELS + 1)]
    lines = []
    for name, set_name, figures in _classified(content):
        cells: list[str | Cell] = [figure(figures["accuracy"]), *(figure(figures["by_level"].get(k)) for k in levels)]
        cells += [f"{figures['invisible']:.1%}", Cell(_confusions(figures["matrix"]), kind="text")]
        lines.append(Line(name, cells, note=f"on {readable(set_name)}, {figures['images']:,} images"))
    columns = ("accuracy", *(f"level {level}" for level in levels), "invisible", "most frequent confusions")
    title = "Accuracy of the type, of 25, on sources that were not trained on"
    return Table(title, columns, lines, corner="classifier")


def confusions(content: Content) -> dict[str, Table]:
    """title -> the confusion matrix of a classifier: in each row the shares of a type's images, in percent."""
    tables = {}
    for name, set_name, figures in _classified(content):
        counts = np.array(figures["matrix"], np.float64)
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        lines = []
        for number, row in enumerate(shares, 1):
            right = figure(figures["by_type"].get(str(number)))
            cells = [_shaded("" if share < 0.005 else f"{share:.0%}".rstrip("%"), share) for share in row]
            lines.append(Line(f"{number} {NAMES[number - 1]}", [right, *cells]))
        title = f"{name} on {readable(set_name)}: percent of a type's images by the type that was named"
        columns = ("accuracy", *map(str, range(1, len(TYPES) + 1)))
        tables[f"{name}: confusion matrix"] = Table(title, columns, lines, corner="true type")
    return tables


def similarities(content: Content) -> Table:
    """The similarity of each target to the 25 types by both rules, with intervals; a tick where the rule selects."""
    targets = list(content.similarities.values())
    highest = max((row["mean_prob"] for target in targets for row in target["domains"]), default=1.0)
    lines = []
    for number, name in enumerate(NAMES):
        cells: list[str | Cell] = []
        for target in targets:
            row = target["domains"][number]
            for measure, rule, bound in (("mean_prob", "mean_prob", "mean_prob"), ("top4_share", "top4_vote", "top4")):
                text = figure(row[measure]) + (" ✓" if row[f"selected_{rule}"] else "")
                between = interval(row[f"{bound}_low"], row[f"{bound}_high"])
                scale = highest if measure == "mean_prob" else 1 / 3  # of all images: 1 / 3
                cells.append(_shaded(text, row[measure] / scale, between))
        lines.append(Line(f"{number + 1} {name}", cells))
    columns = [
        f"{name}, {rule}"
        for name, target in content.similarities.items()
        for rule in ("mean probability", "top-4 votes")
    ]
    return Table("Similarity of each target to the types, with 95 % intervals over images", columns, lines, "type")


def _classified(content: Content) -> list[tuple[str, str, Mapping[str, Any]]]:
    return [
        (name, set_name, figures) for name, sets in content.classifiers.items() for set_name, figures in sets.items()
    ]


def _confusions(matrix: Sequence[Sequence[int]]) -> str:
    """The most frequent wrong answers, with their share of the true type's images."""
    counts = np.array(matrix, np.float64)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    np.fill_diagonal(shares, 0)
    places = np.argsort(-shares, axis=None, kind="stable")[:MOST_CONFUSIONS]
    pairs = [(place // len(TYPES), place % len(TYPES)) for place in places]
    return ", ".join(f"{NAMES[i]} as {NAMES[k]} {shares[i, k]:.0%}" for i, k in pairs if shares[i, k])


def _shaded(text: str, share: float, below: str = "") -> Cell:
    return Cell(text, below, kind="shaded", shade=round(100 * min(share, 1.0)))
