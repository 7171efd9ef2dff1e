"""Single changes of the small recipe at equal CPU time.

    python -m benchmarks.ablations data WORK [--photographs FOLDER]
    python -m benchmarks.ablations work WORK [--changes a,b] [--seeds 1,2] [--database NAME=FOLDER ...] [--figures a,b]
    python -m benchmarks.ablations table WORK [--json]

``data`` makes the sources and their distorted versions by the stages' code. ``work`` trains and judges whatever of the
asked runs is not done, one after another on one thread; start it as often as there are cores, kill it and start it
again: a run that is done stays done. Each run has a folder WORK/runs/CHANGE-SEED. ``table`` prints the
Markdown, and with ``--json`` the figures of each change and seed as one JSON object on the last line.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from pydantic import ValidationError

from benchmarks.ablations import data, runs, table
from benchmarks.ablations.changes import CHANGES
from pipeline import artifacts

CHUNK = 8  # changes whose first seeds all come before their second ones


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=("data", "work", "table"))
    parser.add_argument("work", type=Path)
    parser.add_argument("--photographs", type=Path, help="a folder with bsds500/, for the palettes of photographs")
    parser.add_argument("--changes", help=f"of {', '.join(CHANGES)}; all by default")
    parser.add_argument("--seeds", default="1,2")
    parser.add_argument("--database", action="append", default=[], metavar="NAME=FOLDER")
    parser.add_argument("--figures", help="of probe, probe_plain, photos and the databases; all by default")
    parser.add_argument("--json", action="store_true", help="with table: one JSON object on the last line")
    options = parser.parse_args()
    folder = options.work.resolve()
    if options.verb == "data":
        data.make(folder, options.photographs and options.photographs.resolve())
    elif options.verb == "table":
        print(table.markdown(folder))
        if options.json:
            print(json.dumps(table.figures(folder)))
    else:
        names = options.changes.split(",") if options.changes else list(CHANGES)
        databases = {name: Path(path).resolve() for name, path in (entry.split("=", 1) for entry in options.database)}
        figures = options.figures.split(",") if options.figures else ["probe", *databases, "probe_plain", "photos"]
        work(folder, names, [int(seed) for seed in options.seeds.split(",")], figures, databases)


def work(folder: Path, names: list[str], seeds: list[int], figures: list[str], databases: Mapping[str, Path]) -> None:
    """Do what is not done and that no other process does."""
    import torch

    torch.set_num_threads(1)
    for name, seed in order(names, seeds):
        if not trainable(name):
            print(f"{name}: this trainer has no such option", file=sys.stderr)
            continue
        place = folder / "runs" / f"{name.replace('/', '_')}-{seed}"
        handle = data.locked(folder / "locks" / place.name)
        if handle is None:
            continue
        try:
            one(folder, place, name, seed)
            judge(folder, place, figures, databases)
        finally:
            os.close(handle)


def order(names: list[str], seeds: list[int]) -> Iterable[tuple[str, int]]:
    """The untrained encoder and the old recipe with all their seeds first; then seed by seed in chunks of changes."""
    first = [name for name in ("untrained", "old") if name in names]
    yield from ((name, seed) for name in first for seed in seeds)
    rest = [name for name in names if name not in first]
    for start in range(0, len(rest), CHUNK):
        yield from ((name, seed) for seed in seeds for name in rest[start : start + CHUNK])


def trainable(name: str) -> bool:
    """Whether the trainer knows what the change sets."""
    try:
        CHANGES[name].params(steps=1, in_epoch=1)
    except ValidationError:
        return False
    return True


def one(work: Path, place: Path, name: str, seed: int) -> None:
    """Train, if that is to do."""
    if (place / "training.json").exists():
        return
    change, calibrated = CHANGES[name], work / "steps" / f"{name.replace('/', '_')}.json"
    if not change.trained:
        runs.untrained(place, data.Chosen(work, change.rows), seed)
        return
    known = artifacts.read_json(calibrated)["steps"] if calibrated.exists() else None
    images = data.Chosen(work, change.rows).decode()
    old = images if change.rows == CHANGES["old"].rows else data.Chosen(work, CHANGES["old"].rows)
    steps = runs.run(place, change, images, old, seed, known)
    artifacts.write_json(calibrated, {"change": name, "steps": steps})
    print(f"{time.strftime('%H:%M:%S')} {place.name}: {artifacts.read_json(place / 'training.json')}", flush=True)


def judge(work: Path, place: Path, figures: list[str], databases: Mapping[str, Path]) -> None:
    """Each figure that is to do, into a file of its own."""
    for figure in figures:
        if (place / f"{figure}.json").exists():
            continue
        if figure in runs.PROBED:
            found = runs.probed(work, place, figure)
        else:
            found = runs.correlated(work, place, figure, databases.get(figure))
        artifacts.write_json(place / f"{figure}.json", found)
        print(f"{time.strftime('%H:%M:%S')} {place.name}: {figure}", flush=True)


if __name__ == "__main__":
    main()
