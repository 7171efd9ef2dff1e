"""Contrastive training on synthetic distortions (paper 1; paper 2 without authentic images is the same).

Images of one class of distortion and level are to lie near each other, whatever they show, and images of other
classes far away (paper 1, section 3.2). Each image gives two views, a crop at full and one at half scale, each in a
drawn colour space (3.3). The encoder's last map, averaged to 2 x 2 patches, goes through a projector (eq. 1), and the
supervised contrastive loss (eq. 2) compares all patches of all views. The projector is thrown away afterwards.

``training.authentic`` adds paper 2's authentic images, each a class of its own (section III-B, eq. 3 and 4).
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.artifacts import sha256_file
from pipeline.encoder import Extractor, weights
from pipeline.encoder.card import WEIGHTS
from pipeline.encoder.network import weight_generator
from pipeline.encoder.pooling import pool_of
from pipeline.encoder.trunk import TrunkExtractor
from pipeline.labels import CLASSES
from pipeline.params import ParamsError, TrainingParams
from pipeline.seeding import generator
from pipeline.shards.decoded import MODES, Decoded, LabelledImages, Mode, cut_images, keep_images
from pipeline.shards.epochs import EpochError, Epochs, part
from pipeline.shards.streamed import StreamedImages
from pipeline.training import views
from pipeline.training.authentic import Halves
from pipeline.training.labels import AUTHENTIC, batch_labels, class_labels, positive_weights
from pipeline.training.loop import Method, Run
from pipeline.training.loss import contrastive_loss
from pipeline.training.optimisers import learning_rate, sgd
from pipeline.training.projector import PATCHES, ContrastiveNetwork, build


@dataclass(frozen=True)
class Batch:
    """One rank's part of a step: what :func:`views.render` takes, and the labels; ``names`` are those of all ranks."""

    step: int
    names: Sequence[str]
    full: Tensor  # uint8 [n, M, M, 3]
    half: Tensor  # uint8 [n, 2 M, 2 M, 3], to be halved
    draws: views.Draws
    labels: Tensor  # int64 [n]


class Contrastive(Method[Batch]):
    """The method of paper 1 on ``images`` with the knobs of ``params``, from the weights of ``encoder`` (a folder; its
    depth, width and readout count then, not those of ``params``) or from random ones (None).

    ``cache`` says where decoded images stay (device, host, none), ``readers`` how many threads decode. ``probe``, where
    given, is called every ``params.probe_every`` epochs and at the end with an extractor of the weights as they are;
    its ``type_accuracy`` goes into the history and decides nothing.
    """

    columns = {
        "dropped": "anchors without a positive, left out of the mean",
        "type_accuracy": "of the linear probe on held-out sources after this step, in [0, 1]; null where not run",
    }

    def __init__(
        self,
        run: Run,
        device: torch.device,
        *,
        images: LabelledImages | StreamedImages,
        params: TrainingParams,
        seed: int,
        encoder: Path | None = None,
        cache: Mode = "host",
        readers: int = 1,
        probe: Callable[[Extractor], Mapping[str, float]] | None = None,
    ) -> None:
        if cache not in MODES:
            raise ValueError(f"run.cache: {cache!r} is not one of {', '.join(MODES)}")
        self.run, self.device = run, device
        trunk, card = (None, {}) if encoder is None else weights.load_trunk(encoder)
        if trunk is not None:
            params = params.model_copy(update={"depth": trunk.depth, "width": trunk.width})
        self.opinions: Sequence[Mapping[str, object]] = card.get("opinions", [])  # that the encoder has seen
        self.pool = pool_of(card)
        self.images, self.params, self.seed, self.encoder = images, params, seed, encoder
        self._cache, self._readers, self._probe = cache, readers, probe
        self.order = images if isinstance(images, StreamedImages) else batch_order(self._labels(images), params, seed)
        self.steps_in_epoch = self.order.in_epoch
        self.steps = max(1, round(params.epochs * self.steps_in_epoch))
        self.warmup = min(round(params.warmup * self.steps_in_epoch), self.steps - 1)
        self.views = 2 * params.batch
        self.validate_every = params.probe_every * self.steps_in_epoch if probe else 0
        self.network: ContrastiveNetwork = build(params, weight_generator(seed), trunk).to(device)
        mixed = not isinstance(images, StreamedImages) and AUTHENTIC in images.labels
        self.set_classes = set_classes(images)
        self.classes = self.set_classes + (params.batch if mixed else 0)
        weights_of_positives = positive_weights(params.neighbour_weight, self.classes)
        self.positive_weights = None if weights_of_positives is None else weights_of_positives.to(device)
        self._decoded: Decoded | None = None

    def prepare(self, ranks: int) -> str:
        """Open the images; half of the memory that is free is for them, of all ranks together."""
        if self.params.batch % ranks:
            raise ParamsError(f"training.batch: {self.params.batch} is not a multiple of the {ranks} ranks")
        if isinstance(self.images, StreamedImages):
            return f"{len(self.images):,} images from {self.images.url}, {self.images.room(ranks):,} in the buffer"
        self._decoded, kept = keep_images(self.images, self._cache, self.device, readers=self._readers, ranks=ranks)
        return kept

    def batches(self, first: int, last: int, rank: int, ranks: int) -> Iterator[Batch]:
        """Two squares of each image of a step, and the choices that make views of them. The choices of the whole step
        come from (seed, step).
        """
        if isinstance(self.images, StreamedImages):
            yield from self._streamed(self.images, first, last, rank, ranks)
            return
        assert self._decoded is not None and not isinstance(self.order, StreamedImages), "prepare() comes first"
        keys, shapes, classes = self.images.keys, self.images.shapes, self._labels(self.images)
        for step, samples in self.order.steps(first, last):
            mine = part(len(samples), rank, ranks)
            draws, cuts = self._draw(step, mine, shapes[samples[mine]])
            full, half = self._decoded.cut(samples[mine], cuts)
            labels = torch.from_numpy(batch_labels(classes[samples], self.set_classes)[mine])
            yield Batch(step, [keys[sample] for sample in samples], full, half, draws, labels)

    def _streamed(self, images: StreamedImages, first: int, last: int, rank: int, ranks: int) -> Iterator[Batch]:
        for step, samples in images.steps(first, last, rank, ranks):
            pictures = [sample.image() for sample in samples]
            shapes = np.array([picture.shape[:2] for picture in pictures])
            draws, cuts = self._draw(step, part(self.params.batch, rank, ranks), shapes)
            full, half = cut_images(pictures.__getitem__, len(pictures), cuts)
            given = np.array([sample.label for sample in samples], np.int16)
            labels = torch.from_numpy(class_labels(given, self.params.merge_identical_classes))
            yield Batch(step, [sample.key for sample in samples], full, half, draws, labels)

    def _draw(
        self, step: int, mine: slice, shapes: NDArray[np.integer]
    ) -> tuple[views.Draws, list[tuple[NDArray[np.int64], int]]]:
        """The choices of a rank's images, and where their squares lie."""
        random, crop = generator(self.seed, "train/views", step), self.params.crop
        draws = views.draw(random, self.params.batch, self.params.colour_spaces).part(mine)
        full, half = views.corners(shapes, crop, draws)
        return draws, [(full, crop), (half, 2 * crop)]

    def _labels(self, images: LabelledImages) -> NDArray[np.int64]:
        return class_labels(images.labels, self.params.merge_identical_classes)

    def loss(self, batch: Batch) -> Mapping[str, Tensor]:
        """Eq. (2) over the 4 patches of the 2 views of each image."""
        full, half, labels = (t.to(self.device, non_blocking=True) for t in (batch.full, batch.half, batch.labels))
        crops = views.render(full, half, batch.draws)
        embeddings = self.network(crops)  # z = g(h(x)), eq. (1): all patches of a crop, then those of the next
        loss = contrastive_loss(
            embeddings,
            labels.repeat(2).repeat_interleave(PATCHES),
            temperature=self.params.temperature,
            classes=self.classes,
            positive_weights=self.positive_weights,
        )
        return {"loss": loss.value, "dropped": loss.dropped}

    def optimiser(self) -> torch.optim.SGD:
        """SGD with momentum; the batch norms do not decay (section 4.1)."""
        params = self.params
        return sgd(
            self.network,
            momentum=params.momentum,
            weight_decay=params.weight_decay,
            decay_norms=params.decay_norms,
        )

    def rates(self, step: int) -> Sequence[float]:
        """Linear warm-up, then a cosine to 0, for both groups alike."""
        rate = learning_rate(step, total=self.steps, warmup=self.warmup, peak=self.params.learning_rate)
        return rate, rate

    def validate(self, network: nn.Module) -> Mapping[str, float]:
        """The probe's type accuracy, on a copy: the weights that train are not touched."""
        assert self._probe is not None
        trunk = copy.deepcopy(cast(ContrastiveNetwork, network).trunk)
        name, device, precision = self.run.name, str(self.device), self.run.precision
        extractor = TrunkExtractor(trunk, name=name, sha256="", device=device, precision=precision, pool=self.pool)
        return {"type_accuracy": self._probe(extractor)["type_accuracy"]}

    def write(self, network: nn.Module, folder: Path, provenance: Mapping[str, object]) -> None:
        """The trunk and its card; the projector is thrown away."""
        own = {
            "data": getattr(self.images, "fingerprint", None),
            "images": len(self.images),
            "params": self.params.model_dump(),
            "seed": self.seed,
        }
        trunk = cast(ContrastiveNetwork, network).trunk
        weights.save_encoder(
            folder, trunk, self.run.name, {**own, **provenance}, pool=self.pool, opinions=self.opinions
        )

    def fingerprint(self) -> Mapping[str, object]:
        """Keys, labels and bytes of the images, parameters, seed, and the weights that it begins from."""
        if isinstance(self.images, StreamedImages):
            images = self.images.order_fingerprint
        else:
            pairs = zip(self.images.keys, self.images.labels, strict=True)
            images = hashlib.sha256("\n".join(f"{key} {label}" for key, label in pairs).encode()).hexdigest()
        return {
            "data": getattr(self.images, "fingerprint", None),
            "images": images,
            "params": self.params.model_dump(),
            "seed": self.seed,
        } | ({} if self.encoder is None else {"encoder": sha256_file(self.encoder / WEIGHTS)})


def set_classes(images: LabelledImages | StreamedImages) -> int:
    """How many classes a distorted set has: 126, and one for each recipe of its composites."""
    if isinstance(images, StreamedImages):
        return int(images.stream.manifest.get("classes", CLASSES))
    return max(CLASSES, int(images.labels.max()) + 1)


def batch_order(labels: NDArray[np.int64], params: TrainingParams, seed: int) -> Epochs | Halves:
    """Which images each step sees: a permutation of all in each epoch (the paper's), or with ``class_balanced`` one of
    groups of a class, so that every anchor has positives with other content. With authentic images beside distorted
    ones, half of each step is of each kind.
    """
    authentic = labels == AUTHENTIC
    per_class = params.images_per_class if params.class_balanced and not authentic.all() else 0
    mixed = authentic.any() and not authentic.all()
    size = params.batch // 2 if mixed else params.batch
    if mixed and params.batch % 2:
        raise ParamsError(f"training.batch: {params.batch} is odd, and half of it is authentic (training.authentic)")
    if per_class and size % per_class:
        raise ParamsError(f"training.images_per_class: {per_class} does not divide the {size} images of a step")

    def order(of: NDArray[np.int64], per_class: int, stage: str) -> Epochs:
        try:
            return Epochs(len(of), size, seed, per_class, of, spread=False, stage=stage)
        except EpochError as error:
            raise ParamsError(f"training.{error} ({stage})") from None

    if mixed:
        distorted = order(labels[~authentic], per_class, "train/order")
        return Halves(labels, distorted, order(labels[authentic], 0, "train/authentic"))
    return order(labels, per_class, "train/order")
