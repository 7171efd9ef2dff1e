"""What happened at each step: a table, and a line or a bar while it happens."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.artifacts import write_table

EVERY = 10  # seconds between lines when not on a terminal

COLUMNS = {
    "step": "number of the step, from 0",
    "epoch": "number of the epoch, from 0",
    "loss": "loss of the step, the mean over all ranks",
    "learning_rate": "rate of the step, of the first parameter group",
    "crops_per_s": "crops of all ranks by the seconds of this step (wall clock: differs between runs)",
    "waiting": "share of the step's seconds spent waiting for data (wall clock: differs between runs)",
}
WHOLE = ("step", "epoch")


class History:
    """The rows of a run, one a step, and its progress: a bar on a terminal, else a line about every ten seconds.

    ``columns`` are the method's own, each with its description; a row has null where a step did not give one. ``quiet``
    prints nothing.
    """

    def __init__(
        self, columns: Mapping[str, str], name: str, steps: int, steps_in_epoch: int, *, quiet: bool = False
    ) -> None:
        self.rows: list[dict[str, Any]] = []
        self._columns = {**COLUMNS, **columns}
        self._name, self._steps, self._in_epoch, self._quiet = name, steps, steps_in_epoch, quiet
        self._first, self._start, self._told = 0, 0.0, 0.0
        self._bar: Any = None

    def __enter__(self) -> History:
        self._first, self._start = len(self.rows), time.monotonic()
        self._told = self._start
        if sys.stderr.isatty() and not self._quiet:
            from tqdm import tqdm

            title = f"train {self._name}"
            self._bar = tqdm(total=self._steps, initial=self._first, desc=title, dynamic_ncols=True, unit="step")
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def add(
        self, step: int, figures: Mapping[str, float], learning_rate: float, crops_per_s: float, waiting: float
    ) -> None:
        """A step's row; ``figures`` has ``loss`` and what the method's columns are of."""
        row = dict.fromkeys(self._columns) | {
            "step": step,
            "epoch": step // self._in_epoch,
            "learning_rate": learning_rate,
            "crops_per_s": crops_per_s,
            "waiting": waiting,
            **figures,
        }
        if row.keys() != self._columns.keys():
            raise KeyError(f"columns without a description: {', '.join(row.keys() - self._columns.keys())}")
        self.rows.append(row)
        self._show(row)

    def amend(self, figures: Mapping[str, float]) -> None:
        """Put a validation's figures into the last step's row."""
        unknown = figures.keys() - self._columns.keys()
        if unknown:
            raise KeyError(f"columns without a description: {', '.join(unknown)}")
        self.rows[-1].update(figures)
        text = ", ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in figures.items())
        self.tell(f"after step {self.rows[-1]['step'] + 1}: {text}")

    def tell(self, text: str) -> None:
        """A line of its own."""
        if self._quiet:
            return
        line = f"train {self._name}: {text}"
        if self._bar is not None:
            self._bar.write(line, file=sys.stderr)
        else:
            print(line, file=sys.stderr, flush=True)

    def write(self, path: Path) -> None:
        """history.parquet: one row a step, each column with its description."""
        import pyarrow as pa

        schema = pa.schema(
            [
                pa.field(name, pa.int64() if self._whole(name) else pa.float64(), metadata={"description": text})
                for name, text in self._columns.items()
            ]
        )
        write_table(path, pa.Table.from_pylist(self.rows, schema=schema))

    def _whole(self, name: str) -> bool:
        """Whether a column counts something."""
        values = [row[name] for row in self.rows if row[name] is not None]
        return name in WHOLE or (bool(values) and all(isinstance(value, int) for value in values))

    def _show(self, row: Mapping[str, Any]) -> None:
        if self._quiet:
            return
        speed = f"{row['crops_per_s']:.0f} crops/s, waiting {row['waiting']:.0%}"
        text = f"loss {row['loss']:.3f}, lr {row['learning_rate']:.4f}, {speed}"
        if self._bar is not None:
            self._bar.set_postfix_str(text, refresh=False)
            self._bar.update(1)
            return
        now, done = time.monotonic(), row["step"] + 1
        if now - self._told >= EVERY or done == self._steps:
            self._told = now
            elapsed = now - self._start
            left = elapsed / max(1, done - self._first) * (self._steps - done)
            self.tell(f"step {done}/{self._steps}, {elapsed:.0f} s, {_duration(left)} left, {text}")


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
