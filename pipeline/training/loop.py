"""The training loop: steps, precision, ranks, checkpoints, history, moving average and stopping, for any method.

**How a method is written.** A method is one file in ``pipeline/training/methods`` with one class that follows
:class:`Method`, read from top to bottom as its paper: what a batch is, the network with its heads, the loss, the
optimiser, what is validated, what is written. ``contrastive.py`` is the example. Each rank makes a method of its own,
so the stage hands in a function of the run and the device, a ``functools.partial`` of the class::

    train(Run(name="dead_leaves", out=..., checkpoints=..., device=Device("cpu"), precision="bf16"),
          partial(Contrastive, images=..., params=..., seed=1))

What a method must keep to:

- All that is random comes from (seed, epoch) or (seed, step) through ``pipeline.seeding.generator``. It is drawn for
  the whole batch before :func:`pipeline.shards.epochs.part` takes a rank's part. Then a run that is resumed, or that
  has other ranks, sees the same batches.
- ``network`` holds all that is trained and kept in the checkpoint. Anything else that changes goes into ``plateau`` or
  is computed from the step.
- ``loss`` is called under autocast. What needs float32 switches it off for itself, as the views and the losses do. Over
  ranks the loop takes the mean of the ranks' gradients and of their columns: a loss that is a mean over a rank's own
  images is right as it is. Batch norms take their statistics from the images of all ranks, so in training mode all
  ranks must call them in the same order.
- Several parameter groups: ``optimiser`` makes them (encoder and head), ``rates`` gives the rate of each at each step.
  A group with rate 0 is frozen (but for batch norms' statistics: keep those modules in eval mode).
- Validation: ``validate`` is called on rank 0 with the network that would be written, every ``validate_every`` steps
  and after the last. It must leave that network as it was: work on a copy, or restore its mode. With a
  :class:`Plateau` a figure of it lowers all rates and ends the run early; the plateau's state is in the checkpoint.
- Images of a labelled table: :class:`pipeline.databases.pixels.TableImages` gives those of a database. Whatever has
  ``keys``, ``shapes`` and ``image(i)`` is :class:`pipeline.shards.decoded.Images`, which
  :func:`pipeline.shards.decoded.open_images` keeps and cuts. Opinions and splits are the method's own arrays.

A run that is killed and resumed ends with the weights of one that was not: bit by bit on a CPU in fp32 with the same
number of threads and ranks and the same build of torch. The number of steps comes from the parameters, never from a
clock.
"""

from __future__ import annotations

import ctypes
import math
import resource
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NoReturn, Protocol, TypeVar

import torch
from torch import Tensor, nn

from pipeline import Refusal
from pipeline.artifacts import fingerprint
from pipeline.devices import Device
from pipeline.encoder.network import channels_last
from pipeline.encoder.synchronised import synchronise
from pipeline.shards.loader import Prefetch
from pipeline.training import checkpoint
from pipeline.training.collectives import (
    GradientMean,
    board,
    from_first,
    mean_over_ranks,
    sum_over_ranks,
    world,
)
from pipeline.training.ema import EMA
from pipeline.training.history import History
from pipeline.training.launch import launch, record

FORMAT = 3  # raise it when the same parameters would train other weights, or a checkpoint holds something else
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4  # glibc's malloc.h
LAG = 4  # steps on a GPU before a loss is looked at: asking at once would make the device wait for the host


class TrainingError(Refusal, RuntimeError):
    """The loss or a weight is no number; the message names the step and the images."""


class Batch(Protocol):
    """One rank's part of a step, made ahead in a background thread. A method's own class has whatever more it needs."""

    @property
    def step(self) -> int:
        """Number of the step, from 0."""
        ...

    @property
    def names(self) -> Sequence[str]:
        """Of the step's images, for messages: those of all ranks where they are known."""
        ...


@dataclass
class Plateau:
    """Lowers the learning rates, and in the end stops the run, when a figure of ``validate`` no longer falls.

    ``figure`` is the name of that figure (lower is better: give minus a correlation). An improvement is a fall by more
    than ``threshold``. After ``patience`` validations without one, all rates are multiplied by ``factor``; after
    ``stop_after`` (None: never) the run ends. The other fields are its state, which the checkpoint keeps.
    """

    figure: str
    patience: int = 5
    factor: float = 0.1
    stop_after: int | None = None
    threshold: float = 0.0
    best: float = math.inf
    since_best: int = 0
    since_lowered: int = 0
    scale: float = 1.0

    def update(self, figures: Mapping[str, float]) -> None:
        """Take in the figures of one validation."""
        value = figures[self.figure]
        if value < self.best - self.threshold:
            self.best, self.since_best, self.since_lowered = value, 0, 0
            return
        self.since_best += 1
        self.since_lowered += 1
        if self.since_lowered >= self.patience:
            self.scale, self.since_lowered = self.scale * self.factor, 0

    @property
    def stopped(self) -> bool:
        """Whether the run is to end."""
        return self.stop_after is not None and self.since_best >= self.stop_after


B = TypeVar("B", bound=Batch)


class Method(Protocol[B]):
    """How an encoder is trained. Inherit it: what has a default here need not be written. See the top of this file."""

    network: nn.Module  # all that is optimised and checkpointed, on its device
    steps: int  # of the whole run
    steps_in_epoch: int  # for the history's epoch
    views: int  # images or crops that a step of all ranks takes through the network, for the speed that is told
    columns: Mapping[str, str]  # of the history: what ``loss`` and ``validate`` return, each with its description
    validate_every: int = 0  # steps; 0: never
    plateau: Plateau | None = None

    def fingerprint(self) -> Mapping[str, object]:
        """All that the weights depend on, but for what the loop knows: images, parameters, seed (JSON-able)."""
        ...

    def prepare(self, ranks: int) -> str:
        """Open the images, of which this process and ``ranks - 1`` others hold their own; returns a line that says how
        they are kept. Called once before the first step, and not for a run that is finished.
        """
        ...

    def batches(self, first: int, last: int, rank: int, ranks: int) -> Iterator[B]:
        """This rank's part of the steps ``first`` .. ``last - 1``."""
        ...

    def loss(self, batch: B) -> Mapping[str, Tensor]:
        """``loss``, a scalar with a gradient, and scalars for the history's columns."""
        ...

    def optimiser(self) -> torch.optim.Optimizer:
        """Of the network's parameters, in one group or several."""
        ...

    def rates(self, step: int) -> Sequence[float]:
        """The learning rate of each parameter group at a step; the history shows the first."""
        ...

    def validate(self, network: nn.Module) -> Mapping[str, float]:
        """Figures of ``network``, for the history and the plateau; none where there is nothing to validate on."""
        return {}

    def write(self, network: nn.Module, folder: Path, provenance: Mapping[str, object]) -> None:
        """What comes of the run, the card last; ``provenance`` goes into the card."""
        ...


@dataclass(frozen=True, kw_only=True)
class Run:
    """Where and how a method is run. Of these only ``ema`` and ``precision`` change a result, but for rounding.

    ``name`` is the encoder's. ``device.ranks`` processes are started where it is above 1, each with ``threads`` threads
    of torch (None: torch's own number). ``precision`` is fp32 or bf16. ``ema`` is the decay of a moving average of the
    network, which then is what is validated and written; None: the last weights. Every ``checkpoint_every`` steps, and
    at the end, the state goes to ``checkpoints``. ``provenance`` goes into the card beside what the loop knows.
    """

    name: str
    out: Path
    checkpoints: Path
    device: Device = Device("cpu")
    precision: str = "fp32"
    threads: int | None = None
    ema: float | None = None
    checkpoint_every: int = 250
    provenance: Mapping[str, object] = field(default_factory=dict)


Make = Callable[[Run, torch.device], Method[Any]]  # called in each rank; picklable where several are started


def train(run: Run, make: Make) -> None:
    """Train the method that ``make`` makes, and write its outs and history.parquet to ``run.out``.

    Where ``run.device.ranks`` > 1, that many processes are started on this machine; where a process group is already
    made, as under torchrun, this is one of its ranks. An interrupted run with the same fingerprint, ranks, precision
    and torch version goes on from its checkpoint; a finished one is written out again at once.

    Raises :class:`TrainingError` when the loss is NaN or infinite, ``ValueError`` for impossible parameters,
    :class:`pipeline.artifacts.ArtifactError` for a damaged checkpoint.
    """
    if run.device.ranks > 1 and world()[1] == 1:
        launch(_train, run.device.ranks, run.device.kind, run, make)
    else:
        _train(run, make)


def _train(run: Run, make: Make) -> None:
    """One rank's whole run."""
    if run.threads:
        torch.set_num_threads(run.threads)
    if run.device.kind == "cpu":
        _keep_freed_memory()
    if run.device.kind == "cuda":
        torch.backends.cudnn.benchmark = True  # one shape of crops: the quickest convolution is looked for once
    loop = Loop(run, make)
    loop.finish()
    if loop.rank == 0:
        loop.write()


def _keep_freed_memory() -> None:
    """Tell glibc to keep what is freed: a step's maps are freed and asked for again, and each fresh page from the
    system is a fault. (Two pairs of runs on a busy machine: 2 and 20 % of a step.) Other C libraries are left alone.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    for option, value in ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, 2**31 - 1), (_M_TOP_PAD, 2**27)):
        mallopt(option, value)


class Loop:
    """The state of a run between steps."""

    def __init__(self, run: Run, make: Make) -> None:
        self.run, (self.rank, self.ranks) = run, world()
        self.device = torch.device("cpu" if run.device.kind == "cpu" else f"cuda:{torch.cuda.current_device()}")
        self.method = method = make(run, self.device)
        self.identity = fingerprint(
            {
                "ema": run.ema,
                "format": FORMAT,
                "method": dict(method.fingerprint()),
                "precision": run.precision,
                "ranks": self.ranks,
                "torch": torch.__version__.split("+")[0],
            }
        )
        channels_last(method.network)
        if self.ranks > 1 and run.device.kind == "cuda":
            method.network = nn.SyncBatchNorm.convert_sync_batchnorm(method.network)  # type: ignore[no-untyped-call]
        elif self.ranks > 1:
            synchronise(method.network, sum_over_ranks)
        self.ema = EMA(method.network, run.ema) if run.ema else None
        self.optimiser = method.optimiser()
        parameters = [p for group in self.optimiser.param_groups for p in group["params"] if p.requires_grad]
        self.average_gradients = GradientMean(parameters, board())
        self.history = History(method.columns, run.name, method.steps, method.steps_in_epoch, quiet=self.rank > 0)
        self.first = self.done = self._restore()
        self._pending: deque[_Reading] = deque()
        self._clock, self._waited = time.perf_counter(), 0.0

    @property
    def finished(self) -> bool:
        """Whether no step is left."""
        return self.done >= self.method.steps or (self.method.plateau is not None and self.method.plateau.stopped)

    @property
    def network(self) -> nn.Module:
        """The network that is validated and written: the moving average where there is one."""
        return self.ema.network if self.ema else self.method.network

    def finish(self) -> None:
        """Do the steps that are left."""
        if self.finished:
            return
        numbers = sum(parameter.numel() for parameter in self.method.network.parameters())
        kept = self.method.prepare(self.ranks)
        left = self.method.steps - self.done
        self.history.tell(f"{numbers / 1e6:.1f} M parameters, {left:,} steps of {self.method.views} views, {kept}")
        self._clock = time.perf_counter()
        items = self.method.batches(self.done, self.method.steps, self.rank, self.ranks)
        with self.history, Prefetch(items) as batches:
            for batch in batches:
                self.step(batch, batches.waited)
                if self.finished:
                    break
            self.settle(0)

    def step(self, batch: Batch, waited: float = 0.0) -> None:
        """Forward, backward, update; then what is due: the history's row, the validation and the checkpoint. ``waited``
        are the seconds spent waiting for batches so far.
        """
        method, plateau = self.method, self.method.plateau
        record(f"step {batch.step}")
        rates = [rate * plateau.scale for rate in method.rates(batch.step)] if plateau else method.rates(batch.step)
        for group, rate in zip(self.optimiser.param_groups, rates, strict=True):
            group["lr"] = rate
        with torch.autocast(self.device.type, torch.bfloat16, self.run.precision == "bf16"):
            columns = method.loss(batch)
        self.optimiser.zero_grad(set_to_none=True)
        columns["loss"].backward()  # type: ignore[no-untyped-call]
        self.average_gradients()
        self.optimiser.step()
        if self.ema:
            self.ema.update(method.network, batch.step)
        self._pending.append(_Reading(batch, columns, rates[0], waited))
        self.done = batch.step + 1
        self.settle(LAG if self.device.type == "cuda" else 0)
        every = method.validate_every
        if every and (self.done == method.steps or self.done % every == 0):
            self._validate()
        if self.finished or self.done % self.run.checkpoint_every == 0:
            self._save(batch, rates[0])
        if batch.step == self.first:
            self._tell_peak()

    def settle(self, lag: int) -> None:
        """Look at the losses of all steps but the last ``lag``; one that is no number stops the run and names its
        images.
        """
        while len(self._pending) > lag:
            reading = self._pending.popleft()
            columns, now = reading.columns(), time.perf_counter()
            if not math.isfinite(columns["loss"]):
                self._stop(f"loss {columns['loss']} at", reading.step, reading.names, reading.rate)
            seconds = max(now - self._clock, 1e-9)
            waiting = min(1.0, (reading.waited - self._waited) / seconds)
            self._clock, self._waited = now, reading.waited
            self.history.add(reading.step, columns, reading.rate, self.method.views / seconds, waiting)

    def write(self) -> None:
        """The outs: history first, the card last."""
        self.history.write(self.run.out / "history.parquet")
        provenance = {
            "precision": self.run.precision,
            "ranks": self.ranks,
            "selection": "last",  # the weights after the last step: no accuracy chooses among checkpoints
            "steps": self.done,
            "torch": torch.__version__.split("+")[0],
            **self.run.provenance,
        }
        self.method.write(self.network, self.run.out, provenance)

    def _validate(self) -> None:
        self.settle(0)
        figures: Mapping[str, float] = self.method.validate(self.network) if self.rank == 0 else {}
        if self.method.plateau:
            figures = from_first(figures)
            self.method.plateau.update(figures)
        if figures:
            self.history.amend(figures)
        self._clock = time.perf_counter()  # the time of a validation is no step's

    def _stop(self, what: str, step: int, names: Sequence[str], rate: float) -> NoReturn:
        about = f"step {step}, learning rate {rate:.4g}; images {', '.join(names)}"
        raise TrainingError(f"train {self.run.name}: {what} {about}")

    def _save(self, batch: Batch, rate: float) -> None:
        """The checkpoint, if all weights are numbers."""
        self.settle(0)
        if not all(torch.isfinite(value).all() for value in self.method.network.state_dict().values()):
            self._stop("weights that are no numbers after", batch.step, batch.names, rate)
        if self.rank:
            return
        state: dict[str, Any] = {
            "network": self.method.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "history": self.history.rows,
            "step": self.done,
        }
        if self.ema:
            state["ema"] = self.ema.network.state_dict()
        if self.method.plateau:
            state["plateau"] = asdict(self.method.plateau)
        checkpoint.save(self.run.checkpoints, state, step=self.done, identity=self.identity)

    def _restore(self) -> int:
        """Take up the checkpoint's state, if there is one of this run; returns how many steps are done."""
        state = checkpoint.load(self.run.checkpoints, self.identity)
        if state is None:
            return 0
        self.method.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        if self.ema:
            self.ema.network.load_state_dict(state["ema"])
        if self.method.plateau:
            self.method.plateau = Plateau(**state["plateau"])
        self.history.rows = state["history"]
        return int(state["step"])

    def _tell_peak(self) -> None:
        """The first step's time and the memory so far, from which a user sees what the run takes."""
        self.settle(0)
        if self.device.type == "cuda":
            peak = torch.cuda.max_memory_allocated(self.device)
        else:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        of_each = f" in each of {self.ranks} ranks" if self.ranks > 1 else ""
        seconds = self.method.views / self.history.rows[-1]["crops_per_s"]
        self.history.tell(f"first step {seconds:.2g} s, peak memory {peak / 2**30:.2f} GiB{of_each}")


class _Reading:
    """One step's columns, copied to the host asynchronously: asking for them waits for their own step, not for those
    queued behind.
    """

    def __init__(self, batch: Batch, columns: Mapping[str, Tensor], rate: float, waited: float) -> None:
        self.step, self.names, self.rate, self.waited = batch.step, batch.names, rate, waited
        self._whole = {name: not value.is_floating_point() for name, value in columns.items()}
        values = mean_over_ranks(torch.stack([value.detach().double() for value in columns.values()]))
        self._values = values.to("cpu", non_blocking=True)
        self._copied = torch.cuda.Event() if values.is_cuda else None  # type: ignore[no-untyped-call]
        if self._copied:
            self._copied.record()

    def columns(self) -> dict[str, float | int]:
        """Each column's mean over the ranks, whole numbers as such."""
        if self._copied:
            self._copied.synchronize()
        pairs = zip(self._whole.items(), self._values.tolist(), strict=True)
        return {name: round(value) if whole else value for (name, whole), value in pairs}
