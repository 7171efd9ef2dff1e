"""CPU time of the 125 classes of one 512 x 512 photograph on one thread, per type; five types beside plain stock calls.

    python -m benchmarks.distortions [--repeat 7] [--json]

One run is one `distort_all` of scikit-image's astronaut with fresh draws; the times are CPU times (time.process_time)
between one sample and the next, medians over the runs. What levels share (Lab, edges, palettes, the JPEG 2000 file) is
counted where it is first used, so a type's five levels hold it once. The last line with --json: mean_ms over the
120 classes without type 15, max_type_ms the dearest type's five levels over 5, denoise_ms the same for type 15, all in
milliseconds. The stock calls hold both stretches and the rounding; their types 8 and 19 are not KADIS's.
"""

from __future__ import annotations

import argparse
import io
import json
import time
import warnings
from collections.abc import Callable

import cv2
import numpy as np

from pipeline.distortions import TYPES, compile_kernels, distort_all
from pipeline.labels import CLASSES, label

Unit = np.ndarray


def photograph() -> np.ndarray:
    from skimage import data

    return np.ascontiguousarray(data.astronaut())


def stretched(values: np.ndarray) -> np.ndarray:
    return (values - values.min()) / (values.max() - values.min())


def plain_blur(a: Unit, sigma: float, _: np.random.Generator) -> Unit:
    size = 2 * int(np.ceil(2 * sigma)) + 1
    return cv2.GaussianBlur(a, (size, size), sigma, borderType=cv2.BORDER_REPLICATE)


def plain_lab_saturation(a: Unit, factor: float, _: np.random.Generator) -> Unit:
    from skimage import color

    lab = color.rgb2lab(a)
    lab[..., 1:] *= factor
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # negative Z clipped to 0: why this route is not equal to KADIS
        return np.clip(color.lab2rgb(lab), 0, 1)


def plain_jpeg2000(a: Unit, ratio: float, _: np.random.Generator) -> Unit:
    from PIL import Image

    file = io.BytesIO()
    image = Image.fromarray(np.round(255 * a).astype(np.uint8))
    image.save(file, "JPEG2000", quality_mode="rates", quality_layers=[ratio], irreversible=True, mct=1)
    return np.asarray(Image.open(io.BytesIO(file.getvalue()))) / 255.0


def plain_white_noise(a: Unit, variance: float, generator: np.random.Generator) -> Unit:
    return np.clip(a + np.sqrt(variance) * generator.standard_normal(a.shape), 0, 1)


def plain_jitter(a: Unit, amount: float, generator: np.random.Generator) -> Unit:
    y, x = np.mgrid[: a.shape[0], : a.shape[1]].astype(np.float32)
    image = a.astype(np.float32)
    for _ in range(5):
        down, right = (generator.normal(0, amount, y.shape).astype(np.float32) for _ in range(2))
        image = cv2.remap(image, x - right, y - down, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return image


PLAIN: dict[int, Callable[[Unit, float, np.random.Generator], Unit]] = {
    1: plain_blur,
    8: plain_lab_saturation,
    9: plain_jpeg2000,
    11: plain_white_noise,
    19: plain_jitter,
}


def ours(image: np.ndarray, repeat: int) -> np.ndarray:
    """Median milliseconds of each label (126), one `distort_all` a run."""
    runs = np.zeros((repeat + 1, CLASSES))
    for run in range(repeat + 1):
        samples = distort_all(image, np.random.Generator(np.random.Philox(run)))
        for number in range(CLASSES):
            before = time.process_time()
            next(samples)
            runs[run, number] = 1e3 * (time.process_time() - before)
    return np.median(runs[1:], axis=0)


def plain(image: np.ndarray, kind: int, repeat: int) -> float:
    """Milliseconds of the five levels by stock calls, with both stretches, medians."""
    generator, total = np.random.default_rng(0), 0.0
    for value in TYPES[kind - 1].levels:
        times = []
        for _ in range(repeat + 1):
            before = time.process_time()
            out = stretched(PLAIN[kind](stretched(image.astype(np.float64)), value, generator))
            np.floor(255 * out + 0.5).astype(np.uint8)
            times.append(1e3 * (time.process_time() - before))
        total += float(np.median(times[1:]))
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--repeat", type=int, default=7, help="runs, of which the median counts (one more is thrown away)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on the last line")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)  # nothing else here starts threads
    image = photograph()
    before = time.process_time()
    compile_kernels()
    print(f"loops ready after {time.process_time() - before:.1f} s of CPU (compiled, or read from the cache)")
    times = ours(image, arguments.repeat)
    five = {kind.id: times[label(kind.id, 1) : label(kind.id, 5) + 1] for kind in TYPES}
    print(f"{'type':31}{'ms at levels 1 to 5':>40}{'mean':>8}{'stock calls':>13}{'ratio':>7}")
    for kind in TYPES:
        row = (
            f"{kind.id:3} {kind.name:27}"
            + "".join(f"{ms:8.2f}" for ms in five[kind.id])
            + f"{five[kind.id].mean():8.2f}"
        )
        if kind.id in PLAIN:
            stock = plain(image, kind.id, max(arguments.repeat // 2, 3)) / 5
            row += f"{stock:13.2f}{stock / five[kind.id].mean():7.1f}"
        print(row)
    open_types = [kind.id for kind in TYPES if kind.id != 15]
    figures = {
        "mean_ms": round(float(np.mean([five[kind] for kind in open_types])), 3),
        "max_type_ms": round(float(max(five[kind].mean() for kind in open_types)), 3),
        "denoise_ms": round(float(five[15].mean()), 3),
    }
    print(f"pristine image and seeds {times[0]:.2f} ms; all 126 samples {times.sum():.0f} ms")
    mean, dearest, denoise = figures["mean_ms"], figures["max_type_ms"], figures["denoise_ms"]
    print(f"mean of the 120 classes without type 15: {mean} ms; dearest type {dearest}; denoise {denoise}")
    if arguments.json:
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
