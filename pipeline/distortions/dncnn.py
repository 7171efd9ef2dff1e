"""A user's DnCNN for type 15, from a safetensors file, in place of the stand-in."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.distortions.prepared import DistortionError
from pipeline.distortions.types import Floats

TILE = 256
"""Side of the squares that are denoised at a time: 64 feature maps of one are 17 MB, whatever the image's size."""


def _natural(name: str) -> list[Any]:
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


class DnCNN:
    """Residual denoiser of Zhang et al. ("Beyond a Gaussian Denoiser", 2017) for one grey plane in [0, 1].

    The file holds 3 x 3 convolutions (``*.weight`` [out, in, 3, 3], ``*.bias``) in the order of their names, each but
    the last followed by ReLU, with batch normalisations (``weight``, ``bias``, ``running_mean``, ``running_var``)
    between them if there are any. The first takes one channel, the last gives one: the noise. ``name`` is written to
    the samples' records. ``DistortionError`` if the file is not such a network.
    """

    def __init__(self, path: Path) -> None:
        from safetensors.numpy import load

        data = Path(path).read_bytes()
        self.name = f"dncnn:{hashlib.sha256(data).hexdigest()[:16]}"
        groups: dict[str, dict[str, np.ndarray]] = {}
        for key, value in load(data).items():
            prefix, _, part = key.rpartition(".")
            if part != "num_batches_tracked":
                groups.setdefault(prefix, {})[part] = np.asarray(value, np.float32)
        self.layers = self._fold([groups[prefix] for prefix in sorted(groups, key=_natural)], str(path))

    @staticmethod
    def _fold(groups: list[dict[str, np.ndarray]], path: str) -> list[tuple[np.ndarray, np.ndarray]]:
        """(weight, bias) of each convolution, batch normalisations (epsilon 1e-5) folded into the one before."""
        layers: list[tuple[np.ndarray, np.ndarray]] = []
        for group in groups:
            weight = group.get("weight")
            if weight is not None and weight.ndim == 4 and weight.shape[2:] == (3, 3):
                layers.append((weight, group.get("bias", np.zeros(len(weight), np.float32))))
            elif weight is not None and "running_var" in group and layers:
                factor = weight / np.sqrt(group["running_var"] + np.float32(1e-5))
                before, bias = layers[-1]
                layers[-1] = (
                    before * factor[:, None, None, None],
                    (bias - group["running_mean"]) * factor + group["bias"],
                )
            else:
                shape = None if weight is None else weight.shape
                raise DistortionError(f"{path}: not a DnCNN: a layer with {sorted(group)} of shape {shape}")
        channels = [1] + [len(weight) for weight, _ in layers]
        if not layers or channels[-1] != 1 or any(w.shape[1] != c for (w, _), c in zip(layers, channels, strict=False)):
            raise DistortionError(f"{path}: not a DnCNN for one grey plane: channels {channels}")
        return layers

    def __call__(self, plane: Floats) -> Floats:
        """The denoised plane (H, W) float32, made in tiles that overlap by the network's reach."""
        import torch

        layers = [(torch.from_numpy(weight), torch.from_numpy(bias)) for weight, bias in self.layers]
        reach, out = len(layers), np.empty(plane.shape, np.float32)
        height, width = plane.shape
        with torch.inference_mode():
            for y in range(0, height, TILE):
                for x in range(0, width, TILE):
                    top, left = max(y - reach, 0), max(x - reach, 0)
                    tile = np.ascontiguousarray(plane[top : y + TILE + reach, left : x + TILE + reach], np.float32)
                    noise = torch.from_numpy(tile)[None, None]
                    for number, (weight, bias) in enumerate(layers):
                        noise = torch.nn.functional.conv2d(noise, weight, bias, padding=1)
                        noise = noise if number == reach - 1 else torch.relu(noise)
                    clean = (tile - noise[0, 0].numpy())[y - top :, x - left :]
                    target = out[y : y + TILE, x : x + TILE]
                    target[:] = clean[: target.shape[0], : target.shape[1]]
        return out
