"""Single changes of the released recipe at equal CPU time.

    python -m benchmarks.ablations data WORK
    python -m benchmarks.ablations work WORK --database NAME=FOLDER ... [--longest NAME=PIXELS ...] [--steps N]
    python -m benchmarks.ablations table WORK [--steps N] [--json]

``data`` makes the sources and their distorted versions by the stages' code. ``work`` trains and judges whatever of the
asked runs is not done, one after another on one thread, seed by seed; kill it and start it again: what is done stays
done. Each run has a folder WORK/runs_STEPS/CHANGE-SEED. Images of a database are reduced to at most ``--longest``
pixels a side, if that is given. ``table`` prints the Markdown, and with ``--json`` the figures of each change and seed
as one JSON object on the last line.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from benchmarks.ablations import data, runs, table
from benchmarks.ablations.changes import CHANGES
from benchmarks.semi_supervised import reduced


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=("data", "work", "table"))
    parser.add_argument("work", type=Path)
    parser.add_argument("--steps", type=int, default=400, help="of the released recipe, whose CPU time each run gets")
    parser.add_argument("--changes", default=",".join(CHANGES), help="separated by commas; all by default")
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--database", action="append", default=[], metavar="NAME=FOLDER", help="biq2021, tid2013_kodak")
    parser.add_argument("--longest", action="append", default=[], metavar="NAME=PIXELS")
    parser.add_argument("--json", action="store_true", help="with table: one JSON object on the last line")
    options = parser.parse_args()
    folder = options.work.resolve()
    place = folder / f"runs_{options.steps}"
    if options.verb == "data":
        data.make(folder)
    elif options.verb == "table":
        print(table.markdown(place))
        if options.json:
            print(json.dumps(table.figures(place)))
    else:
        databases = {name: Path(path).resolve() for name, path in pairs(options.database)}
        for name, side in pairs(options.longest):
            databases[name] = reduced(databases[name], folder / "reduced" / name, int(side))
        work(
            folder,
            options.changes.split(","),
            [int(seed) for seed in options.seeds.split(",")],
            options.steps,
            databases,
        )


def pairs(entries: list[str]) -> list[list[str]]:
    """[name, value] of each NAME=VALUE."""
    return [entry.split("=", 1) for entry in entries]


def work(folder: Path, names: list[str], seeds: list[int], steps: int, databases: dict[str, Path]) -> None:
    """All changes of the first seed, then those of the next."""
    import torch

    torch.set_num_threads(1)
    for name, seed in ((name, seed) for seed in seeds for name in names):
        place = runs.made(folder, name, seed, steps)
        for database, where in databases.items():
            runs.judged(folder, place, database, where)
        print(f"{time.strftime('%X')} {name}, seed {seed}", flush=True)


if __name__ == "__main__":
    main()
