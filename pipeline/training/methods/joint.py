"""Contrastive training and regression at once: the semi-supervised training of paper 3.

One encoder f learns two tasks in every step. Distorted images have a class, one of 25 types at 5 levels, and no
opinion: two crops of each are to lie near all others of their class (section 3.1). Labelled images have an opinion,
which is to be predicted (section 3.2). ``alpha`` weighs the two losses (eq. 8). At 1 the first is left alone (the
paper's CL), at 0 the second, on the same draws. The projector g and the head h are thrown away afterwards.

The two kinds of images pass the encoder one after the other, so each has batch statistics of its own. What the paper
leaves open, and what is chosen here, is in docs/training.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from pipeline.encoder import weights
from pipeline.encoder.network import ResNet, initialise, weight_generator
from pipeline.labels import CLASSES, PRISTINE
from pipeline.params import JointParams, ParamsError
from pipeline.shards.decoded import Images, LabelledImages, Mode, Subset
from pipeline.shards.epochs import EpochError
from pipeline.training.loop import Method, Plateau, Run
from pipeline.training.loss import contrastive_loss
from pipeline.training.methods.regression import LOSSES, LabelledBatch, LabelledBatches, RegressionHead, last_map_mean
from pipeline.training.optimisers import LARS, lars
from pipeline.training.projector import Projector, draw_linear
from pipeline.training.views import crops_in_rgb


class JointNetwork(nn.Module):
    """The encoder f, the projector g and the regression head h."""

    def __init__(self, trunk: ResNet, projector: Projector, head: RegressionHead) -> None:
        super().__init__()
        self.trunk, self.projector, self.head = trunk, projector, head

    def features(self, squares: Tensor, flips: Tensor, chunk: int | None = None) -> Tensor:
        """z = f(x), eq. (1) and (2): uint8 [n, M, M, 3] and bool [n, 2] -> float32 [n, D], the last map's average.

        With ``chunk`` so many crops at a time pass the encoder and their maps are not kept: when the gradient by z is
        known, each chunk passes again, and its part of the gradient is added up. The gradient is that of one pass in
        which batch norms take their statistics from a chunk (of all ranks); the running statistics see each chunk once.
        """
        if chunk is None or chunk >= len(squares):
            return self._features(squares, flips)
        once = partial(_passes, self.trunk)
        parts = [
            checkpoint(self._features, *pair, use_reentrant=False, preserve_rng_state=False, context_fn=once)
            for pair in zip(torch.split(squares, chunk), torch.split(flips, chunk), strict=True)
        ]
        return torch.cat(cast(list[Tensor], parts))

    def _features(self, squares: Tensor, flips: Tensor) -> Tensor:
        return last_map_mean(self.trunk, crops_in_rgb(squares, flips).to(self.trunk.conv1.weight.dtype))


def _passes(trunk: nn.Module) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """A chunk's first pass, and its second, in which no batch norm's running statistics move."""
    return nullcontext(), _unmoved(trunk)


@contextmanager
def _unmoved(trunk: nn.Module) -> Iterator[None]:
    norms = [module for module in trunk.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    before = [(norm, norm.momentum, cast(Tensor, norm.num_batches_tracked).clone()) for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum, tracked in before:
            norm.momentum = momentum
            cast(Tensor, norm.num_batches_tracked).copy_(tracked)


@dataclass(frozen=True)
class Data:
    """What a run learns from, or validates on: distorted images, and labelled ones with their ``opinions``, float32 [n]
    on [1, 10], higher is better.
    """

    distorted: LabelledImages
    labelled: Images
    opinions: NDArray[np.float32]


@dataclass(frozen=True)
class Batch:
    """One rank's part of a step; None where ``alpha`` leaves a task out."""

    step: int
    distorted: LabelledBatch | None  # two crops of each image
    labelled: LabelledBatch | None

    @property
    def names(self) -> list[str]:
        """Of all images of the step."""
        return [name for part in (self.distorted, self.labelled) if part for name in part.names]


@dataclass(frozen=True)
class Batches:
    """The batches of :class:`Data`. Each kind of images has epochs of its own, and begins again when they end."""

    distorted: LabelledBatches
    labelled: LabelledBatches
    alpha: float

    @property
    def used(self) -> list[LabelledBatches]:
        """Those that ``alpha`` does not leave out."""
        return [self.distorted] * (self.alpha > 0) + [self.labelled] * (self.alpha < 1)

    def steps(self, first: int, last: int, rank: int = 0, ranks: int = 1) -> Iterator[Batch]:
        """This rank's part of the steps ``first`` .. ``last - 1``."""
        both = (self.distorted, self.labelled)
        kinds = (kind.steps(first, last, rank, ranks) if kind in self.used else repeat(None) for kind in both)
        for step, distorted, labelled in zip(range(first, last), *kinds, strict=False):
            yield Batch(step, distorted, labelled)


class Joint(Method[Batch]):
    """The method of paper 3 on ``training``, which the loss on ``validation`` slows down and stops.

    ``seen`` are the entries of the card's ``opinions`` (pipeline.evaluation.leaks.opinions); with alpha 1 no opinion is
    looked at, and the card has none. ``cache`` and ``readers``: as for
    :class:`pipeline.training.methods.contrastive.Contrastive`.
    """

    columns = {
        "contrastive": "L_cont of the step (eq. 5); null with alpha 0",
        "regression": "L_r of the step (eq. 7), on opinions in [1, 10]; null with alpha 1",
        "dropped": "crops without another of their class, left out of L_cont",
        "validation_loss": "L (eq. 8) on the validation part after this step; null where not looked at",
    }

    def __init__(
        self,
        run: Run,
        device: torch.device,
        *,
        training: Data,
        validation: Data,
        params: JointParams,
        seed: int,
        seen: Sequence[Mapping[str, object]] = (),
        cache: Mode = "host",
        readers: int = 1,
    ) -> None:
        self.run, self.device, self.params, self.seed = run, device, params, seed
        self.seen = list(seen) if params.alpha < 1 else []
        self._cache, self._readers = cache, readers
        per_class = params.images_per_class if params.class_balanced else 0
        self.training = self._batches(training, "joint", (params.batch, params.labelled_batch), per_class)
        self.validation = self._batches(validation, "joint/validation")
        self.steps_in_epoch = self.training.distorted.in_epoch
        self.steps = max(1, round(params.epochs * self.steps_in_epoch))
        self.views = (2 * params.batch if params.alpha > 0 else 0) + (params.labelled_batch if params.alpha < 1 else 0)
        self.validate_every = self.steps_in_epoch
        self.plateau = Plateau("validation_loss", params.patience, params.factor, params.stop_after)
        self.network: JointNetwork = build(params, weight_generator(seed), float(training.opinions.mean())).to(device)

    def _batches(self, data: Data, stage: str, sizes: tuple[int, int] | None = None, per_class: int = 0) -> Batches:
        """Batches of ``sizes``, of distorted and of labelled images; None: of ``batch``, or of all that there are."""
        labels = data.distorted.labels
        rows = np.flatnonzero(((labels != PRISTINE) | self.params.pristine) & (labels < CLASSES))  # no composites
        batch, labelled = sizes or (min(self.params.batch, count) for count in (len(rows), len(data.opinions)))
        distorted = Subset(data.distorted, rows)
        made = partial(LabelledBatches, crop=self.params.crop, seed=self.seed)
        try:
            knob, classes, of_class = "batch", distorted.labels.astype(np.int64), f"{stage}/distorted"
            two = made(distorted, classes, batch=batch, stage=of_class, views=2, per_class=per_class)
            knob = "labelled_batch"
            one = made(data.labelled, data.opinions, batch=labelled, stage=f"{stage}/labelled")
        except EpochError as error:
            raise ParamsError(f"joint_training.{str(error).replace('batch', knob)} ({stage})") from None
        return Batches(two, one, self.params.alpha)

    def prepare(self, ranks: int) -> str:
        """Open the images: half of the memory that is free is for the distorted ones, an eighth for each other part."""
        for knob in self.params.batches:
            if (count := getattr(self.params, knob)) % ranks:
                raise ParamsError(f"joint_training.{knob}: {count} is not a multiple of the {ranks} ranks")
        elsewhere: Mode = "none" if self._cache == "none" else "host"  # the device is for what trains
        for batches in self.validation.used:
            batches.prepare(elsewhere, self.device, readers=self._readers, ranks=ranks, share=1 / 8)
        shares = {self.training.distorted: 1 / 2, self.training.labelled: 1 / 8}
        kept = [
            batches.prepare(self._cache, self.device, readers=self._readers, ranks=ranks, share=shares[batches])
            for batches in self.training.used
        ]
        return ", ".join(kept)

    def batches(self, first: int, last: int, rank: int, ranks: int) -> Iterator[Batch]:
        """Two crops of each distorted image of a step, and one of each labelled image."""
        return self.training.steps(first, last, rank, ranks)

    def loss(self, batch: Batch) -> Mapping[str, Tensor]:
        """Eq. (8)."""
        return self._loss(self.network, batch, over_ranks=True)

    def _loss(self, network: JointNetwork, batch: Batch, *, over_ranks: bool) -> dict[str, Tensor]:
        params, alpha = self.params, self.params.alpha
        columns: dict[str, Tensor] = {}
        l_cont = l_r = torch.zeros((), device=self.device)
        if batch.distorted:
            squares, flips, classes = self._moved(batch.distorted)
            chunk = 2 * params.chunk if params.accumulate == "cached" else None
            z = network.features(squares, flips, chunk)  # eq. (1), (2)
            p = network.projector(z)  # eq. (3), (4)
            loss = contrastive_loss(  # eq. (5)
                p,
                classes.repeat(2),
                temperature=params.temperature,
                classes=CLASSES,
                average=params.average,
                over_ranks=over_ranks,
            )
            l_cont = loss.value
            columns |= {"contrastive": l_cont, "dropped": loss.dropped}
        if batch.labelled:
            squares, flips, opinions = self._moved(batch.labelled)
            predicted = network.head(network.features(squares, flips))  # eq. (6)
            columns["regression"] = l_r = LOSSES["mse"](predicted, opinions.to(predicted.dtype))  # eq. (7)
        return {"loss": alpha * l_cont + (1 - alpha) * l_r, **columns}  # eq. (8)

    def _moved(self, batch: LabelledBatch) -> tuple[Tensor, Tensor, Tensor]:
        squares, flips, targets = (
            tensor.to(self.device, non_blocking=True) for tensor in (batch.squares, batch.flips, batch.targets)
        )
        return squares, flips, targets

    def optimiser(self) -> LARS:
        """LARS, of the encoder with the projector and of the head (section 4.2)."""
        network, params = self.network, self.params
        encoder = nn.ModuleList([network.trunk, network.projector])
        return lars(
            [encoder, network.head], momentum=params.momentum, trust=params.trust, weight_decay=params.weight_decay
        )

    def rates(self, step: int) -> Sequence[float]:
        """Of encoder and projector (weights, norms), then of the head; the plateau lowers them."""
        encoder, head = self.params.learning_rate, self.params.head_learning_rate
        return encoder, encoder, head, head

    def validate(self, network: nn.Module) -> Mapping[str, float]:
        """The mean of eq. (8) over the validation part, on crops that are the same each time."""
        joint, steps = cast(JointNetwork, network), self.validation.used[0].in_epoch
        joint.eval()
        with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16, self.run.precision == "bf16"):
            batches = self.validation.steps(0, steps)
            losses = [float(self._loss(joint, batch, over_ranks=False)["loss"]) for batch in batches]
        joint.train()
        return {"validation_loss": float(np.mean(losses))}

    def write(self, network: nn.Module, folder: Path, provenance: Mapping[str, object]) -> None:
        """The trunk and its card, which lists the opinions that were seen."""
        own = {
            **self._identity(),
            "images": sum(len(batches.images) for batches in self.training.used),
            "labelled_on": sorted({str(entry["database"]) for entry in self.seen}),
        }
        trunk = cast(JointNetwork, network).trunk
        weights.save_encoder(folder, trunk, self.run.name, {**own, **provenance}, opinions=self.seen)

    def fingerprint(self) -> Mapping[str, object]:
        """All images, classes and opinions, parameters and seed."""
        return {**self._identity(), "validation": [batches.fingerprint() for batches in self.validation.used]}

    def _identity(self) -> dict[str, object]:
        method = "joint" if self.params.alpha < 1 else "contrastive"  # which learnt from opinions
        data, params = [batches.fingerprint() for batches in self.training.used], self.params.model_dump()
        return {"data": data, "method": method, "params": params, "seed": self.seed}


def build(params: JointParams, random: torch.Generator | None, level: float) -> JointNetwork:
    """The network whose weights are drawn from ``random`` (a CPU generator), the trunk's first. Its predictions begin
    near ``level``, the mean of the training opinions.
    """
    trunk = ResNet(params.depth, params.width)
    initialise(trunk, random)
    projector = Projector(trunk.dim, 1, params.projector_width, params.projection)
    draw_linear(projector, random)
    head = RegressionHead(trunk.dim, params.head_width)
    head.initialise(random, level)
    return JointNetwork(trunk, projector, head)
