"""Bias-corrected temperature scaling of a classifier of the types (Alexandari, Kundaje and Shrikumar, ICML 2020).

A classifier that was trained on drawn images leans towards a few types on photographs, because images whose distortion
it cannot see fall to these. One temperature T and a bias for each output, softmax(z / T + b), are fitted by
cross-entropy on photographs that are distorted in all classes. These are 26 numbers, so a few photographs are enough,
and they go into the linear head, so the classifier's files keep their format.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax

from pipeline import Refusal, distortions, images
from pipeline.artifacts import sha256_bytes
from pipeline.engine import last_seen
from pipeline.seeding import generator
from pipeline.training.methods.classifier import TypeLogits, TypeNetwork, outputs_of

SHORT_SIDE = 512  # of a photograph at most, pixels; a larger one is reduced to it
SLOPES = (1e-3, None)  # 1 / T is looked for between these


class ScalingError(Refusal, ValueError):
    """Logits that no temperature and biases can be fitted to; the message says why."""


@dataclass(frozen=True)
class Scaling:
    """``temperature`` > 0 and ``bias`` float64 [outputs], whose sum is 0; ``before`` and ``after``: the mean
    cross-entropy of what it was fitted to, in nats, as the logits were and scaled.
    """

    temperature: float
    bias: NDArray[np.float64]
    before: float
    after: float

    def __call__(self, logits: NDArray[np.floating]) -> NDArray[np.float64]:
        """Scaled logits, float64 [..., outputs]."""
        return np.asarray(logits, np.float64) / self.temperature + self.bias

    def fold(self, network: TypeNetwork) -> None:
        """Scale the linear head of ``network`` in place, so that its logits are the scaled ones."""
        head = network.head
        weight, bias = (value.detach().cpu().double() for value in (head.weight, head.bias))
        with torch.no_grad():
            head.weight.copy_(weight / self.temperature)
            head.bias.copy_(bias / self.temperature + torch.from_numpy(self.bias))


def fit_scaling(logits: NDArray[np.floating], outputs: NDArray[np.integer]) -> Scaling:
    """The temperature and the biases of the least cross-entropy: ``logits`` [n, k], ``outputs`` [n], the right one of
    0..k-1. The problem is convex, and computed in float64.

    :class:`ScalingError` for logits that are not finite, an output that is right for none of them (its bias would be
    minus infinity), and logits for which no temperature is the best one: they name every output rightly, or they are
    lower where an output is right.
    """
    values, right = np.asarray(logits, np.float64), np.asarray(outputs, np.int64)
    if values.ndim != 2 or right.shape != values.shape[:1] or not np.isfinite(values).all():
        raise ScalingError(f"scaling: expected finite logits [n, k] and n outputs, got {values.shape}, {right.shape}")
    n, k = values.shape
    if right.size and not 0 <= right.min() <= right.max() < k:
        raise ScalingError(f"scaling: outputs are 0..{k - 1}, got {right.min()}..{right.max()}")
    if missing := sorted({*range(k)} - {*right.tolist()}):
        raise ScalingError(f"scaling: no image of the outputs {', '.join(map(str, missing))}")
    shown = np.eye(k)[right]

    def loss(point: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """Cross-entropy at (1 / T, biases), and its gradient."""
        logarithms = log_softmax(point[0] * values + point[1:], axis=1)
        gradient = (np.exp(logarithms) - shown) / n
        return -float(logarithms[shown > 0].mean()), np.r_[np.sum(gradient * values), gradient.sum(axis=0)]

    start = np.r_[1.0, np.zeros(k)]
    knobs = {"maxiter": 10000, "maxfun": 100000, "ftol": 1e-15, "gtol": 1e-9}
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[SLOPES] + [(None, None)] * k, options=knobs)
    if found.x[0] <= SLOPES[0]:
        raise ScalingError("scaling: no temperature is the best one: the logits do not tell the outputs apart")
    scaled = found.x[0] * values + found.x[1:]
    if (scaled[shown > 0] > np.where(shown > 0, -np.inf, scaled).max(axis=1)).all():  # a lower one is better still
        raise ScalingError("scaling: no temperature is the best one: every output is named rightly")
    bias = found.x[1:] - found.x[1:].mean()
    return Scaling(1 / float(found.x[0]), bias, loss(start)[0], float(found.fun))


@dataclass(frozen=True)
class Photograph:
    """A file for one worker, and the number and seed that its random distortions come from."""

    classifier: TypeLogits
    path: Path
    index: int
    seed: int

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True)
class Shown:
    """What a classifier says of a photograph in its classes: ``logits`` float32 [classes, crops, outputs], ``outputs``
    int64 [classes], the right ones; ``sha256`` of the photograph's pixels.
    """

    logits: NDArray[np.float32]
    outputs: NDArray[np.int64]
    sha256: str


def show(photograph: Photograph) -> Shown | str:
    """Distort a photograph in the 125 classes (126 for a classifier that knows pristine images) and ask the classifier;
    why it cannot be read or distorted, where it cannot.
    """
    last_seen.note(f"at {photograph.path}")
    try:
        image = images.read(photograph.path)
    except (images.ImageError, OSError) as error:
        return str(error).removeprefix(f"{photograph.path}: ")
    if min(image.shape[:2]) > SHORT_SIDE:
        image = images.to_short_side(image, SHORT_SIDE)
    random = generator(photograph.seed, "temperature_scaling", photograph.index)
    logits, labels = [], []
    try:
        for sample in distortions.distort_all(image, random):
            if sample.label or photograph.classifier.knows_pristine:
                logits.append(photograph.classifier.of_image(sample.image))
                labels.append(sample.label)
    except distortions.DistortionError as error:  # a side below 64 or above 8,192 pixels
        return str(error)
    outputs = outputs_of(np.array(labels), photograph.classifier.knows_pristine)
    return Shown(np.stack(logits), outputs, sha256_bytes(image.tobytes()))
