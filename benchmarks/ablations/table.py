"""The table of docs/ablations.md, each seed shown, and the rule that decides."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.ablations.changes import CHANGES
from pipeline import artifacts

Run = Mapping[str, Any]  # the JSON files of a run by name: training, probe, photos, ...

PROBE = {
    "type": lambda run: run["probe"]["type_accuracy"],
    "class": lambda run: run["probe"]["class_accuracy"],
}
OTHERS = {
    "type, plain": lambda run: run["probe_plain"]["type_accuracy"],
    "class, plain": lambda run: run["probe_plain"]["class_accuracy"],
    "TID within": lambda run: run["tid2013_kodak"]["nr"]["ridge"]["srocc_within"],
    "TID": lambda run: run["tid2013_kodak"]["nr"]["ridge"]["srocc"],
    "TID FR": lambda run: run["tid2013_kodak"]["fr"]["ridge"]["srocc"],
    "photos FR": lambda run: run["photos"]["fr"]["ridge"]["srocc"],
    "biq within": lambda run: run["biq2021"]["nr"]["ridge"]["srocc_within"],
    "biq": lambda run: run["biq2021"]["nr"]["ridge"]["srocc"],
}
KEPT = ("type, plain", "class, plain", "TID within", "photos FR")  # what must not fall
SEEDS = 3
Figures = dict[str, list[float]]  # of each seed, NaN where it is not judged


def markdown(work: Path) -> str:
    """A row a change: what it trained, then the figures of its seeds, and how it stands by the rule."""
    found = {name: collect(work, name) for name in CHANGES}
    columns = [*PROBE, *OTHERS]
    titles = ["change", "steps", "images", "CPU s", *columns, "verdict"]
    lines = ["| " + " | ".join(titles) + " |", "|---" * len(titles) + "|"]
    for name, change in CHANGES.items():
        runs = found[name]
        if not runs:
            continue
        trained = [run["training"] for run in runs]
        seconds = "/".join(f"{t['cpu_seconds']:.0f}" for t in trained)
        figures = read(runs)
        cells = [change.what, str(trained[0]["steps"]), f"{trained[0]['images_seen']:,}", seconds]
        cells += [" ".join(shown(value) for value in figures[column]) for column in columns]
        verdict = "" if name in ("untrained", "old") else judged(figures, read(found["old"]))
        lines.append("| " + " | ".join([*cells, verdict]) + " |")
    return "\n".join(lines)


def figures(work: Path) -> dict[str, dict[str, list[float | None]]]:
    """Every figure of every trained change by seed; None where a run is not judged."""
    changes = {name: read(runs) for name in CHANGES if (runs := collect(work, name))}
    return {
        name: {figure: [None if math.isnan(value) else value for value in values] for figure, values in row.items()}
        for name, row in changes.items()
    }


def collect(work: Path, name: str) -> list[Run]:
    """The trained runs of a change, by seed."""
    folders = sorted((work / "runs").glob(f"{name.replace('/', '_')}-[0-9]*"))
    return [
        {path.stem: artifacts.read_json(path) for path in folder.glob("*.json")}
        for folder in folders
        if (folder / "training.json").exists()
    ]


def read(runs: list[Run]) -> Figures:
    """Every figure of every run."""
    return {name: [_or_nan(figure, run) for run in runs] for name, figure in {**PROBE, **OTHERS}.items()}


def _or_nan(figure: Callable[[Run], float], run: Run) -> float:
    try:
        return float(figure(run))
    except KeyError:
        return math.nan


def shown(value: float) -> str:
    """Three digits, or a dash."""
    return "-" if math.isnan(value) else f"{value:.3f}".replace("0.", ".", 1)


def judged(new: Figures, old: Figures) -> str:
    """``better`` by the rule: on both answers of the probe the worst of 3 seeds is above the old recipe's best, and no
    mean of another figure is below the old recipe's worst seed. Else what is lacking.
    """
    seeds = len(new["type"])
    above = [min(new[name]) > max(old[name]) for name in PROBE]
    below = [max(new[name]) < min(old[name]) for name in PROBE]
    fallen = [name for name in KEPT if _mean(new[name]) < min(old[name])]
    falls = f"; falls: {', '.join(fallen)}" if fallen else ""
    if all(above):
        return f"above{falls}" if fallen or seeds < SEEDS else "better"
    return f"{'worse' if all(below) else 'no clear difference'}{falls}"


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
