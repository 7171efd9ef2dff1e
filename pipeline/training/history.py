"""What happened at each step, as a table, and as a line while it happens."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from pipeline.artifacts import write_table

EVERY = 10  # seconds between lines when not on a terminal

DESCRIPTIONS = {
    "step": "number of the step, from 0",
    "epoch": "number of the epoch, from 0",
    "loss": "supervised contrastive loss of the step (natural logarithm), the mean over the anchors of all ranks",
    "learning_rate": "rate of the step",
    "dropped": "anchors without a positive, left out of the mean",
    "crops_per_s": "crops of all ranks by the seconds of this step (wall clock: differs between runs)",
    "type_accuracy": "of the linear probe on held-out sources after this step, in [0, 1]; null where it was not run",
    "waiting": "share of the step's seconds spent waiting for data (wall clock: differs between runs)",
}


@dataclass(frozen=True)
class Row:
    """One step."""

    step: int
    epoch: int
    loss: float
    learning_rate: float
    dropped: int
    crops_per_s: float
    waiting: float
    type_accuracy: float | None = None


def write(path: Path, rows: list[Row]) -> None:
    """history.parquet: one row a step, each column with its description."""
    import pyarrow as pa

    types = {"int": pa.int64(), "float": pa.float64(), "float | None": pa.float64()}
    schema = pa.schema(
        [
            pa.field(field.name, types[str(field.type)], metadata={"description": DESCRIPTIONS[field.name]})
            for field in fields(Row)
        ]
    )
    write_table(path, pa.Table.from_pylist([asdict(row) for row in rows], schema=schema))


class Progress:
    """A bar on a terminal, else a line about every ten seconds: loss, rate, crops/s, share of waiting."""

    def __init__(self, total: int, done: int, name: str, quiet: bool = False) -> None:
        self._total, self._name, self._quiet = total, name, quiet
        self._start = self._last = time.monotonic()
        self._bar: Any = None
        if sys.stderr.isatty() and not quiet:
            from tqdm import tqdm

            self._bar = tqdm(total=total, initial=done, desc=f"train {name}", dynamic_ncols=True, unit="step")

    def show(self, row: Row) -> None:
        """Tell of one step."""
        if self._quiet:
            return
        speed = f"{row.crops_per_s:.0f} crops/s, waiting {row.waiting:.0%}"
        text = f"loss {row.loss:.3f}, lr {row.learning_rate:.4f}, {speed}"
        if self._bar is not None:
            self._bar.set_postfix_str(text, refresh=False)
            self._bar.update(1)
            return
        now = time.monotonic()
        if now - self._last >= EVERY or row.step + 1 == self._total:
            self._last = now
            place = f"{row.step + 1}/{self._total}, {now - self._start:.0f} s"
            print(f"train {self._name}: step {place}, {text}", file=sys.stderr, flush=True)

    def tell(self, text: str) -> None:
        """A line of its own."""
        if self._quiet:
            return
        if self._bar is not None:
            self._bar.write(f"train {self._name}: {text}", file=sys.stderr)
        else:
            print(f"train {self._name}: {text}", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Leave the terminal in order."""
        if self._bar is not None:
            self._bar.close()
