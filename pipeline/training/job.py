"""What is to be trained, and the fingerprint of all that its weights depend on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.artifacts import fingerprint
from pipeline.encoder import Extractor
from pipeline.params import TrainParams
from pipeline.training.batches import Data

FORMAT = 1  # raise it when the same parameters would train other weights


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is to be trained, on what, where to. The fields from ``device`` on change no result, but for rounding.

    ``rows`` are the rows of ``data`` to train on (the caller keeps the probe's sources out), ``name`` the encoder's,
    ``provenance`` goes into encoder.json beside the parameters. ``device`` is cpu or cuda. ``cache`` "device" keeps the
    decoded images there, "host" in memory, if they fit, and "none" decodes each time, all in ``readers`` threads.
    ``probe``, where given, is called every ``params.probe_every`` epochs and at the end with an extractor of the
    weights as they are; its ``type_accuracy`` goes into the history and decides nothing. Every ``checkpoint_every``
    steps, and at the end, the state goes to ``checkpoints``.
    """

    data: Data
    rows: NDArray[np.int64]
    params: TrainParams
    seed: int
    name: str
    out: Path
    checkpoints: Path
    provenance: Mapping[str, object] = field(default_factory=dict)
    probe: Callable[[Extractor], Mapping[str, float]] | None = None
    device: str = "cpu"
    threads: int | None = None
    cache: str = "host"
    readers: int = 1
    checkpoint_every: int = 250


def identity(job: Job, ranks: int, precision: str) -> str:
    """The fingerprint of what the weights depend on."""
    keys, labels = job.data.keys, job.data.labels
    images = hashlib.sha256("\n".join(f"{keys[row]} {labels[row]}" for row in job.rows).encode()).hexdigest()
    parts: dict[str, Any] = {
        "format": FORMAT,
        "data": getattr(job.data, "fingerprint", None),
        "images": images,
        "params": job.params.model_dump(),
        "precision": precision,
        "ranks": ranks,
        "seed": job.seed,
        "torch": torch.__version__.split("+")[0],
    }
    return fingerprint(parts)
