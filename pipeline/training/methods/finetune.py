"""Opinions learnt on top of an encoder (paper 3, section 4.2): LP, FT and LP-FT.

    LP      the encoder is frozen and the MLP alone is trained: :class:`LinearProbe`, on stored features
    FT      encoder and MLP are trained together: :class:`FineTune`, on random crops
    LP-FT   LP on features of fixed crops, then FT from there

With Adam, batches of 32 and the MSE (eq. 7); paper 4's regression is FT with the L1 (eq. 8). Heads, batches and losses
are in ``regression.py``. The rate falls where the validation loss stagnates, and the run may stop early; both look at
the training and validation parts of a split and at nothing else.
"""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.artifacts import sha256_file
from pipeline.encoder import weights
from pipeline.encoder.card import WEIGHTS
from pipeline.encoder.network import ResNet, channels_last, weight_generator
from pipeline.encoder.pooling import pool_of
from pipeline.encoder.trunk import as_input
from pipeline.params import FinetuningParams, ParamsError
from pipeline.seeding import generator
from pipeline.shards.decoded import Images, Mode
from pipeline.shards.epochs import EpochError, Epochs
from pipeline.training.loop import Method, Plateau, Run
from pipeline.training.methods.regression import (
    BATCH,
    HEAD,
    LOSSES,
    LabelledBatch,
    LabelledBatches,
    RegressionHead,
    RegressionNetwork,
    crops_of,
    load_head,
    load_network,
    render,
    save_head,
)

COLUMNS = {"validation_loss": "loss on the validation part after this step; null where not looked at"}


@dataclass(frozen=True)
class Start:
    """What a run begins from: an encoder's folder, and the folder of a trained head (None: a new one)."""

    encoder: Path
    head: Path | None = None

    def fingerprint(self) -> Mapping[str, object]:
        """The bytes of both."""
        head = None if self.head is None else sha256_file(self.head / HEAD)
        return {"encoder": sha256_file(self.encoder / WEIGHTS), "head": head}


class LinearProbe(Method["Vectors"]):
    """LP: the head on frozen ``features`` float32 [n, views, dim], of one or several views an image, of which each step
    takes one at random; ``keys`` name the images, ``targets`` float32 [n] lie in [1, 10]. ``validation`` has features
    and targets of the validation part.

    Features are standardised by the training part while the head learns (lengths of 1 over 4,096 numbers are 0.016
    each, which Adam at 1e-5 would hardly see); what is written has this folded into its first layer and takes raw
    features. ``opinions`` are the entries of the card (``weights.save_encoder``).
    """

    columns = COLUMNS

    def __init__(
        self,
        run: Run,
        device: torch.device,
        *,
        start: Start,
        keys: Sequence[str],
        features: NDArray[np.float32],
        targets: NDArray[np.float32],
        validation: tuple[NDArray[np.float32], NDArray[np.float32]],
        params: FinetuningParams,
        seed: int,
        opinions: Sequence[Mapping[str, object]] = (),
    ) -> None:
        self.run, self.device, self.start = run, device, start
        self.keys, self.features, self.targets, self.validation = keys, features, targets, validation
        self.params, self.seed, self.opinions = params, seed, opinions
        flat = features.reshape(-1, features.shape[-1]).astype(np.float64)
        deviation = flat.std(axis=0)
        self.mean, self.scale = flat.mean(axis=0), np.where(deviation > 1e-9, deviation, 1.0)
        try:
            self.order = Epochs(len(features), params.batch, seed, stage="finetune/probe/order")
        except EpochError as error:
            raise ParamsError(f"finetuning.{error}") from None
        self.steps_in_epoch, self.steps = self.order.in_epoch, max(1, round(params.epochs * self.order.in_epoch))
        self.views = params.batch
        self.validate_every, self.plateau = _validation(params, self.steps_in_epoch, len(validation[1]))
        self.network: RegressionHead = _new_head(features.shape[-1], targets, seed).to(device)

    def prepare(self, ranks: int) -> str:
        """Nothing to open."""
        return f"features of {len(self.features):,} images"

    def batches(self, first: int, last: int, rank: int, ranks: int) -> Iterator[Vectors]:
        """One view of each image of a step, drawn by (seed, step). LP is one rank's work."""
        for step, samples in self.order.steps(first, last, rank, ranks):
            random = generator(self.seed, "finetune/probe/views", step)
            views = random.integers(self.features.shape[1], size=len(samples))
            inputs = self._standardised(self.features[samples, views])
            yield Vectors(step, [self.keys[i] for i in samples], inputs, torch.from_numpy(self.targets[samples]))

    def loss(self, batch: Vectors) -> Mapping[str, Tensor]:
        """Eq. (7), or paper 4's (8)."""
        inputs, targets = batch.inputs.to(self.device), batch.targets.to(self.device)
        return {"loss": LOSSES[self.params.loss](self.network(inputs), targets)}

    def optimiser(self) -> torch.optim.Adam:
        """Adam (section 4.2)."""
        return torch.optim.Adam(self.network.parameters(), lr=0.0, weight_decay=self.params.weight_decay)

    def rates(self, step: int) -> Sequence[float]:
        """The head's, constant but for the plateau."""
        return (self.params.head_learning_rate,)

    def validate(self, network: nn.Module) -> Mapping[str, float]:
        """The loss of the mean answer to an image's views."""
        features, targets = self.validation
        with torch.inference_mode():
            inputs = self._standardised(features.reshape(-1, features.shape[-1])).to(self.device)
            answers = network(inputs).reshape(len(targets), -1).mean(1).cpu()
        return {"validation_loss": LOSSES[self.params.loss](answers, torch.from_numpy(targets)).item()}

    def write(self, network: nn.Module, folder: Path, provenance: Mapping[str, object]) -> None:
        """The head for raw features, and the frozen encoder with a card of its own."""
        head = copy.deepcopy(cast(RegressionHead, network)).cpu()
        with torch.no_grad():
            weight = head.first.weight.double() / torch.from_numpy(self.scale)
            head.first.bias.copy_(head.first.bias.double() - weight @ torch.from_numpy(self.mean))
            head.first.weight.copy_(weight)
        save_head(folder, head)
        trunk, card = weights.load_trunk(self.start.encoder)
        _save_encoder(folder, trunk, card, self.run.name, {**self._own(), **provenance}, self.opinions)

    def fingerprint(self) -> Mapping[str, object]:
        """Features and opinions of both parts, parameters, seed, and the encoder."""
        arrays = (self.features, self.targets, *self.validation)
        data = [hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest() for array in arrays]
        return {**self._own(), "data": data, "start": self.start.fingerprint()}

    def _own(self) -> dict[str, object]:
        return {"method": "finetune", "mode": "lp", "params": self.params.model_dump(), "seed": self.seed}

    def _standardised(self, features: NDArray[np.float32]) -> Tensor:
        return torch.from_numpy(((features - self.mean) / self.scale).astype(np.float32))


@dataclass(frozen=True)
class Vectors:
    """A step's features and targets."""

    step: int
    names: Sequence[str]
    inputs: Tensor  # float32 [n, dim], standardised
    targets: Tensor  # float32 [n]


class FineTune(Method[LabelledBatch]):
    """FT, and the second half of LP-FT: encoder and head on random crops of ``images``, whose ``targets`` (float32 [n])
    lie in [1, 10]. ``validation`` has images and targets of the validation part (none: nothing is looked at).

    ``mode`` is ``ft`` or ``lp_ft``, for the card; ``opinions`` its entries (``weights.save_encoder``). ``cache`` and
    ``readers``: as for :class:`pipeline.training.methods.contrastive.Contrastive`.
    """

    columns = COLUMNS

    def __init__(
        self,
        run: Run,
        device: torch.device,
        *,
        start: Start,
        mode: str,
        images: Images,
        targets: NDArray[np.float32],
        validation: tuple[Images, NDArray[np.float32]],
        params: FinetuningParams,
        seed: int,
        opinions: Sequence[Mapping[str, object]] = (),
        cache: Mode = "host",
        readers: int = 1,
    ) -> None:
        self.run, self.device, self.start, self.mode = run, device, start, mode
        self.params, self.seed, self.opinions, self.validation = params, seed, opinions, validation
        self._cache, self._readers = cache, readers
        self._centres: list[NDArray[np.uint8]] | None = None
        try:
            self.labelled = LabelledBatches(
                images,
                targets,
                crop=params.crop,
                batch=params.batch,
                seed=seed,
                stage="finetune",
                vertical=params.vertical_flips,
            )
        except EpochError as error:
            raise ParamsError(f"finetuning.{error}") from None
        self.steps_in_epoch, self.steps = self.labelled.in_epoch, max(1, round(params.epochs * self.labelled.in_epoch))
        self.views = params.batch
        self.validate_every, self.plateau = _validation(params, self.steps_in_epoch, len(validation[1]))
        trunk, self.card = weights.load_trunk(start.encoder)
        head = _new_head(trunk.dim, targets, seed) if start.head is None else load_head(start.head)
        self.network: RegressionNetwork = load_network(start.encoder, head)[0].to(device)

    def prepare(self, ranks: int) -> str:
        """Open the images."""
        if self.params.batch % ranks:
            raise ParamsError(f"finetuning.batch: {self.params.batch} is not a multiple of the {ranks} ranks")
        return self.labelled.prepare(self._cache, self.device, readers=self._readers, ranks=ranks)

    def batches(self, first: int, last: int, rank: int, ranks: int) -> Iterator[LabelledBatch]:
        """Random crops, flipped or not, with their opinions."""
        return self.labelled.steps(first, last, rank, ranks)

    def loss(self, batch: LabelledBatch) -> Mapping[str, Tensor]:
        """Eq. (7), or paper 4's (8)."""
        predictions = self.network(render(batch, self.device))
        return {"loss": LOSSES[self.params.loss](predictions, batch.targets.to(self.device))}

    def optimiser(self) -> torch.optim.Adam:
        """Adam, encoder and head in a group each."""
        groups = [{"params": list(part.parameters())} for part in (self.network.trunk, self.network.head)]
        return torch.optim.Adam(groups, lr=0.0, weight_decay=self.params.weight_decay)

    def rates(self, step: int) -> Sequence[float]:
        """Constant but for the plateau: the encoder's and the head's."""
        return self.params.learning_rate, self.params.head_learning_rate

    def validate(self, network: nn.Module) -> Mapping[str, float]:
        """The loss on the centre crops of the validation images, by a copy: the network that trains is not touched."""
        images, targets = self.validation
        if self._centres is None:  # 150 kB an image of 224 x 224: a look costs no decoding
            self._centres = [crops_of(images.image(row), "centre", self.params.crop) for row in range(len(targets))]
        asked = channels_last(copy.deepcopy(cast(RegressionNetwork, network))).eval()
        answers = []
        with torch.inference_mode():
            for first in range(0, len(targets), BATCH):
                crops = torch.from_numpy(np.concatenate(self._centres[first : first + BATCH]))
                answers.append(asked(as_input(crops.to(self.device))).cpu())
        return {"validation_loss": LOSSES[self.params.loss](torch.cat(answers), torch.from_numpy(targets)).item()}

    def write(self, network: nn.Module, folder: Path, provenance: Mapping[str, object]) -> None:
        """The head, the trunk, and the card last: the trunk is an encoder as any other."""
        tuned = cast(RegressionNetwork, network)
        save_head(folder, tuned.head)
        card = {key: value for key, value in self.card.items() if key != "pool"}
        _save_encoder(folder, tuned.trunk, card, self.run.name, {**self._own(), **provenance}, self.opinions)

    def fingerprint(self) -> Mapping[str, object]:
        """Images and opinions of both parts, parameters, seed, and what is begun from."""
        images, targets = self.validation
        validated = [list(images.keys), [float(value) for value in targets]]
        return {
            **self._own(),
            "data": self.labelled.fingerprint(),
            "start": self.start.fingerprint(),
            "validation": validated,
        }

    def _own(self) -> dict[str, object]:
        return {"method": "finetune", "mode": self.mode, "params": self.params.model_dump(), "seed": self.seed}


def _new_head(inputs: int, targets: NDArray[np.float32], seed: int) -> RegressionHead:
    head = RegressionHead(inputs)
    head.initialise(weight_generator(seed), float(targets.mean(dtype=np.float64)))
    return head


def _validation(params: FinetuningParams, in_epoch: int, images: int) -> tuple[int, Plateau | None]:
    """Every how many steps the validation part is looked at, and what comes of it."""
    every = math.ceil(params.validate_every * in_epoch) if images else 0
    if not every or params.patience is None:
        return every, None
    return every, Plateau("validation_loss", params.patience, params.factor, params.stop_after)


def _save_encoder(
    folder: Path,
    trunk: ResNet,
    card: Mapping[str, Any],
    name: str,
    provenance: Mapping[str, object],
    opinions: Sequence[Mapping[str, object]],
) -> None:
    """With what the first encoder's card says of how images are shown to it."""
    shown = weights.preprocessing_of(card, folder) if card.get("preprocessing") else None
    weights.save_encoder(folder, trunk, name, provenance, shown, pool_of(card), opinions=opinions)
