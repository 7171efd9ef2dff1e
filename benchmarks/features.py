"""Features: extraction by workers beside a plain loop, idle and beside a busy neighbour; what a readout and a baseline
cost.

    python -m benchmarks.features [--json] [--images 96] [--side 512] [--depth 18] [--width 32] [--repeats 3]

All ways read the same PNG files from the same table, check their sha256, decode them and extract; the loop does it one
image after another in this process. Images/s of workers begin when each of them has finished its first task, so that
their start (about 3 s, once a stage) does not count. A neighbour is a process that only counts. Medians of the repeats,
the ways in turn; the largest difference between the tables of one worker and of all, and between the table's order and
a shuffled one. Then CPU milliseconds and memory of the main readouts of the released encoder on a photograph of
512 x 512, and CPU milliseconds of every baseline on an image, or a pair, of 512 x 384. Last a JPEG of 100 megapixels:
the memory of a process that scores it (bar: 2 GB), CPU seconds, and how far the feature of an image in tiles is from
that of the whole (bar: 1e-4). About four minutes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
import pyarrow as pa

from pipeline import artifacts, images
from pipeline.databases.pixels import decode_row
from pipeline.databases.table import DATABASE
from pipeline.devices import cores
from pipeline.encoder import tiles
from pipeline.encoder.network import BLOCKS
from pipeline.encoder.pooling import Pool
from pipeline.encoder.weights import load_encoder, save_encoder, save_readout
from pipeline.engine import Engine
from pipeline.features import Extractor, extract_features, extraction, load_extractor
from pipeline.features.brisque import Brisque36
from pipeline.features.floor import Floor
from pipeline.metrics import METRICS, niqe
from pipeline.scoring import ImageFeatures, measure_files
from pipeline.training.random_init import random_trunk, set_running_statistics

PHOTOGRAPHS = ("astronaut", "coffee", "rocket", "chelsea")
RELEASED = Path(__file__).parents[1] / "released"
FIVE = ("rgb", "lab", "hsv", "grey", "ms")
BOTH = ("mean", "std")
POOLS = {
    "paper": Pool(),
    "layers_3_4": Pool(layers=(3, 4), statistics=BOTH),
    "layers_2_4": Pool(layers=(2, 3, 4), statistics=BOTH),
    "layers_3_4_of_rgb_lab": Pool(layers=(3, 4), statistics=BOTH, spaces=("rgb", "lab")),
    "layers_2_3_of_rgb_ms": Pool(layers=(2, 3), statistics=BOTH, spaces=("rgb", "ms")),
    "layers_2_3_of_rgb_grey_ms": Pool(layers=(2, 3), statistics=BOTH, spaces=("rgb", "grey", "ms")),
    "layers_2_3_of_grey_lab_ms": Pool(layers=(2, 3), statistics=BOTH, spaces=("grey", "lab", "ms")),
    "layers_2_4_of_grey_lab_ms": Pool(layers=(2, 3, 4), statistics=BOTH, spaces=("grey", "lab", "ms")),
    "layers_2_3_of_five": Pool(layers=(2, 3), statistics=BOTH, spaces=FIVE),
    "layers_2_4_of_five": Pool(layers=(2, 3, 4), statistics=BOTH, spaces=FIVE),
}
SMALLEST = 512  # pixels
NEIGHBOUR = "while True: pass"
TASK_IMAGES = 4  # small tasks, so that few images are enough for a rate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--images", type=int, default=96)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--depth", type=int, default=18, choices=list(BLOCKS))
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    figures = {**extraction_speed(options), **readout_costs(), **baseline_costs(), **large_image()}
    for name, value in figures.items():
        print(f"{name:<44} {value:.3g}")
    if options.json:
        print(json.dumps(figures))


def extraction_speed(options: argparse.Namespace) -> dict[str, float]:
    """Images/s of one and of all workers, idle and beside a busy neighbour, and of the plain loop."""
    trunk = random_trunk(options.depth, options.width, 1)
    set_running_statistics(trunk, cuts(8, 128))
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        save_encoder(root / "encoder", trunk, "bench", {})
        extractor = load_extractor(root / "encoder")
        database = written(root, cuts(options.images, options.side))
        extraction.TASK_PIXELS = TASK_IMAGES * options.side**2
        rates: dict[str, list[float]] = {}
        for _ in range(options.repeats):
            for neighbours in (0, 1):
                beside = "_beside_a_neighbour" if neighbours else ""
                with busy(neighbours):
                    for workers in (1, cores()):
                        rate = worker_rate(database, root, extractor, workers)
                        rates.setdefault(f"images_per_s_{workers}_workers{beside}", []).append(rate)
                    rates.setdefault(f"images_per_s_plain_loop{beside}", []).append(
                        loop_rate(database, root, extractor)
                    )
        figures = {name: statistics.median(values) for name, values in rates.items()}
        one, every = (extracted(database, root, extractor, Engine("processes", count)) for count in (1, cores()))
        order = np.random.default_rng(0).permutation(len(database))
        shuffled = extracted(database.take(pa.array(order)), root, extractor, Engine())
    most = f"images_per_s_{cores()}_workers"
    figures[f"ratio_{cores()}_workers_to_1"] = figures[most] / figures["images_per_s_1_workers"]
    figures["ratio_beside_a_neighbour_to_idle"] = figures[f"{most}_beside_a_neighbour"] / figures[most]
    figures["ratio_workers_to_plain_loop"] = figures[most] / figures["images_per_s_plain_loop"]
    figures["largest_difference_by_workers"] = float(np.abs(one - every).max())
    figures["largest_difference_by_order"] = float(np.abs(shuffled - one[order]).max())
    return figures


@contextlib.contextmanager
def busy(neighbours: int) -> Iterator[None]:
    """So many processes that do nothing but count, for the length of the block."""
    processes = [subprocess.Popen([sys.executable, "-c", NEIGHBOUR]) for _ in range(neighbours)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def worker_rate(database: pa.Table, root: Path, extractor: Extractor, workers: int) -> float:
    """Images/s of the stage's tasks, from when every worker has finished one."""
    tasks = extraction.extraction_tasks(database, root, extractor, batch_images=TASK_IMAGES)
    times = [perf_counter() for _ in Engine("processes", workers).completed(extraction.extract_task, tasks)]
    return TASK_IMAGES * (len(times) - workers) / (times[-1] - times[workers - 1])


def loop_rate(database: pa.Table, root: Path, extractor: Extractor) -> float:
    """Images/s of a loop that reads, decodes and extracts one image after another."""
    rows = database.to_pylist()
    extractor.extract([decode_row(root, rows[0])])
    start = perf_counter()
    for row in rows:
        extractor.extract([decode_row(root, row)])
    return len(rows) / (perf_counter() - start)


def extracted(database: pa.Table, root: Path, extractor: Extractor, engine: Engine) -> np.ndarray:
    """As the stage does it; float32 [n, dim]."""
    table = extract_features(database, root, extractor, encoder="bench", database_name="cuts", engine=engine)
    flat: np.ndarray = table["feature"].combine_chunks().flatten().to_numpy()
    return flat.reshape(len(table), -1)


def readout_costs() -> dict[str, float]:
    """CPU milliseconds (one core, the least of five) and MB beyond the weights of each pool, one image of 512 x 512."""
    image = photograph("astronaut")
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, pool in POOLS.items():
            save_readout(RELEASED, Path(folder) / name, pool)
            network = load_encoder(Path(folder) / name)
            figures[f"cpu_ms_readout_{name}"] = 1e3 * _least(lambda network=network: network.extract([image]))  # type: ignore[misc]
            figures[f"mb_readout_{name}"] = _peak_in_a_fresh_process(Path(folder) / name) / 1e6
    return figures


def baseline_costs() -> dict[str, float]:
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


def large_image() -> dict[str, float]:
    """Memory (GB) and CPU seconds of a fresh process that takes the feature of a 10,000 x 10,000 JPEG, as
    ``synthetic-iqa features`` does; and the largest difference of tiles to the whole on 2,700 x 2,100 pixels.
    """
    from PIL import Image

    random = np.random.default_rng(1)
    squares = np.kron(random.integers(0, 256, (157, 157, 3), dtype=np.uint8), np.ones((64, 64, 1), np.uint8))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.jpg"
        Image.fromarray(squares[:10_000, :10_000]).save(path, quality=90)
        [(_, call)] = Engine("processes", 1).completed(scored_alone, [path], isolated=True)
        gigabytes, seconds = call()
    network = load_encoder(RELEASED)
    image = np.ascontiguousarray(squares[:2_100, :2_700])
    tiled, side = network.extract([image]), tiles.TILE_SIDE
    tiles.TILE_SIDE = 10**5
    whole = network.extract([image])
    tiles.TILE_SIDE = side
    difference = float(np.abs(tiled - whole).max())
    return {"gb_100_megapixels": gigabytes, "cpu_s_100_megapixels": seconds, "difference_of_tiles": difference}


def scored_alone(path: Path) -> tuple[float, float]:
    """Peak resident memory in GB of this process, Python and torch among it, and CPU seconds."""
    before = process_time()
    [(_, row)] = measure_files(ImageFeatures(load_extractor(RELEASED)), [path])
    if row.error:
        raise RuntimeError(row.error)
    return _status("VmHWM") / 1e9, process_time() - before


def cuts(count: int, side: int) -> list[np.ndarray]:
    """``count`` different squares of four photographs."""
    chance, found = np.random.default_rng(1), []
    for number in range(count):
        picture = photograph(PHOTOGRAPHS[number % len(PHOTOGRAPHS)])
        top, left = (int(chance.integers(0, length - side + 1)) for length in picture.shape[:2])
        found.append(np.ascontiguousarray(picture[top : top + side, left : left + side]))
    return found


def photograph(name: str) -> np.ndarray:
    """One of scikit-image's, uint8 H x W x 3; a side below :data:`SMALLEST` is continued by its mirror image."""
    import skimage.data

    picture = np.asarray(getattr(skimage.data, name)())
    margins = [(0, max(0, SMALLEST - side)) for side in picture.shape[:2]]
    return np.pad(picture, [*margins, (0, 0)], mode="symmetric")


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


def _peak_in_a_fresh_process(folder: Path) -> float:
    """Bytes that the feature of a 512 x 512 photograph takes at most; a used process would hide what it has kept."""
    [(_, call)] = Engine("processes", 1).completed(extraction_peak, [folder], isolated=True)
    return call()


def extraction_peak(folder: Path) -> float:
    """Bytes beyond the loaded network, while one photograph's feature is made (Linux)."""
    network, image = load_encoder(folder), photograph("astronaut")
    network.extract([image[:64, :64]])  # what torch sets up once
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before = _status("VmRSS")
    network.extract([image])
    return _status("VmHWM") - before


def _status(key: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024.0 * next(int(line.split()[1]) for line in lines if line.startswith(key))


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
