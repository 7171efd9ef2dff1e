"""Features: the stage's batched extraction beside a loop of one image at a time, and what each baseline costs.

    python -m benchmarks.features [--json] [--images 96] [--side 256] [--depth 18] [--width 32] [--repeats 3]
                                  [--device cpu] [--precision fp32] [--threads N]

Both ways read the same PNG files from the same table, check their sha256, decode them and write the same table's rows;
the loop reads, decodes and extracts one image after another. Images/s by the wall clock (the median of the repeats,
the two ways in turn) and CPU seconds; the largest difference between the two tables, and between the table's order and
a shuffled one. Then the CPU milliseconds of every baseline on an image, or a pair, of 512 x 384. About a minute.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
import pyarrow as pa

from pipeline import artifacts, images
from pipeline.databases.pixels import decode_row
from pipeline.databases.table import DATABASE
from pipeline.features import Extractor, extract_features
from pipeline.features.brisque import Brisque36
from pipeline.features.floor import Floor
from pipeline.metrics import METRICS, niqe

PHOTOGRAPHS = ("astronaut", "coffee", "rocket", "chelsea")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--images", type=int, default=96)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--depth", type=int, default=18)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--threads", type=int, default=None, help="of torch and of the decoder; default: all cores")
    options = parser.parse_args()
    figures = {**extraction(options), **costs()}
    for name, value in figures.items():
        print(f"{name:<34} {value:.3g}")
    if options.json:
        print(json.dumps(figures))


def extraction(options: argparse.Namespace) -> dict[str, float]:
    """Both ways in turn over one database of photographs' cuts."""
    import torch

    from pipeline.encoder.trunk import TrunkExtractor
    from pipeline.training.calibrate import calibrate, random_trunk

    torch.set_num_threads(options.threads or torch.get_num_threads())
    trunk = random_trunk(options.depth, options.width, 1).to(options.device)
    calibrate(trunk, cuts(8, 128))
    extractor = TrunkExtractor(trunk, name="bench", sha256="0", device=options.device, precision=options.precision)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        database = written(root, cuts(options.images, options.side))
        threads = options.threads or torch.get_num_threads()
        ways: dict[str, Callable[[], np.ndarray]] = {
            "batched": lambda: batched(database, root, extractor, threads),
            "one_by_one": lambda: one_by_one(database, root, extractor),
        }
        found, figures = timed(ways, options.images, options.repeats)
        order = np.random.default_rng(0).permutation(len(database))
        shuffled = batched(database.take(pa.array(order)), root, extractor, threads)
    ratio = figures["features_batched_images_per_s"] / figures["features_one_by_one_images_per_s"]
    figures["features_batched_ratio"] = ratio
    figures["features_max_difference"] = float(np.abs(found["batched"] - found["one_by_one"]).max())
    figures["features_order_max_difference"] = float(np.abs(shuffled - found["batched"][order]).max())
    return figures


def timed(
    ways: dict[str, Callable[[], np.ndarray]], count: int, repeats: int
) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """What each way gives, and its images/s and CPU ms an image: medians, the ways in turn, after one run each."""
    found = {name: way() for name, way in ways.items()}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            wall, cpu = perf_counter(), process_time()
            way()
            times[name].append((perf_counter() - wall, process_time() - cpu))
    figures = {}
    for name, rows in times.items():
        wall, cpu = (statistics.median(column) for column in zip(*rows, strict=True))
        figures[f"features_{name}_images_per_s"] = count / wall
        figures[f"features_{name}_cpu_ms"] = 1e3 * cpu / count
    return found, figures


def batched(database: pa.Table, root: Path, extractor: Extractor, threads: int) -> np.ndarray:
    """As the stage does it; float32 [n, dim]."""
    table = extract_features(database, root, extractor, encoder="bench", database_name="cuts", decode_threads=threads)
    flat: np.ndarray = table["feature"].combine_chunks().flatten().to_numpy()
    return flat.reshape(len(table), -1)


def one_by_one(database: pa.Table, root: Path, extractor: Extractor) -> np.ndarray:
    """The plain loop."""
    return np.concatenate([extractor.extract([decode_row(root, row)]) for row in database.to_pylist()])


def costs() -> dict[str, float]:
    """CPU milliseconds of every baseline, the least of five runs, one image or one unprepared pair of 512 x 384."""
    reference = np.ascontiguousarray(photograph("astronaut")[:384, :512])
    image = np.clip(reference + np.random.default_rng(0).integers(-20, 21, reference.shape), 0, 255).astype(np.uint8)
    blind = niqe.Niqe(np.zeros(36), np.eye(36), side=96)
    calls: dict[str, Callable[[], object]] = {
        "floor": lambda: Floor().extract([image]),
        "brisque36": lambda: Brisque36().extract([image]),
        "niqe": lambda: blind.extract([image]),
        **{name: _pair(name, reference, image) for name in METRICS},
    }
    figures = {f"cpu_ms_{name}": 1e3 * _least(call) for name, call in calls.items()}
    return {**figures, "cpu_ms_all_full_reference": sum(figures[f"cpu_ms_{name}"] for name in METRICS)}


def cuts(count: int, side: int) -> list[np.ndarray]:
    """``count`` different squares of four photographs."""
    chance, found = np.random.default_rng(1), []
    for number in range(count):
        picture = photograph(PHOTOGRAPHS[number % len(PHOTOGRAPHS)])
        top, left = (int(chance.integers(0, length - side + 1)) for length in picture.shape[:2])
        found.append(np.ascontiguousarray(picture[top : top + side, left : left + side]))
    return found


def photograph(name: str) -> np.ndarray:
    """One of scikit-image's, uint8 H x W x 3."""
    import skimage.data

    return np.asarray(getattr(skimage.data, name)())


def written(root: Path, pictures: list[np.ndarray]) -> pa.Table:
    """The pictures as PNG files, and the database table of them."""
    rows = []
    for number, picture in enumerate(pictures):
        data, name = images.encode(picture, "png"), f"{number:05d}.png"
        (root / name).write_bytes(data)
        about = {"image_id": name, "path": name, "sha256": artifacts.sha256_bytes(data), "phash": 0, "group": name}
        size = {"width": picture.shape[1], "height": picture.shape[0]}
        rows.append({**about, **size, "is_reference": False, "mos": float(number), "higher_is_better": True})
    return pa.Table.from_pylist(rows, schema=DATABASE)


def _pair(name: str, reference: np.ndarray, image: np.ndarray) -> Callable[[], object]:
    return lambda: METRICS[name](reference, image)


def _least(call: Callable[[], object]) -> float:
    call()
    times = []
    for _ in range(5):
        start = process_time()
        call()
        times.append(process_time() - start)
    return min(times)


if __name__ == "__main__":
    main()
