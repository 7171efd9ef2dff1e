"""Regression of opinions: what paper 3 (sections 3.2 and 4.2) and paper 4 (section 3.3) have in common.

An image x gives y_hat = h(f(x)) (paper 3, eq. 6). f is the trunk, averaged over all places; h is an MLP with one hidden
layer of 512. Opinions are carried to [1, 10], where 10 is best (section 4.1). The loss of a step of N images is

    mse   1/N sum (y - y_hat)^2      paper 3, eq. (7)
    l1    1/N sum |y - y_hat|        paper 4, eq. (8), divided by N so that a rate holds for every batch

A method that learns from opinions is made of these parts: :class:`OpinionScale` turns a database's opinions into
targets, :class:`LabelledBatches` gives the labelled part of every step, :func:`render` makes the network's input of it,
:class:`RegressionHead` answers, and a function of :data:`LOSSES` compares. ``finetune.py`` and ``joint.py`` use them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.artifacts import ArtifactError, write_bytes
from pipeline.databases import Manifest
from pipeline.encoder.network import ResNet, channels_last
from pipeline.encoder.preprocessing import Preprocessing
from pipeline.encoder.trunk import as_input
from pipeline.encoder.weights import load_trunk, preprocessing_of
from pipeline.engine import progress
from pipeline.seeding import generator
from pipeline.shards.decoded import Decoded, Images, Mode, keep_images
from pipeline.shards.epochs import Epochs, part
from pipeline.training.methods.classifier import five_crops
from pipeline.training.views import crop_corners, crops_in_rgb

WORST, BEST = 1.0, 10.0  # targets (paper 3, section 4.1)
HIDDEN = 512  # units of the head (section 3.2)
HEAD = "regression.safetensors"  # beside the encoder that it stands on
BATCH = 64  # crops that a network is asked about at once
Loss = Literal["mse", "l1"]
View = Literal["five_crops", "centre", "resize"]
VIEWS: Mapping[View, int] = {"five_crops": 5, "centre": 1, "resize": 1}
"""What is asked about an image, and how many crops that is."""
LOSSES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {"mse": F.mse_loss, "l1": F.l1_loss}
"""Of predictions and targets, float [n] each: a scalar, the mean over the images."""


@dataclass(frozen=True)
class OpinionScale:
    """The straight line between a database's own units and [1, 10], where 10 is best.

    ``low`` and ``high`` are the range that its manifest declares; an opinion outside of it lies outside of [1, 10].
    """

    low: float
    high: float
    higher_is_better: bool

    @classmethod
    def of(cls, manifest: Manifest) -> OpinionScale:
        """That of a database."""
        return cls(*manifest.range, manifest.higher_is_better)

    def targets(self, opinions: NDArray[np.floating]) -> NDArray[np.float32]:
        """float32 [n] in [1, 10] of ``opinions`` [n] in the database's units."""
        worst, best = self._ends
        return (WORST + (BEST - WORST) * (np.asarray(opinions, np.float64) - worst) / (best - worst)).astype(np.float32)

    def opinions(self, targets: NDArray[np.floating]) -> NDArray[np.float64]:
        """float64 [n] in the database's units of ``targets`` or predictions [n] in [1, 10]."""
        worst, best = self._ends
        return worst + (best - worst) * (np.asarray(targets, np.float64) - WORST) / (BEST - WORST)

    @property
    def _ends(self) -> tuple[float, float]:
        return (self.low, self.high) if self.higher_is_better else (self.high, self.low)


class RegressionHead(nn.Module):
    """h of eq. (6): linear to 512, ReLU, linear to 1. In float32 (float64 of such an input) whatever the autocast."""

    def __init__(self, inputs: int, hidden: int = HIDDEN) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(inputs, hidden), nn.Linear(hidden, 1)

    def forward(self, features: Tensor) -> Tensor:
        """float [n, inputs] -> predictions [n]."""
        with torch.autocast(features.device.type, enabled=False):
            wide = features if features.dtype == torch.float64 else features.float()
            predictions: Tensor = self.last(F.relu(self.first(wide)))[:, 0]
        return predictions

    def initialise(self, random: torch.Generator | None, level: float = (WORST + BEST) / 2) -> None:
        """Draw the weights (torch's own law for linear layers) from ``random``, a CPU generator. The answer begins near
        ``level``, such as the mean of the training opinions: at Adam's rate of 1e-5 the way there from 0 would take
        most of the paper's 50 epochs (ours; the paper does not say).
        """
        with torch.no_grad():
            for layer in (self.first, self.last):
                bound = layer.in_features**-0.5
                layer.weight.uniform_(-bound, bound, generator=random)
                layer.bias.uniform_(-bound, bound, generator=random)
            self.last.bias.fill_(level)


def last_map_mean(trunk: ResNet, crops: Tensor) -> Tensor:
    """f of eq. (6): float [n, 3, h, w] in [0, 1] -> the trunk's last map averaged over its places, [n, trunk.dim],
    float32 (float64 of such an input).
    """
    maps: Tensor = trunk(crops)
    return maps.mean(dim=(2, 3), dtype=torch.float64 if crops.dtype == torch.float64 else torch.float32)


@dataclass(frozen=True)
class LabelledBatch:
    """One rank's labelled part of a step; ``names`` are those of all ranks. :func:`render` makes crops of it.

    Where images have several crops, the first of each come before the second of each.
    """

    step: int
    names: Sequence[str]
    squares: Tensor  # uint8 [n, M, M, 3]
    flips: Tensor  # bool [n, 2]: upside down, left to right
    targets: Tensor  # of each image: float32 in [1, 10], or the int64 class of a distorted one


def render(batch: LabelledBatch, device: torch.device) -> Tensor:
    """The network's input, float32 [n, 3, M, M] in [0, 1] on ``device``, channels last."""
    squares, flips = (tensor.to(device, non_blocking=True) for tensor in (batch.squares, batch.flips))
    return crops_in_rgb(squares, flips)


def _together(squares: Sequence[Tensor]) -> Tensor:
    """Those of all views; of one, without a copy."""
    return torch.cat(list(squares)) if len(squares) > 1 else squares[0]


class LabelledBatches:
    """The labelled images of every step: ``views`` random crops of each, flipped or not (paper 3, section 4.2).

    ``images`` are those that may be trained on and no others (:class:`pipeline.databases.pixels.TableImages` of a
    split's rows); ``targets`` float32 [len(images)] in [1, 10], or int64 the classes of distorted images, which
    ``per_class`` balances (:class:`pipeline.shards.epochs.Epochs`). An epoch is a permutation of all images, of which
    ``batch`` do not always fit (the rest wait for another epoch); steps count on over the epochs, so that a method
    whose epochs are longer just goes on. An image smaller than ``crop`` is continued by its own mirror image. Choices
    come from (``seed``, ``stage``, step) and are drawn for the whole step before a rank takes its part.

    Raises :class:`pipeline.shards.epochs.EpochError`, whose message begins with ``batch``, where it is larger than the
    images are many.
    """

    def __init__(
        self,
        images: Images,
        targets: NDArray[Any],
        *,
        crop: int,
        batch: int,
        seed: int,
        stage: str,
        vertical: bool = True,
        views: int = 1,
        per_class: int = 0,
    ) -> None:
        if len(targets) != len(images) or not np.isfinite(targets).all():
            raise ValueError(f"targets: {len(targets)} for {len(images)} images; a finite number for each is needed")
        self.images, self.targets, self.views = images, targets, views
        self.crop, self.seed, self.stage, self.vertical = crop, seed, stage, vertical
        labels = targets if per_class else None
        self.order = Epochs(len(images), batch, seed, per_class, labels, spread=False, stage=f"{stage}/order")
        self._decoded: Decoded | None = None

    @property
    def in_epoch(self) -> int:
        """Steps in one pass over the images."""
        return self.order.in_epoch

    def prepare(
        self, cache: Mode, device: torch.device, *, readers: int = 1, ranks: int = 1, share: float = 0.5
    ) -> str:
        """Open the images, in at most ``share`` of the memory that is free; a line that says how they are kept."""
        self._decoded, kept = keep_images(self.images, cache, device, readers=readers, ranks=ranks, share=share)
        return kept

    def steps(self, first: int, last: int, rank: int = 0, ranks: int = 1) -> Iterator[LabelledBatch]:
        """This rank's part of the steps ``first`` .. ``last - 1``."""
        assert self._decoded is not None, "prepare() comes first"
        keys, shapes = self.images.keys, self.images.shapes
        for step, samples in self.order.steps(first, last):
            mine = part(len(samples), rank, ranks)
            random = generator(self.seed, f"{self.stage}/crops", step)
            draws = random.random((2, self.views, len(samples), 2))[:, :, mine]
            places, flips = draws[0], draws[1] < 0.5
            flips[..., 0] &= self.vertical
            cuts = [(crop_corners(shapes[samples[mine]], self.crop, place), self.crop) for place in places]
            squares = _together(self._decoded.cut(samples[mine], cuts))
            targets = torch.from_numpy(self.targets[samples[mine]])
            names = [keys[sample] for sample in samples]
            yield LabelledBatch(step, names, squares, torch.from_numpy(flips.reshape(-1, 2)), targets)

    def fingerprint(self) -> dict[str, object]:
        """What a run's weights depend on: the images in their order, their bytes, and the targets. (JSON-able.)"""
        pairs = "\n".join(
            f"{key} {target!r}" for key, target in zip(self.images.keys, self.targets.tolist(), strict=True)
        )
        return {
            "images": getattr(self.images, "fingerprint", None),
            "targets": hashlib.sha256(pairs.encode()).hexdigest(),
        }


class RegressionNetwork(nn.Module):
    """y_hat = h(f(x)), eq. (6): trunk, average over all places, head."""

    def __init__(self, trunk: ResNet, head: RegressionHead, preprocessing: Preprocessing = Preprocessing()) -> None:
        super().__init__()
        self.trunk, self.head, self.preprocessing = trunk, head, preprocessing

    def features(self, crops: Tensor) -> Tensor:
        """float [n, 3, h, w] in [0, 1] -> f(x), float32 [n, trunk.dim]."""
        return last_map_mean(self.trunk, self.preprocessing.shown(crops, "rgb"))

    def forward(self, crops: Tensor) -> Tensor:
        """float [n, 3, h, w] in [0, 1] -> predictions on the scale of 1 to 10, float32 [n]."""
        predictions: Tensor = self.head(self.features(crops))
        return predictions


def save_head(folder: Path, head: RegressionHead) -> None:
    """Write the head beside its encoder; equal weights give equal bytes."""
    from safetensors.torch import save as serialise

    write_bytes(folder / HEAD, serialise({key: value.detach().cpu() for key, value in head.state_dict().items()}))


def load_head(folder: Path) -> RegressionHead:
    """The head in ``folder``; :class:`ArtifactError` where there is none, or a damaged one."""
    from safetensors import SafetensorError
    from safetensors.torch import load as parse

    try:
        state = parse((folder / HEAD).read_bytes())
        hidden, inputs = state["first.weight"].shape
        head = RegressionHead(inputs, hidden)
        head.load_state_dict(state)
    except (OSError, SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise ArtifactError(f"{folder / HEAD}: not the head of a regression ({type(error).__name__})") from None
    return head


def load_network(folder: Path, head: RegressionHead | None = None) -> tuple[RegressionNetwork, dict[str, Any]]:
    """The network of a run's folder, or of any encoder's with ``head`` on it; and the card. Errors as
    :func:`load_head`, and :class:`ArtifactError` for weights that are not the card's.
    """
    trunk, card = load_trunk(folder)
    return RegressionNetwork(trunk, head or load_head(folder), preprocessing_of(card, folder)), card


def crops_of(image: NDArray[np.uint8], view: View, side: int) -> NDArray[np.uint8]:
    """What is asked about an image, uint8 [k, side, side, 3]: ``five_crops`` (corners and centre), ``centre`` (that
    alone), or ``resize`` (the whole image at side x side, whatever its aspect).

    The papers take random crops in training; at test time paper 3 names 224 x 224 (section 4.3: downscaled), paper 4
    five random crops. Ours are fixed, the same in every run.
    """
    if view == "resize":
        return np.asarray(cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)[None], np.uint8)
    crops = five_crops(image, side)
    return crops if view == "five_crops" else crops[4:]


def over_views(
    answer: Callable[[Tensor], Tensor],
    images: Images,
    views: Sequence[View],
    side: int,
    device: torch.device,
    describe: str,
) -> dict[View, NDArray[np.float32]]:
    """What ``answer`` says of every image's crops, float32 [n, k, ...] for each view; k is 5 or 1. An image is decoded
    once, for all views; about 64 crops go through the network at a time, in fp32.
    """
    counts = [VIEWS[view] for view in views]
    at_once = max(1, BATCH // sum(counts))
    answers: list[Tensor] = []
    waiting: list[NDArray[np.uint8]] = []
    for row in progress(range(len(images)), total=len(images), describe=describe):
        image = images.image(row)
        waiting += [crops_of(image, view, side) for view in views]
        if (row + 1) % at_once == 0 or row == len(images) - 1:
            with torch.inference_mode():
                answers.append(answer(as_input(torch.from_numpy(np.concatenate(waiting)).to(device))).float().cpu())
            waiting = []
    joined = torch.cat(answers).numpy()
    by_image = joined.reshape(len(images), sum(counts), *joined.shape[1:])
    return dict(zip(views, np.split(by_image, np.cumsum(counts)[:-1], axis=1), strict=True))


def predict(
    network: RegressionNetwork,
    images: Images,
    views: Sequence[View],
    side: int,
    device: torch.device,
    describe: str,
) -> dict[View, NDArray[np.float64]]:
    """For each view float64 [n]: the mean of the answers to an image's crops (paper 4, section 4.1), on the scale of 1
    to 10.
    """
    asked = channels_last(network.to(device)).eval()
    answers = over_views(asked, images, views, side, device, describe)
    return {view: np.asarray(each.mean(axis=1, dtype=np.float64)) for view, each in answers.items()}
