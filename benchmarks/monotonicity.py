"""Regressors beside one another: do their scores fall as a photograph gets worse?

    python -m benchmarks.monotonicity FOLDER ... [--json] [--encoder released] [--regressor released/regressors/biq2021]
        [--side 384]

Of every photograph (its middle, at most SIDE pixels a side) the 25 types at 5 levels are made; a type falls where
Spearman's correlation of level and score is below -0.8, the mean over the photographs. 21 types rise in strength with
every level, and the sum is over those. Then the photographs' mean score whole, as a JPEG of quality 5, blurred (sigma
4) and with noise (sigma 30 levels), and the share of photographs whose score fell by a tenth of the range or more.
About 20 s a photograph for the released encoder.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import numpy as np

from pipeline import images
from pipeline.distortions import TYPES
from pipeline.engine import progress
from pipeline.features import load_extractor
from pipeline.scoring import Regressor, load_regressor
from pipeline.scoring.monotonicity import FALLS, RISING, class_features, falls
from pipeline.seeding import generator

RELEASED = Path(__file__).parents[1] / "released"
CLEAR = 0.1  # of a regressor's range
WORSE = ("whole", "jpeg_5", "blur_4", "noise_30")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path, nargs="+")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--encoder", type=Path, default=RELEASED)
    parser.add_argument("--regressor", type=Path, nargs="+", default=sorted((RELEASED / "regressors").iterdir()))
    parser.add_argument("--side", type=int, default=384)
    options = parser.parse_args()
    extractor, regressors = load_extractor(options.encoder), [load_regressor(path) for path in options.regressor]
    for regressor in regressors:
        regressor.require_weights(extractor.sha256, extractor.dim)
    pictures = [middle(images.read(path), options.side) for path in images.list_images(options.photographs).files]
    classes, worse = [], []
    for number, photo in enumerate(progress(pictures, total=len(pictures), describe="monotonicity")):
        classes.append(class_features(extractor, photo, number=number))
        worse.append(extractor.extract(worsened(photo)))
    figures = {regressor.name: judged(regressor, np.stack(classes), np.stack(worse)) for regressor in regressors}
    for name, figure in figures.items():
        low = [kind for kind, value in figure["spearman"].items() if value >= FALLS]
        print(f"{name}: {figure['falling']} of {len(RISING)} types fall; not below {FALLS}: {', '.join(low) or 'none'}")
        for kind in WORSE:
            clear = f", clearly below whole {figure['clear'][kind]:.0%}" if kind != "whole" else ""
            print(f"    {kind:<10} {figure['mean'][kind]:.3f}{clear}")
    if options.json:
        print(json.dumps({"photographs": len(pictures), **figures}))


def middle(image: np.ndarray, side: int) -> np.ndarray:
    """The middle of an image, at most ``side`` pixels a side."""
    top, left = (max(0, (length - side) // 2) for length in image.shape[:2])
    return np.ascontiguousarray(image[top : top + side, left : left + side])


def worsened(photo: np.ndarray) -> list[np.ndarray]:
    """The photograph, and its versions of :data:`WORSE`."""
    jpeg = cv2.imdecode(cv2.imencode(".jpg", photo[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 5])[1], cv2.IMREAD_COLOR)
    noise = generator(1, "monotonicity/noise").normal(0, 30, photo.shape)
    noisy = np.clip(photo + noise, 0, 255).round().astype(np.uint8)
    return [photo, np.ascontiguousarray(jpeg[..., ::-1]), cv2.GaussianBlur(photo, (0, 0), 4), noisy]


def judged(regressor: Regressor, classes: np.ndarray, worse: np.ndarray) -> dict[str, object]:
    """Figures of one regressor from features [photographs, 126, dim] and [photographs, 4, dim]."""
    (low, high), sign = regressor.card["range"], 1 if regressor.card["higher_is_better"] else -1
    scores, versions = (
        np.array([regressor.modes["nr"].predict(photo) for photo in features]) for features in (classes, worse)
    )
    spearman = falls(sign * scores)
    drop = sign * (versions[:, :1] - versions) / (high - low)
    return {
        "falling": int(sum(spearman[kind - 1] < FALLS for kind in RISING)),
        "spearman": {TYPES[kind - 1].name: round(float(spearman[kind - 1]), 3) for kind in RISING},
        "mean": {name: round(float(value), 3) for name, value in zip(WORSE, versions.mean(0), strict=True)},
        "clear": {name: round(float(value), 3) for name, value in zip(WORSE, (drop >= CLEAR).mean(0), strict=True)},
    }


if __name__ == "__main__":
    main()
