"""The table of docs/ablations.md, each seed shown, and the rule that decides."""

from __future__ import annotations

from pathlib import Path
from statistics import mean

from benchmarks.ablations.changes import CHANGES
from pipeline import artifacts

JUDGES = {  # where an encoder's SROCC (median over the splits) is read: database, mode, figure
    "BIQ within": ("biq2021", "nr", "srocc_within"),
    "TID within": ("tid2013_kodak", "nr", "srocc_within"),
    "TID FR": ("tid2013_kodak", "fr", "srocc"),
}
Figures = dict[str, list[float]]  # of each judge, by seed


def markdown(place: Path) -> str:
    """A row a change: what it trained, the figures of its seeds, and how it stands by the rule."""
    titles = ["change", "steps", "images", "CPU s", *JUDGES, "mean of the three", "verdict"]
    lines = ["| " + " | ".join(titles) + " |", "|---" * len(titles) + "|"]
    found = figures(place)
    for name, row in found.items():
        trained = [artifacts.read_json(run / "training.json") for run in runs(place, name)]
        cells = [CHANGES[name].what, str(trained[0]["steps"]), f"{trained[0]['images']:,}"]
        cells.append(" ".join(f"{run['cpu_seconds']:.0f}" for run in trained))
        cells += [" ".join(f"{value:.3f}"[1:] for value in values) for values in (*row.values(), scores(row))]
        base = name == "release" or "release" not in found
        lines.append("| " + " | ".join([*cells, "" if base else verdict(row, found["release"])]) + " |")
    return "\n".join(lines)


def figures(place: Path) -> dict[str, Figures]:
    """Of every change with a judged run: what each judge says of each seed."""

    def of(run: Path, database: str, mode: str, figure: str) -> float:
        return float(artifacts.read_json(run / f"{database}.json")[mode]["ridge"][figure])

    return {
        name: {judge: [of(run, *where) for run in found] for judge, where in JUDGES.items()}
        for name in CHANGES
        if (found := runs(place, name))
    }


def runs(place: Path, name: str) -> list[Path]:
    """The folders of a change's judged runs, by seed."""
    needed = ["training.json", *(f"{database}.json" for database, _, _ in JUDGES.values())]
    folders = sorted(place.glob(f"{name}-[0-9]*"))
    return [folder for folder in folders if all((folder / file).exists() for file in needed)]


def scores(row: Figures) -> list[float]:
    """The mean over the judges, of each seed."""
    return [mean(values) for values in zip(*row.values(), strict=True)]


def verdict(new: Figures, base: Figures) -> str:
    """``better``: the score (the mean over the judges) of the worst seed is above that of the base's best, and no
    judge's mean over the seeds is below the base's worst seed. ``worse``: the same the other way round.
    """
    if len(scores(new)) < len(scores(base)):
        return "too few seeds"
    if min(scores(new)) > max(scores(base)) and all(mean(new[judge]) >= min(base[judge]) for judge in JUDGES):
        return "better"
    if max(scores(new)) < min(scores(base)) and all(mean(new[judge]) <= max(base[judge]) for judge in JUDGES):
        return "worse"
    return "no clear difference"
