"""Whether an exported model computes what the project does: images of many kinds and sizes through both."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.scoring.export.model import Exportable, ExportError
from pipeline.seeding import generator

TOLERANCE = 1e-4  # of a number of a feature (a block has length 1), and of the range of opinions
SIZES = (  # height x width: small, odd, long, square, usual, large
    "64x64 64x65 65x64 67x101 96x96 97x131 113x257 127x127 128x300 150x99 191x193 224x224 255x256 256x256 257x255 "
    "301x64 333x500 384x512 480x641 512x512 719x405 768x1024 1081x719 1500x2000"
)
OTHER_PICTURES = ("grey", "flat", "black", "white")


@dataclass(frozen=True)
class Difference:
    """The largest differences over ``images`` images: ``features``, and ``scores`` relative to the range of opinions
    (0 without a regressor).
    """

    images: int
    features: float
    scores: float

    def __str__(self) -> str:
        scores = f", {self.scores:.1e} of the range of scores" if self.scores else ""
        return f"within {self.features:.1e} of the features{scores} over {self.images} images"


def compare(
    model: Exportable, run: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray | None]], name: str
) -> Difference:
    """``run`` (uint8 [n, h, w, 3] -> features, and scores or None) beside ours; :class:`ExportError` where it differs
    by more than :data:`TOLERANCE`.
    """
    fit = None if model.regressor is None else model.regressor.modes.get("nr")
    span = 1.0 if model.regressor is None else float(np.ptp(model.regressor.card["range"]))
    count, worst, worst_score = 0, 0.0, 0.0
    for pictures in check_pictures():
        ours = model.extractor.extract(list(pictures))
        features, scores = run(pictures)
        count += len(pictures)
        worst = max(worst, _largest(features - ours))
        if fit is not None and scores is not None:
            worst_score = max(worst_score, _largest(scores - fit.predict(ours)) / span)
        if max(worst, worst_score) > TOLERANCE:
            height, width = pictures.shape[1:3]
            raise ExportError(
                f"{name}: an image of {width} x {height} differs from ours by {worst:.1e} (features) and "
                f"{worst_score:.1e} (scores, of their range); {TOLERANCE} is allowed, so nothing was kept"
            )
    return Difference(count, worst, worst_score)


def check_pictures() -> Iterator[np.ndarray]:
    """uint8 [n, h, w, 3], n 1 or 2: drawn pictures of :data:`SIZES`, and some of one colour or none."""
    sizes = [tuple(map(int, size.split("x"))) for size in SIZES.split()]
    for number, (height, width) in enumerate(sizes):
        random = generator(0, "export/check", number)
        yield np.stack([drawn_picture(random, height, width) for _ in range(1 + (number % 5 == 0))])
    for number, kind in enumerate(OTHER_PICTURES):
        drawn = drawn_picture(generator(0, "export/check", len(sizes) + number), 120, 161)
        yield {
            "grey": np.repeat(drawn[..., :1], 3, 2),
            "flat": np.full_like(drawn, drawn[0, 0]),
            "black": np.zeros_like(drawn),
            "white": np.full_like(drawn, 255),
        }[kind][None]


def drawn_picture(random: np.random.Generator, height: int, width: int) -> np.ndarray:
    """uint8 H x W x 3: squares of colours under some noise: edges, flat parts and texture."""
    side = int(random.integers(4, 40))
    colours = random.integers(0, 256, (-(-height // side), -(-width // side), 3))
    squares = np.kron(colours, np.ones((side, side, 1)))[:height, :width]
    noisy = squares + random.normal(scale=random.uniform(0, 20), size=squares.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def _largest(difference: np.ndarray) -> float:
    return float("inf") if np.isnan(difference).any() else float(np.abs(difference).max())
