"""Stand-in images for the trainer's tests: eight kinds that differ at sight, where noise would teach nothing."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.devices import Device
from pipeline.params import TrainingParams
from pipeline.shards.decoded import LabelledImages
from pipeline.training import collectives
from pipeline.training.loop import Loop, Run
from pipeline.training.methods.contrastive import Contrastive

TINY = TrainingParams(
    depth=18,
    width=8,
    crop=32,
    batch=8,
    epochs=2,
    warmup=0.5,
    learning_rate=0.1,
    projector_width=32,
    projection=16,
)


class StandIn:
    """``sources`` images of 48 x 56 pixels times ``classes`` kinds: gratings of a frequency that is the label's."""

    def __init__(self, sources: int = 4, classes: int = 8, kill_after: int | None = None) -> None:
        self.sources = np.repeat(np.arange(sources, dtype=np.int32), classes)
        self.labels = np.tile(np.arange(classes, dtype=np.int16), sources)
        self.shapes = np.tile(np.array([[48, 56]], np.int32), (len(self.labels), 1))
        self.keys = [f"{s:06d}-{c:03d}" for s, c in zip(self.sources, self.labels, strict=True)]
        self.fingerprint = "stand-in"
        self.read = 0
        self._kill_after = kill_after

    def __len__(self) -> int:
        return len(self.labels)

    def image(self, index: int) -> np.ndarray:
        """uint8 48 x 56 x 3; after ``kill_after`` readings the process kills itself."""
        self.read += 1
        if self._kill_after is not None and self.read > self._kill_after:
            os.kill(os.getpid(), signal.SIGKILL)
        chance = np.random.default_rng(int(self.sources[index]))
        y, x = np.mgrid[:48, :56]
        wave = np.sin((0.1 + 0.35 * self.labels[index]) * (x + y) + chance.uniform(0, 6))
        colour = chance.uniform(20, 100, 3)
        return (127 + wave[..., None] * colour + chance.normal(0, 4, (48, 56, 3))).clip(0, 255).astype(np.uint8)


def job(
    folder: Path, images: LabelledImages, params: TrainingParams = TINY, *, ranks: int = 1, **changes: Any
) -> tuple[Run, partial[Contrastive]]:
    """A run on all of ``images`` into ``folder``, one thread a rank: what ``train`` takes."""
    run = Run(
        name="stand_in",
        out=folder / "out",
        checkpoints=folder / "checkpoints",
        device=Device("cpu", ranks),
        precision=params.precision,
        threads=1,
        ema=params.ema,
        checkpoint_every=changes.pop("checkpoint_every", 2),
    )
    return run, partial(Contrastive, images=images, params=params, **{"seed": 5, **changes})


def fingerprint(folder: Path, images: LabelledImages, params: TrainingParams = TINY, **changes: Any) -> str:
    """The fingerprint of such a run: its checkpoint goes on under this name."""
    run, make = job(folder, images, params)
    return Loop(replace(run, **changes), make).identity


def left_in_shared_memory(seconds: float = 20.0) -> list[Path]:
    """What ranks left there for good. Those of a test that runs beside this one remove theirs soon."""
    left, end = list(collectives.SHARED.glob("ranks-*")), time.monotonic() + seconds
    while (left := [path for path in left if path.exists()]) and time.monotonic() < end:
        time.sleep(0.1)
    return left
