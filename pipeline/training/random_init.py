"""The encoder before training: random weights whose batch norms have the statistics of images; features then spread."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pipeline.encoder.network import ResNet, channels_last, initialise, weight_generator
from pipeline.encoder.preprocessing import half_scale
from pipeline.encoder.trunk import as_input, one_thread
from pipeline.engine import progress


def random_trunk(depth: int, width: int, seed: int) -> ResNet:
    """The trunk that training with ``seed`` starts from, its batch norms still at mean 0 and variance 1."""
    trunk = ResNet(depth, width)
    initialise(trunk, weight_generator(seed))
    return trunk


def set_running_statistics(trunk: ResNet, images: Sequence[NDArray[np.uint8]], *, batch: int = 16) -> None:
    """Set the batch norms' running statistics, in place, to those of ``images`` (uint8 [h, w, 3]) at full and half
    scale.

    Every batch weighs the same (the cumulative mean of the batches' statistics). Images of one size make batches of
    ``batch``; the order of ``images`` decides which, nothing is random. Runs in fp32 on the trunk's device,
    on a CPU with one thread (512 images of 256 x 256 and width 16: 6 s).
    """
    if not images:
        raise ValueError("running statistics: no images")
    norms = [module for module in trunk.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the cumulative mean
    device = trunk.conv1.weight.device
    channels_last(trunk).train()
    same: dict[tuple[int, ...], list[NDArray[np.uint8]]] = {}
    for image in images:
        same.setdefault(image.shape, []).append(image)
    batches = [group[start : start + batch] for group in same.values() for start in range(0, len(group), batch)]
    with torch.no_grad(), one_thread(device):
        for chosen in progress(batches, total=len(batches), describe="running statistics"):
            pixels = as_input(torch.from_numpy(np.stack(chosen)).to(device))
            for scale in (pixels, half_scale(pixels)):
                if len(scale) > 1 or max(scale.shape[2:]) > 32:  # one place on the last map has no variance
                    trunk(scale)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    trunk.eval()
