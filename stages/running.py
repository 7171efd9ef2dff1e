"""How a stage runs: its parameters and arguments, its folders, its engine, and what ends it."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from pipeline import Refusal
from pipeline.devices import Device, cores
from pipeline.engine import Engine
from pipeline.errors import printable
from pipeline.params import RunParams, load

DATA, METRICS, REPORT, LOCKS = Path("data"), Path("metrics"), Path("report"), Path("data/.locks")


class Terminated(KeyboardInterrupt):
    """SIGTERM ends a stage as Ctrl-C does: workers first, then the lock."""


def entry(run: Callable[..., None], *names: str) -> None:
    """Read params.yaml and the arguments called ``names``, and run the stage.

    A refusal, and what the file system refuses (a full disk, a folder that may not be written to), is one line and exit
    code 2; SIGINT and SIGTERM are one line and 130 and 143.
    """
    stage = Path(sys.argv[0]).stem
    parser = argparse.ArgumentParser(prog=f"python -m stages.{stage}", description=run.__doc__)
    for name in names:
        parser.add_argument(name)
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, _terminate)
    try:
        run(load(Path("params.yaml")), *(getattr(arguments, name) for name in names))
    except (Refusal, OSError) as error:
        for line in (f"{stage}: {error}", *getattr(error, "__notes__", ())):
            print(printable(line), file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt as end:
        number = signal.SIGTERM if isinstance(end, Terminated) else signal.SIGINT
        print(f"{stage}: stopped by {number.name}; what is whole is kept, a rerun goes on from there", file=sys.stderr)
        raise SystemExit(128 + number) from None


def _terminate(*_: object) -> None:
    raise Terminated


def engine(run: RunParams) -> Engine:
    """The engine that params.yaml asks for; RAY_ADDRESS, where set, names the cluster."""
    return Engine(run.engine, run.workers or cores(), os.environ.get("RAY_ADDRESS"), LOCKS)


def feature_engine(run: RunParams, device: Device) -> Engine:
    """The engine that features are extracted on. One process feeds a GPU. On a CPU it is params.yaml's, but processes
    in place of Ray where there is no cluster: they start in 2 s, Ray in 6.
    """
    if device.kind == "cuda":
        return Engine()
    local = run.engine == "ray" and "RAY_ADDRESS" not in os.environ
    return engine(run.model_copy(update={"engine": "processes"}) if local else run)
