"""The training loop: from images with labels to an encoder on disk, on one device or several, resumable at any moment.

All that is random comes from (seed, epoch) or (seed, step), so a run that is killed and resumed ends with the weights
of one that was not: bit by bit on a CPU in fp32 with the same number of threads and the same build of torch. The
number of steps is given by the parameters, never by a clock.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from pipeline import Refusal
from pipeline.artifacts import fingerprint
from pipeline.encoder import weights
from pipeline.encoder.network import channels_last, weight_generator
from pipeline.params import ParamsError, TrainParams
from pipeline.training import checkpoint, history, views
from pipeline.training.batches import Batches, Data, class_labels
from pipeline.training.feed import Batch, Feed, Images, fits_in_memory
from pipeline.training.launch import launch, resolve_precision, world
from pipeline.training.loss import Loss, contrastive_loss
from pipeline.training.projector import Model, build
from pipeline.training.schedule import learning_rate, sgd

FORMAT = 1  # raise it when the same parameters would train other weights
CLASSES = 126
LAG = 4  # steps on a GPU before a loss is looked at: asking at once would make the device wait for the host


class TrainingError(Refusal, RuntimeError):
    """The loss is no number; the message names the step and the images."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is to be trained, on what, where to. The fields from ``device`` on change no result, but for rounding.

    ``rows`` are the rows of ``data`` to train on (the caller keeps the probe's sources out), ``name`` the encoder's,
    ``provenance`` goes into encoder.json beside the parameters. ``device`` is cpu or cuda. ``cache`` "host" keeps the
    decoded images in memory if they fit in half of what is free, "none" decodes each time, in ``readers`` threads.
    Every ``checkpoint_every`` steps, and at the end, the state goes to ``checkpoints``.
    """

    data: Data
    rows: NDArray[np.int64]
    params: TrainParams
    seed: int
    name: str
    out: Path
    checkpoints: Path
    provenance: Mapping[str, object] = field(default_factory=dict)
    device: str = "cpu"
    threads: int | None = None
    cache: str = "host"
    readers: int = 1
    checkpoint_every: int = 250


def train(job: Job, *, ranks: int = 1) -> None:
    """Train, and write encoder.safetensors, encoder.json and history.parquet to ``job.out``.

    ``ranks`` > 1 starts that many processes on this machine (where the process group is already made, as under
    torchrun, this is one of its ranks). An interrupted run of the same parameters, seed, images, ranks and torch
    version goes on from its checkpoint; a finished one is written out again at once.

    Raises :class:`TrainingError` when the loss is NaN or infinite, ``ValueError`` for impossible parameters,
    :class:`pipeline.artifacts.ArtifactError` for a damaged checkpoint.
    """
    if job.cache not in ("host", "none"):
        raise ValueError(f"cache: {job.cache!r} is not one of host, none")
    if ranks > 1 and world()[1] == 1:
        launch(_train, ranks, job.device, job)
    else:
        _train(job)


def _train(job: Job) -> None:
    """One rank's whole run."""
    if job.threads:
        torch.set_num_threads(job.threads)
    run = _Run(job)
    with run.feed() as feed:
        try:
            for batch in feed:
                run.step(batch, feed)
            run.settle(0)
        finally:
            run.progress.close()
    if run.rank == 0:
        run.write()


class _Run:
    """The state of a run between steps."""

    def __init__(self, job: Job) -> None:
        params = job.params
        self.job, (self.rank, self.ranks) = job, world()
        labels = class_labels(job.data.labels[job.rows], params.merge_identical_classes)
        per_class = params.images_per_class if params.class_balanced else 0
        self.batches = Batches(labels, params.batch, job.seed, per_class)
        if params.batch % self.ranks:
            raise ParamsError(f"train.batch: {params.batch} is not a multiple of the {self.ranks} ranks")
        self.total = max(1, round(params.epochs * self.batches.in_epoch))
        self.warmup = min(round(params.warmup * self.batches.in_epoch), self.total - 1)
        self.precision = resolve_precision(params.precision, job.device)
        self.device = torch.device("cpu" if job.device == "cpu" else f"cuda:{torch.cuda.current_device()}")
        self.identity = _identity(job, self.ranks, self.precision)
        self.model = channels_last(_model(job).to(self.device))
        self.rows: list[history.Row] = []
        self.parallel = self._parallel()
        self.optimiser = sgd(
            self.model,
            momentum=params.momentum,
            weight_decay=params.weight_decay,
            decay_norms=params.decay_norms,
        )
        self.first = self._restore()
        self.progress = history.Progress(self.total, self.first, job.name, quiet=self.rank > 0)
        self._pending: deque[tuple[Batch, Loss, float, float]] = deque()
        self._clock, self._waited = time.perf_counter(), 0.0

    def feed(self) -> Feed:
        """The batches that are left to do."""
        job = self.job
        shapes = getattr(job.data, "shapes", None)
        pixels = int(np.prod(shapes[job.rows].max(0), dtype=np.int64)) if shapes is not None else 2**16
        keep = job.cache == "host" and fits_in_memory(len(job.rows) * self.ranks, pixels)
        images = Images(job.data, job.rows, keep)
        return Feed(
            images,
            self.batches,
            crop=job.params.crop,
            first=self.first,
            last=self.total,
            rank=self.rank,
            ranks=self.ranks,
            readers=job.readers,
            pin=job.device == "cuda",
        )

    def step(self, batch: Batch, feed: Feed) -> None:
        """Forward, backward, update; then what is due: the history's row and the checkpoint."""
        params = self.job.params
        rate = learning_rate(batch.step, total=self.total, warmup=self.warmup, peak=params.learning_rate)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        full, half, labels = (t.to(self.device, non_blocking=True) for t in (batch.full, batch.half, batch.labels))
        crops = views.render(full, half, batch.draws)
        with torch.autocast(self.device.type, torch.bfloat16, self.precision == "bf16"):
            embeddings = self.parallel(crops)
        each = labels.repeat(2).repeat_interleave(len(embeddings) // len(crops))
        loss = contrastive_loss(embeddings, each, temperature=params.temperature, classes=CLASSES)
        self.optimiser.zero_grad(set_to_none=True)
        loss.value.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        self._pending.append((batch, loss, rate, feed.waited))
        self.settle(LAG if self.device.type == "cuda" else 0)
        done = batch.step + 1
        if done == self.total or done % self.job.checkpoint_every == 0:
            self.settle(0)
            if self.rank == 0:
                self._save(done)

    def settle(self, lag: int) -> None:
        """Look at the losses of all steps but the last ``lag``; one that is no number stops the run and names its
        images.
        """
        while len(self._pending) > lag:
            batch, loss, rate, waited = self._pending.popleft()
            value, now = float(loss.mean), time.perf_counter()
            if not math.isfinite(value):
                names = ", ".join(self.job.data.keys[int(self.job.rows[place])] for place in batch.places)
                place = f"step {batch.step}, learning rate {rate:.4g}"
                raise TrainingError(f"train {self.job.name}: loss {value} at {place}; images {names}")
            seconds = max(now - self._clock, 1e-9)
            speed, waiting = 2 * self.batches.size / seconds, min(1.0, (waited - self._waited) / seconds)
            self._clock, self._waited = now, waited
            epoch = batch.step // self.batches.in_epoch
            self.rows.append(history.Row(batch.step, epoch, value, rate, int(loss.dropped), speed, waiting))
            self.progress.show(self.rows[-1])

    def write(self) -> None:
        """The outs: history first, the encoder's card last."""
        job = self.job
        history.write(job.out / "history.parquet", self.rows)
        about = {
            "data": getattr(job.data, "fingerprint", None),
            "images": len(job.rows),
            "params": job.params.model_dump(),
            "precision": self.precision,
            "ranks": self.ranks,
            "seed": job.seed,
            "steps": self.total,
            "torch": torch.__version__.split("+")[0],
        }
        weights.save(job.out, self.model.trunk, job.name, {**about, **job.provenance})

    def _parallel(self) -> nn.Module:
        if self.ranks == 1:
            return self.model
        if self.device.type == "cuda":  # on the CPU batch norm stays a rank's own: torch has no synchronised one there
            self.model = nn.SyncBatchNorm.convert_sync_batchnorm(self.model)  # type: ignore[no-untyped-call]
            return DistributedDataParallel(self.model, device_ids=[self.device.index])
        return DistributedDataParallel(self.model)

    def _save(self, step: int) -> None:
        state = {"step": step, "model": self.model.state_dict(), "optimiser": self.optimiser.state_dict()}
        rows = [asdict(row) for row in self.rows]
        checkpoint.save(self.job.checkpoints, {**state, "history": rows}, step=step, identity=self.identity)

    def _restore(self) -> int:
        state = checkpoint.load(self.job.checkpoints, self.identity)
        if state is None:
            return 0
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.rows = [history.Row(**row) for row in state["history"]]
        return int(state["step"])


def _model(job: Job) -> Model:
    params = job.params
    layers, hidden, outputs = params.projector_layers, params.projector_width, params.projection
    return build(params.depth, params.width, layers, hidden, outputs, weight_generator(job.seed))


def _identity(job: Job, ranks: int, precision: str) -> str:
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
