"""Features of images at native resolution: what a :class:`pipeline.encoder.pooling.Pool` reads out of a trunk."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.encoder import tiles
from pipeline.encoder.network import ResNet, channels_last, folded
from pipeline.encoder.pooling import Pool
from pipeline.encoder.preprocessing import Preprocessing

BATCH_PIXELS = {"cpu": 2**18, "cuda": 2**25}  # on a CPU 4 images of 256 x 256: 1.35 times the speed of 16


class TrunkExtractor:
    """The :class:`pipeline.encoder.Extractor` of a trunk.

    A feature is float32 [dim], the blocks of ``pool`` one after another, each of length 1.

    Images of equal size share a batch; an image's feature does not depend on its batch beyond rounding (1e-5 at most).
    ``precision`` is ``fp32`` or ``bf16`` (autocast: features move by about 1e-3). ``preprocessing`` is how
    images are shown to the trunk; the default is ours.
    """

    def __init__(
        self,
        trunk: ResNet,
        *,
        name: str,
        sha256: str,
        device: str = "cpu",
        precision: str = "fp32",
        preprocessing: Preprocessing = Preprocessing(),
        pool: Pool = Pool(),
    ) -> None:
        if precision not in ("fp32", "bf16"):
            raise ValueError(f"precision: {precision!r} is not one of fp32, bf16")
        self.name, self.sha256, self.dim = name, sha256, pool.dim(trunk)
        self.preprocessing, self.pool = preprocessing, pool
        self._device, self._precision = torch.device(device), precision
        trunk = trunk if pool == Pool() else folded(trunk)  # the papers' feature keeps its bytes
        self.trunk = channels_last(trunk.to(self._device)).eval()

    def extract(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Features of ``images`` (uint8 [h, w, 3], any sizes) in their order, float32 [n, 2 D]."""
        features = np.empty((len(images), self.dim), np.float32)
        with one_thread(self._device):
            for rows in _batches([image.shape for image in images], BATCH_PIXELS[self._device.type]):
                if tiles.needed(*images[rows[0]].shape[:2]) and tiles.allowed(self.preprocessing, self.pool):
                    features[rows] = np.stack([self._in_tiles(images[row]) for row in rows])
                else:
                    features[rows] = self._batch(np.stack([images[row] for row in rows]))
        return features

    def _in_tiles(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        bfloat16 = self._precision == "bf16"
        with torch.inference_mode():
            parts = (self.trunk, self.preprocessing, self.pool)
            return tiles.features(*parts, image, self._device, bfloat16=bfloat16)[0].numpy()

    def _batch(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.inference_mode(), torch.autocast(self._device.type, enabled=False):
            shown, half = as_input(torch.from_numpy(images).to(self._device)), self._precision == "bf16"
            return self.pool.features(self.trunk, self.preprocessing, shown, bfloat16=half).cpu().numpy()


def as_input(images: Tensor) -> Tensor:
    """uint8 [n, h, w, 3] -> float32 [n, 3, h, w] in [0, 1], channels last in memory. No mean or deviation is taken
    off.
    """
    return images.permute(0, 3, 1, 2).float() / 255


@contextlib.contextmanager
def one_thread(device: torch.device) -> Iterator[None]:
    """On a CPU, one thread: images are split over processes instead.

    Two threads wait for each other in every operation, which beside a busy neighbour costs nine tenths of the speed,
    and the last digits of a feature depend on the number of threads.
    """
    threads = torch.get_num_threads()
    if device.type == "cpu":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _batches(shapes: Iterable[tuple[int, ...]], pixels: int) -> Iterator[list[int]]:
    """Rows of equal shape, in batches of at most ``pixels`` pixels (at least one image)."""
    same: dict[tuple[int, ...], list[int]] = {}
    for row, shape in enumerate(shapes):
        same.setdefault(shape, []).append(row)
    for shape, rows in same.items():
        step = max(1, pixels // (shape[0] * shape[1]))
        for start in range(0, len(rows), step):
            yield rows[start : start + step]
