"""A classifier of the distortion types (paper 4, DGQA, section 3.2).

A network is shown a random crop of a distorted image and says which of the 25 types it was distorted by (eq. 7,
cross-entropy). The authors' code has a 26th output for pristine images, which is an option here. For other images, its
outputs show which types those resemble (``pipeline.domains``).

The paper starts from ImageNet weights. Training here starts from an encoder of this project or from random weights, so
the learning rate (with warm-up and a cosine) differs. Adam, weight decay, crops, flips, batch and epochs are those of
the paper in the ``paper`` profile.
"""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.artifacts import ArtifactError, sha256_file, write_bytes, write_json
from pipeline.encoder import weights
from pipeline.encoder.card import CARD, WEIGHTS, read_card, read_weights
from pipeline.encoder.network import ResNet, channels_last, initialise, weight_generator
from pipeline.encoder.trunk import as_input
from pipeline.labels import CLASSES, LEVELS, PRISTINE, TYPES
from pipeline.params import ClassificationParams, ParamsError
from pipeline.seeding import generator
from pipeline.shards.decoded import Decoded, LabelledImages, Mode, keep_images, square
from pipeline.shards.epochs import EpochError, Epochs, part
from pipeline.training.loop import Method, Run
from pipeline.training.optimisers import learning_rate
from pipeline.training.views import crop_corners

HEAD = "classifier.safetensors"  # beside the encoder that it stands on


class TypeNetwork(nn.Module):
    """Trunk, average over all places, and one linear layer to 25 outputs, or to 26 with the pristine class first."""

    def __init__(self, trunk: ResNet, outputs: int) -> None:
        super().__init__()
        self.trunk, self.head = trunk, nn.Linear(trunk.dim, outputs)

    def forward(self, crops: Tensor) -> Tensor:
        """float [n, 3, h, w] in [0, 1] -> logits float32 [n, outputs]."""
        pooled = self.trunk(crops).mean(dim=(2, 3), dtype=torch.float32)
        with torch.autocast(crops.device.type, enabled=False):
            logits: Tensor = self.head(pooled)
        return logits


@dataclass(frozen=True)
class Batch:
    """One rank's part of a step; ``names`` are those of all ranks."""

    step: int
    names: Sequence[str]
    squares: Tensor  # uint8 [n, M, M, 3]
    flips: Tensor  # bool [n]
    types: Tensor  # int64 [n], the output that is right


class Classifier(Method[Batch]):
    """The method of paper 4 on ``images``, which have the labels of a distorted set, from the weights of ``encoder`` (a
    folder; its depth and width count then, not those of ``params``) or from random ones (None).

    ``validation``, where given, is called every ``params.validate_every`` epochs and at the end with the logits of the
    network as it is; its ``type_accuracy`` goes into the history and decides nothing. ``cache`` and ``readers``: as for
    :class:`pipeline.training.methods.contrastive.Contrastive`.
    """

    columns = {
        "accuracy": "share of the step's crops whose type is right, in [0, 1]",
        "type_accuracy": "of held-out sources after this step, in [0, 1]; null where not looked at",
    }

    def __init__(
        self,
        run: Run,
        device: torch.device,
        *,
        images: LabelledImages,
        params: ClassificationParams,
        seed: int,
        encoder: Path | None = None,
        cache: Mode = "host",
        readers: int = 1,
        validation: Callable[[Callable[[NDArray[np.uint8]], NDArray[np.float32]]], float] | None = None,
    ) -> None:
        self.run, self.device = run, device
        self.images, self.params, self.seed, self.encoder = images, params, seed, encoder
        self._cache, self._readers, self._validation = cache, readers, validation
        self.rows = np.flatnonzero(((images.labels != PRISTINE) | params.pristine) & (images.labels < CLASSES))
        self.types = outputs_of(images.labels, params.pristine)
        self.shapes = images.shapes
        try:
            self.order = Epochs(len(self.rows), params.batch, seed, stage="classify/order")
        except EpochError as error:
            raise ParamsError(f"classification.{error}") from None
        self.steps_in_epoch = self.order.in_epoch
        self.steps = max(1, round(params.epochs * self.steps_in_epoch))
        self.warmup = min(round(params.warmup * self.steps_in_epoch), self.steps - 1)
        self.views = params.batch
        self.validate_every = math.ceil(params.validate_every * self.steps_in_epoch) if validation else 0
        self.opinions: Sequence[Mapping[str, object]] = ()  # that the encoder has seen
        if encoder is None:
            trunk = ResNet(params.depth, params.width)
            initialise(trunk, weight_generator(seed))
        else:
            trunk, card = weights.load_trunk(encoder)
            self.opinions = card.get("opinions", [])
        self.network: TypeNetwork = build(trunk, params.pristine).to(device)
        self._decoded: Decoded | None = None

    def prepare(self, ranks: int) -> str:
        """Open the images; half of the memory that is free is for them, of all ranks together."""
        if self.params.batch % ranks:
            raise ParamsError(f"classification.batch: {self.params.batch} is not a multiple of the {ranks} ranks")
        self._decoded, kept = keep_images(self.images, self._cache, self.device, readers=self._readers, ranks=ranks)
        return kept

    def batches(self, first: int, last: int, rank: int, ranks: int) -> Iterator[Batch]:
        """A random crop of each image of a step, flipped or not. The choices come from (seed, step)."""
        crop, keys = self.params.crop, self.images.keys
        assert self._decoded is not None, "prepare() comes first"
        for step, chosen in self.order.steps(first, last):
            samples = self.rows[chosen]
            mine = part(len(samples), rank, ranks)
            random = generator(self.seed, "classify/crops", step)
            places, flips = random.random((len(samples), 2)), random.random(len(samples)) < 0.5
            corners = crop_corners(self.shapes[samples[mine]], crop, places[mine])
            (squares,) = self._decoded.cut(samples[mine], [(corners, crop)])
            types = torch.from_numpy(self.types[samples[mine]])
            yield Batch(step, [keys[sample] for sample in samples], squares, torch.from_numpy(flips[mine]), types)

    def loss(self, batch: Batch) -> Mapping[str, Tensor]:
        """Eq. (7), as a cross-entropy over the types."""
        squares, flips, types = (
            t.to(self.device, non_blocking=True) for t in (batch.squares, batch.flips, batch.types)
        )
        crops = as_input(squares)
        crops = torch.where(flips.view(-1, 1, 1, 1), crops.flip(3), crops).contiguous(memory_format=torch.channels_last)
        logits = self.network(crops)
        return {"loss": F.cross_entropy(logits, types), "accuracy": (logits.argmax(1) == types).float().mean()}

    def optimiser(self) -> torch.optim.Adam:
        """Adam, its weight decay added to the gradient (section 4.1)."""
        return torch.optim.Adam(self.network.parameters(), lr=0.0, weight_decay=self.params.weight_decay)

    def rates(self, step: int) -> Sequence[float]:
        """Linear warm-up, then a cosine to 0."""
        return (learning_rate(step, total=self.steps, warmup=self.warmup, peak=self.params.learning_rate),)

    def validate(self, network: nn.Module) -> Mapping[str, float]:
        """The accuracy on held-out sources, by a copy: the weights that train are not touched."""
        assert self._validation is not None
        logits = TypeLogits(copy.deepcopy(cast(TypeNetwork, network)), self.params.crop, self.device)
        return {"type_accuracy": self._validation(logits.of_image)}

    def write(self, network: nn.Module, folder: Path, provenance: Mapping[str, object]) -> None:
        """The head, the trunk, and the card last: the trunk is an encoder as any other."""
        of_types = cast(TypeNetwork, network)
        write_bytes(folder / HEAD, _head(of_types))
        own = {
            "crop": self.params.crop,
            "data": getattr(self.images, "fingerprint", None),
            "images": len(self.rows),
            "method": "classifier",
            "params": self.params.model_dump(),
            "seed": self.seed,
        }
        card = {**own, **provenance}
        weights.save_encoder(folder, of_types.trunk, self.run.name, card, opinions=self.opinions)

    def fingerprint(self) -> Mapping[str, object]:
        """Keys, labels and bytes of the images, parameters, seed, and the weights that it begins from."""
        pairs = zip(self.images.keys, self.images.labels, strict=True)
        return {
            "data": getattr(self.images, "fingerprint", None),
            "images": hashlib.sha256("\n".join(f"{key} {label}" for key, label in pairs).encode()).hexdigest(),
            "method": "classifier",
            "params": self.params.model_dump(),
            "seed": self.seed,
        } | ({} if self.encoder is None else {"encoder": sha256_file(self.encoder / WEIGHTS)})


class TypeLogits:
    """The logits of a trained classifier for images, crop by crop. Images smaller than the crop are continued by their
    own mirror image.
    """

    def __init__(self, network: TypeNetwork, crop: int, device: torch.device) -> None:
        self.network, self.crop, self._device = channels_last(network.to(device)).eval(), crop, device

    @property
    def knows_pristine(self) -> bool:
        """Whether the first of its outputs is for pristine images."""
        return self.network.head.out_features > TYPES

    def of_squares(self, squares: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 [n, crop, crop, 3] -> float32 [n, outputs]."""
        with torch.inference_mode():
            logits: Tensor = self.network(as_input(torch.from_numpy(squares).to(self._device)))
        return np.asarray(logits.cpu().numpy())

    def of_image(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 [h, w, 3] -> float32 [5, outputs] of :func:`five_crops`."""
        return self.of_squares(five_crops(image, self.crop))


def load_classifier(folder: Path, device: torch.device) -> TypeLogits:
    """The classifier of a run. :class:`ArtifactError` for a folder that holds none, or one that is damaged."""
    from safetensors import SafetensorError
    from safetensors.torch import load as parse

    trunk, card = weights.load_trunk(folder)
    crop = card.get("provenance", {}).get("crop")
    if card.get("provenance", {}).get("method") != "classifier" or not isinstance(crop, int):
        raise ArtifactError(f"{folder}: an encoder, and no classifier of the types (see `classify` in params.yaml)")
    try:
        head = parse((folder / HEAD).read_bytes())
        network = TypeNetwork(trunk, len(head["bias"]))
        network.head.load_state_dict({name: value.float() for name, value in head.items()})
    except (OSError, SafetensorError, KeyError, RuntimeError) as error:
        raise ArtifactError(f"{folder / HEAD}: not the head of this classifier ({type(error).__name__})") from None
    return TypeLogits(network, crop, device)


def save_calibrated(classifier: Path, folder: Path, network: TypeNetwork, calibration: Mapping[str, object]) -> None:
    """Write the classifier of the folder ``classifier`` under ``folder`` with the head of ``network``, and what it was
    calibrated on into its card, which is written last.
    """
    card = read_card(classifier)
    trunk = read_weights(classifier, card)
    card = card | {"name": folder.name, "provenance": card["provenance"] | {"calibration": dict(calibration)}}
    (folder / CARD).unlink(missing_ok=True)
    write_bytes(folder / HEAD, _head(network))
    write_bytes(folder / WEIGHTS, trunk)
    write_json(folder / CARD, card)


def _head(network: TypeNetwork) -> bytes:
    from safetensors.torch import save as serialise

    return serialise({name: value.detach().cpu().contiguous() for name, value in network.head.state_dict().items()})


def build(trunk: ResNet, pristine: bool) -> TypeNetwork:
    """A head on ``trunk`` that begins at zero, so that the first loss is the logarithm of the number of outputs."""
    network = TypeNetwork(trunk, TYPES + pristine)
    nn.init.zeros_(network.head.weight)
    nn.init.zeros_(network.head.bias)
    return network


def outputs_of(labels: NDArray[np.integer], pristine: bool) -> NDArray[np.int64]:
    """The correct output for each label 0..125: type - 1, or with ``pristine`` the type, and 0 for label 0.

    Without ``pristine`` label 0 gives -1 and must not be trained on.
    """
    types = np.where(labels == PRISTINE, 0, (np.asarray(labels, np.int64) - 1) // LEVELS + 1)
    return types if pristine else types - 1


def five_crops(image: NDArray[np.uint8], crop: int) -> NDArray[np.uint8]:
    """uint8 [5, crop, crop, 3]: corners and centre of an image, the same in every run (the paper's are random)."""
    places = np.array([(0, 0), (0, 1 - 1e-9), (1 - 1e-9, 0), (1 - 1e-9, 1 - 1e-9), (0.5, 0.5)])
    corners = crop_corners(np.tile(image.shape[:2], (5, 1)), crop, places)
    return np.stack([square(image, int(top), int(left), crop) for top, left in corners])
