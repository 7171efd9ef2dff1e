"""One thin entry for each stage of dvc.yaml, run as ``python -m stages.<name>`` from the project's folder."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from pipeline import Refusal
from pipeline.engine import Engine
from pipeline.params import RunParams, load

DATA, METRICS, REPORT, LOCKS = Path("data"), Path("metrics"), Path("report"), Path("data/.locks")


def entry(run: Callable[..., None], *names: str) -> None:
    """Read params.yaml and the arguments called ``names``, and run the stage.

    A refusal, and what the file system refuses (a full disk, a folder that may not be written to), is one line and exit
    code 2.
    """
    stage = Path(sys.argv[0]).stem
    parser = argparse.ArgumentParser(prog=f"python -m stages.{stage}", description=run.__doc__)
    for name in names:
        parser.add_argument(name)
    arguments = parser.parse_args()
    try:
        run(load(Path("params.yaml")), *(getattr(arguments, name) for name in names))
    except (Refusal, OSError) as error:
        for line in (f"{stage}: {error}", *getattr(error, "__notes__", ())):
            print(line, file=sys.stderr)
        raise SystemExit(2) from None


def engine(run: RunParams) -> Engine:
    """The engine that params.yaml asks for; RAY_ADDRESS, where set, names the cluster."""
    return Engine(run.engine, run.workers or cores(), os.environ.get("RAY_ADDRESS"))


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
