"""Single changes of the small recipe at equal CPU time.

    python -m benchmarks.ablations data WORK [--photographs FOLDER]
    python -m benchmarks.ablations work WORK [--changes a,b] [--seeds 1,2] [--database NAME=FOLDER ...]
    python -m benchmarks.ablations table WORK

``data`` makes the sources and their distorted versions by the stages' code. ``work`` trains and judges whatever of the
asked runs is not done, one after another on one thread; start it as often as there are cores, kill it and start it
again: a run that is done stays done. Each run has a folder WORK/runs/CHANGE-SEED. ``table`` prints the Markdown.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from pydantic import ValidationError

from benchmarks.ablations import data, runs, table
from benchmarks.ablations.changes import CHANGES
from pipeline import artifacts
from pipeline.training.launch import resolve_precision

CHUNK = 8  # changes whose first seeds all come before their second ones


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=("data", "work", "table"))
    parser.add_argument("work", type=Path)
    parser.add_argument("--photographs", type=Path, help="a folder with bsds500/, for the palettes of photographs")
    parser.add_argument("--changes", help=f"of {', '.join(CHANGES)}; all by default")
    parser.add_argument("--seeds", default="1,2")
    parser.add_argument("--database", action="append", default=[], metavar="NAME=FOLDER")
    options = parser.parse_args()
    folder = options.work.resolve()
    if options.verb == "data":
        data.make(folder, options.photographs and options.photographs.resolve())
    elif options.verb == "table":
        print(table.markdown(folder))
    else:
        names = options.changes.split(",") if options.changes else list(CHANGES)
        databases = {name: Path(path).resolve() for name, path in (entry.split("=", 1) for entry in options.database)}
        work(folder, names, [int(seed) for seed in options.seeds.split(",")], databases)


def work(folder: Path, names: list[str], seeds: list[int], databases: Mapping[str, Path]) -> None:
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
            one(folder, place, name, seed, databases)
        finally:
            os.close(handle)


def order(names: list[str], seeds: list[int]) -> Iterable[tuple[str, int]]:
    """The old recipe with all its seeds first; then seed by seed in chunks of changes."""
    if "old" in names:
        yield from (("old", seed) for seed in seeds)
    rest = [name for name in names if name != "old"]
    for start in range(0, len(rest), CHUNK):
        yield from ((name, seed) for seed in seeds for name in rest[start : start + CHUNK])


def trainable(name: str) -> bool:
    """Whether the trainer knows what the change sets."""
    try:
        CHANGES[name].params(steps=1, in_epoch=1)
    except ValidationError:
        return False
    return True


def one(work: Path, place: Path, name: str, seed: int, databases: Mapping[str, Path]) -> None:
    """Train if that is to do, then each judgement that is to do."""
    started = time.strftime("%H:%M:%S")
    if not (place / "training.json").exists():
        change, calibrated = CHANGES[name], work / "steps" / f"{name.replace('/', '_')}.json"
        known = artifacts.read_json(calibrated)["steps"] if calibrated.exists() else None
        images = data.Chosen(work, change.rows).decode()
        old = images if change.rows == CHANGES["old"].rows else data.Chosen(work, CHANGES["old"].rows)
        steps = runs.run(place, change, images, old, seed, known)
        artifacts.write_json(calibrated, {"change": name, "steps": steps})
        print(f"{started} {place.name}: {artifacts.read_json(place / 'training.json')}", flush=True)
    due: dict[str, Callable[[], Mapping[str, object]]] = {"probe": lambda: runs.probed(work, place)}
    precision = resolve_precision("auto", "cpu")
    for database, where in {"photos": None, **databases}.items():
        due[database] = lambda d=database, w=where: runs.correlated(work, place, d, w, precision)  # type: ignore[misc]
    for figure, measure in due.items():
        if not (place / f"{figure}.json").exists():
            artifacts.write_json(place / f"{figure}.json", measure())
            print(f"{time.strftime('%H:%M:%S')} {place.name}: {figure}", flush=True)


if __name__ == "__main__":
    main()
