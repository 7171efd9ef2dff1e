"""The training loop: from images with labels to an encoder on disk, on one device or several, resumable at any moment.

All that is random comes from (seed, epoch) or (seed, step), so a run that is killed and resumed ends with the weights
of one that was not: bit by bit on a CPU in fp32 with the same number of threads and the same build of torch. The
number of steps is given by the parameters, never by a clock.
"""

from __future__ import annotations

import copy
import math
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Any, NoReturn

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from pipeline import Refusal
from pipeline.devices import Device, free_memory, resolve_precision
from pipeline.encoder import Extractor, weights
from pipeline.encoder.network import ResNet, channels_last, weight_generator
from pipeline.encoder.trunk import TrunkExtractor
from pipeline.params import ParamsError
from pipeline.training import cache, checkpoint, history, views
from pipeline.training.average import Average
from pipeline.training.batches import in_batches
from pipeline.training.classes import AUTHENTIC, CLASSES, affinity, class_labels
from pipeline.training.estimate import estimate, trial
from pipeline.training.feed import AHEAD, Batch, Feed
from pipeline.training.job import Job, identity
from pipeline.training.launch import launch, world
from pipeline.training.loss import Loss, contrastive_loss
from pipeline.training.projector import build
from pipeline.training.schedule import learning_rate, sgd

LAG = 4  # steps on a GPU before a loss is looked at: asking at once would make the device wait for the host


class TrainingError(Refusal, RuntimeError):
    """The loss or a weight is no number; the message names the step and the images."""


def train(job: Job, *, ranks: int = 1) -> None:
    """Train, and write encoder.safetensors, encoder.json and history.parquet to ``job.out``.

    ``ranks`` > 1 starts that many processes on this machine (where the process group is already made, as under
    torchrun, this is one of its ranks). An interrupted run of the same parameters, seed, images, ranks and torch
    version goes on from its checkpoint; a finished one is written out again at once.

    Raises :class:`TrainingError` when the loss is NaN or infinite, ``ValueError`` for impossible parameters,
    :class:`pipeline.artifacts.ArtifactError` for a damaged checkpoint.
    """
    if job.cache not in cache.MODES:
        raise ValueError(f"cache: {job.cache!r} is not one of {', '.join(cache.MODES)}")
    if ranks > 1 and world()[1] == 1:
        launch(_train, ranks, job.device, job)
    else:
        _train(job)


def _train(job: Job) -> None:
    """One rank's whole run."""
    if job.threads:
        torch.set_num_threads(job.threads)
    if job.device == "cuda":
        torch.backends.cudnn.benchmark = True  # one shape of crops: the quickest convolution is looked for once
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


class _Reading:
    """A step's loss on its way to the host: asking for it waits for its own step, not for those queued behind. What the
    step was made of is not kept with it, only its images' places.
    """

    def __init__(self, loss: Loss, batch: Batch, rate: float, waited: float) -> None:
        self.step, self.places, self.rate, self.waited = batch.step, batch.places, rate, waited
        both = torch.stack((loss.mean.double(), loss.dropped.double()))
        self._both = both.to("cpu", non_blocking=True)
        self._there = torch.cuda.Event() if both.is_cuda else None  # type: ignore[no-untyped-call]
        if self._there:
            self._there.record()

    def numbers(self) -> tuple[float, int]:
        """The mean over the anchors, and how many were dropped."""
        if self._there:
            self._there.synchronize()
        return float(self._both[0]), int(self._both[1])


class _Run:
    """The state of a run between steps."""

    def __init__(self, job: Job) -> None:
        params = job.params
        self.job, (self.rank, self.ranks) = job, world()
        labels = class_labels(job.data.labels[job.rows], params.merge_identical_classes)
        per_class = params.images_per_class if params.class_balanced else 0
        self.batches = in_batches(labels, params.batch, job.seed, per_class)
        if params.batch % self.ranks:
            raise ParamsError(f"train.batch: {params.batch} is not a multiple of the {self.ranks} ranks")
        self.total = max(1, round(params.epochs * self.batches.in_epoch))
        self.warmup = min(round(params.warmup * self.batches.in_epoch), self.total - 1)
        self.precision = resolve_precision(params.precision, Device("cpu" if job.device == "cpu" else "cuda"))
        self.device = torch.device("cpu" if job.device == "cpu" else f"cuda:{torch.cuda.current_device()}")
        self.identity = identity(job, self.ranks, self.precision)
        self.official = params.compat == "official"
        self.model = channels_last(build(params, weight_generator(job.seed)).to(self.device))
        self.average = Average(self.model.trunk, params.ema) if params.ema else None
        self.classes = CLASSES + (params.batch if AUTHENTIC in labels else 0)
        self.affinity = affinity(params.neighbour_weight, self.classes, self.device)
        self.rows: list[history.Row] = []
        self.optimiser = sgd(
            self.model,
            momentum=params.momentum,
            weight_decay=params.weight_decay,
            decay_norms=params.decay_norms,
            official=self.official,
        )
        self.first = self._restore()
        told = self.rank == 0 and self.first < self.total
        self.seconds = trial(self.model, params, self.device, self.precision) if told else 0.0
        self.parallel = self._parallel()
        self.progress = history.Progress(self.total, self.first, job.name, quiet=self.rank > 0)
        self._pending: deque[_Reading] = deque()
        self._clock, self._waited = time.perf_counter(), 0.0

    def feed(self) -> Feed:
        """The batches that are left to do."""
        return Feed(
            self._images(),
            self.batches,
            crop=self.job.params.crop,
            spaces=self.job.params.colour_spaces,
            official=self.official,
            first=self.first,
            last=self.total,
            rank=self.rank,
            ranks=self.ranks,
        )

    def step(self, batch: Batch, feed: Feed) -> None:
        """Forward, backward, update; then what is due: the history's row and the checkpoint."""
        params = self.job.params
        rate = learning_rate(batch.step, total=self.total, warmup=self.warmup, peak=params.learning_rate)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        full, half, labels = (t.to(self.device, non_blocking=True) for t in (batch.full, batch.half, batch.labels))
        crops = views.render(full, half, batch.draws, self.official)
        with torch.autocast(self.device.type, torch.bfloat16, self.precision == "bf16"):
            embeddings = self.parallel(crops)
        each = labels.repeat(2).repeat_interleave(len(embeddings) // len(crops))
        loss = contrastive_loss(
            embeddings, each, temperature=params.temperature, classes=self.classes, affinity=self.affinity
        )
        self.optimiser.zero_grad(set_to_none=True)
        loss.value.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        if self.average:
            self.average.update(self.model.trunk, batch.step)
        self._pending.append(_Reading(loss, batch, rate, feed.waited))
        self.settle(LAG if self.device.type == "cuda" else 0)
        done = batch.step + 1
        every = params.probe_every * self.batches.in_epoch
        if self.job.probe and every and (done == self.total or done % every == 0):
            self.settle(0)
            if self.rank == 0:
                self._probe(self.job.probe)
        if done == self.total or done % self.job.checkpoint_every == 0:
            self.settle(0)
            if not all(torch.isfinite(value).all() for value in self.model.state_dict().values()):
                self._stop("weights that are no numbers after", batch.step, rate, batch.places)
            if self.rank == 0:
                self._save(done)

    def settle(self, lag: int) -> None:
        """Look at the losses of all steps but the last ``lag``; one that is no number stops the run and names its
        images.
        """
        while len(self._pending) > lag:
            it = self._pending.popleft()
            (value, dropped), now = it.numbers(), time.perf_counter()
            if not math.isfinite(value):
                self._stop(f"loss {value} at", it.step, it.rate, it.places)
            seconds = max(now - self._clock, 1e-9)
            speed, waiting = 2 * self.batches.size / seconds, min(1.0, (it.waited - self._waited) / seconds)
            self._clock, self._waited = now, it.waited
            epoch = it.step // self.batches.in_epoch
            self.rows.append(history.Row(it.step, epoch, value, it.rate, dropped, speed, waiting))
            self.progress.show(self.rows[-1])

    def _stop(self, what: str, step: int, rate: float, places: NDArray[np.int64]) -> NoReturn:
        names = ", ".join(self.job.data.keys[int(self.job.rows[place])] for place in places)
        raise TrainingError(f"train {self.job.name}: {what} step {step}, learning rate {rate:.4g}; images {names}")

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
            "selection": "last",  # the weights after the last step: no accuracy chooses among checkpoints
            "steps": self.total,
            "torch": torch.__version__.split("+")[0],
        }
        weights.save_encoder(job.out, self.trunk, job.name, {**about, **job.provenance})

    @property
    def trunk(self) -> ResNet:
        """The trunk that is written: the moving average where there is one."""
        return self.average.trunk if self.average else self.model.trunk

    def _images(self) -> cache.Squares:
        """The images, kept where there is room; what the run will take is told here, before it starts."""
        job = self.job
        if self.first == self.total:
            return cache.HostImages(job.data, job.rows, keep=False)
        shapes = cache.image_shapes(job.data, job.rows)
        size = cache.bytes_of(shapes, len(job.rows))
        steps, ranks, precision = self.total - self.first, self.ranks, self.precision
        told = estimate(job.params, steps=steps, ranks=ranks, images=size, precision=precision, ahead=AHEAD)
        host = free_memory() // 2 // self.ranks
        device = host if self.device.type == "cpu" else told.room(torch.cuda.mem_get_info(self.device)[0])
        mode, reason = cache.choose(
            job.cache if shapes is not None or job.cache != "device" else "host", size, device, host
        )
        if self.rank == 0:
            seconds = self.seconds * told.crops / self.ranks
            for line in (*told.text(mode, seconds).splitlines(), *([reason] if reason else [])):
                print(f"train {job.name}: {line}", file=sys.stderr, flush=True)
        if mode == "device" and shapes is not None:
            return cache.DeviceImages(job.data, job.rows, shapes, self.device, job.readers)
        pin = self.device.type == "cuda"
        return cache.HostImages(job.data, job.rows, keep=mode == "host", readers=job.readers, pin=pin)

    def _probe(self, probe: Callable[[Extractor], Mapping[str, float]]) -> None:
        """Look at what is learnt so far, on a copy: the weights that train are not touched."""
        trunk, device = copy.deepcopy(self.trunk), str(self.device)
        extractor = TrunkExtractor(trunk, name=self.job.name, sha256="", device=device, precision=self.precision)
        accuracy = probe(extractor)["type_accuracy"]
        self.rows[-1] = replace(self.rows[-1], type_accuracy=accuracy)
        self.progress.tell(f"step {self.rows[-1].step + 1}, type accuracy {accuracy:.3f} on held-out sources")
        self._clock = time.perf_counter()  # a probe's time is no step's

    def _parallel(self) -> nn.Module:
        if self.ranks == 1:
            return self.model
        if self.device.type == "cuda":  # on the CPU batch norm stays a rank's own: torch has no synchronised one there
            self.model = nn.SyncBatchNorm.convert_sync_batchnorm(self.model)  # type: ignore[no-untyped-call]
            return DistributedDataParallel(self.model, device_ids=[self.device.index])
        return DistributedDataParallel(self.model)

    def _save(self, step: int) -> None:
        state: dict[str, Any] = {
            "step": step,
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }
        if self.average:
            state["average"] = self.average.trunk.state_dict()
        rows = [asdict(row) for row in self.rows]
        checkpoint.save(self.job.checkpoints, {**state, "history": rows}, step=step, identity=self.identity)

    def _restore(self) -> int:
        state = checkpoint.load(self.job.checkpoints, self.identity)
        if state is None:
            return 0
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        if self.average:
            self.average.trunk.load_state_dict(state["average"])
        self.rows = [history.Row(**row) for row in state["history"]]
        return int(state["step"])
