"""Time of one 512 x 512 dead-leaves image, r in [1, 512], beside a back-to-front painter; and of 5,000 into files.

    python -m benchmarks.sources [--json] [--sources 1000]

One thread, CPU time, medians. ``plain_ms`` and ``textured_ms`` are whole images (geometry, colours, rendering, no
file encoding). ``larger_ms`` to ``drawn_palettes_ms`` are textured images with one option each (larger: r_min 2,
supersample 2). The painter is what one writes with Pillow: as many ellipses as our geometry drew, the last drawn
first, with integer boxes and centres in the window only (its law is biased, its work is the same). ``deadleaves``
(PyPI) is timed where it is installed. ``sources_5000_s`` makes ``--sources`` textured images, encodes them as QOI and
writes them into tars of 50 with two processes: wall time, their start once, the rest scaled to 5,000;
``sources_cpu_ms`` is the CPU time of one such source, encoding and writing included.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import tarfile
import tempfile
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import Any

for _name in ("OMP", "OPENBLAS", "MKL", "NUMBA"):
    os.environ.setdefault(f"{_name}_NUM_THREADS", "1")

import numpy as np  # noqa: E402

from pipeline import images, sources  # noqa: E402
from pipeline.params.sections import SourcesParams  # noqa: E402
from pipeline.seeding import generator  # noqa: E402
from pipeline.sources.dead_leaves.geometry import geometry  # noqa: E402
from pipeline.sources.dead_leaves.leaves_set import DeadLeavesSet  # noqa: E402
from pipeline.sources.dead_leaves.radius_law import HittingLaw  # noqa: E402

SIDE, R_MIN, R_MAX = 512, 1.0, 512.0
OPTIONS: dict[str, dict[str, Any]] = {
    "larger": {"r_min": 2.0, "supersample": 2},
    "shapes": {"shape": {"disc": 1.0, "ellipse": 1.0, "polygon": 1.0}},
    "shading": {"shading": 0.5},
    "depth_blur": {"depth_blur": 2.0},
    "drawn_palettes": {"palettes": "drawn"},
}


def cpu_ms(function: Callable[[int], object], repeats: int) -> float:
    """Median CPU time of ``function(index)`` in milliseconds, after one call to warm up."""
    function(0)
    times = []
    for index in range(repeats):
        start = time.process_time()
        function(index)
        times.append(time.process_time() - start)
    return 1000 * statistics.median(times)


def pillow_painter(index: int) -> np.ndarray:
    """Back to front with ``ImageDraw.ellipse``: the naive way, at the number of leaves that the exact law needs."""
    from PIL import Image, ImageDraw

    draws = np.random.default_rng(index)
    count = 63_000  # the median number of leaves until 512 x 512 is covered, r in [1, 512]
    low, high = R_MIN**-2, R_MAX**-2
    radius = 1 / np.sqrt(low - draws.random(count) * (low - high))
    x, y = draws.random(count) * SIDE, draws.random(count) * SIDE
    boxes = np.rint(np.stack([x - radius, y - radius, x + radius, y + radius], 1)).astype(int).tolist()
    colours = draws.integers(0, 256, (count, 3)).tolist()
    canvas = Image.new("RGB", (SIDE, SIDE))
    ellipse = ImageDraw.Draw(canvas).ellipse
    for box, colour in zip(boxes, colours, strict=True):
        ellipse(box, fill=tuple(colour))
    return np.asarray(canvas)


def deadleaves_package() -> float | None:
    """CPU ms of the PyPI package at r in [8, 512] (at r_min 1 an image takes many seconds); None if it is not
    installed (1.1.0 needs Python 3.12 and torchvision).
    """
    try:
        from deadleaves import LeafGeometryGenerator
    except ImportError:
        return None

    def segmentation(_: int) -> object:
        law = {"radius": {"powerlaw": {"low": 8.0, "high": R_MAX, "k": 3.0}}}
        generator = LeafGeometryGenerator(
            leaf_shape="circular", shape_param_distributions=law, image_shape=(SIDE, SIDE), device="cpu"
        )
        return generator.generate_segmentation()

    return cpu_ms(segmentation, 1)


def write_block(task: tuple[DeadLeavesSet, range, str]) -> tuple[int, float]:
    """Make images, encode them and put them into one tar; returns its size and the CPU seconds that it took."""
    drawn, indices, path = task
    start = time.process_time()
    with tarfile.open(path, "w") as archive:
        for index in indices:
            data = images.encode(drawn.make(index)[0], "qoi")
            member = tarfile.TarInfo(f"{index:06d}.qoi")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return Path(path).stat().st_size, time.process_time() - start


def files(count: int) -> dict[str, float]:
    """``count`` textured sources into tars with two processes: start-up once, the rest scaled to 5,000."""
    drawn = sources.source_set("textured_dead_leaves", SourcesParams(count=count, size=SIDE), seed=0)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, get_context("spawn").Pool(2) as pool:
        pool.map(write_block, [(drawn, range(1), f"{folder}/first{k}.tar") for k in range(2)], chunksize=1)
        started = time.perf_counter()
        tasks = [(drawn, range(k, min(k + 50, count)), f"{folder}/{k}.tar") for k in range(0, count, 50)]
        blocks = list(pool.imap_unordered(write_block, tasks))
        ended = time.perf_counter()
    return {
        "sources_made": count,
        "sources_start_s": started - start,
        "sources_5000_s": started - start + (ended - started) * 5000 / count,
        "sources_5000_gb": sum(size for size, _ in blocks) * 5000 / count / 1e9,
        "sources_cpu_ms": 1000 * sum(seconds for _, seconds in blocks) / count,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON object on the last line")
    parser.add_argument("--sources", type=int, default=1000, help="textured sources really written (0: skip)")
    parser.add_argument("--repeats", type=int, default=60)
    arguments = parser.parse_args()
    sources.compile_kernels()
    figures: dict[str, float | None] = {}
    params = SourcesParams(count=arguments.repeats, size=SIDE)
    sets = {name: sources.source_set(name, params, seed=0) for name in ("dead_leaves", "textured_dead_leaves")}
    figures["plain_ms"] = cpu_ms(lambda index: sets["dead_leaves"].make(index), arguments.repeats)
    figures["textured_ms"] = cpu_ms(lambda index: sets["textured_dead_leaves"].make(index), arguments.repeats)
    figures["geometry_ms"] = cpu_ms(
        lambda index: geometry(generator(0, "bench", index), HittingLaw(SIDE, SIDE, R_MIN, R_MAX)), arguments.repeats
    )
    for name, options in OPTIONS.items():
        drawn = sources.source_set("textured_dead_leaves", SourcesParams(size=SIDE, **options), seed=0)
        figures[f"{name}_ms"] = cpu_ms(lambda index, drawn=drawn: drawn.make(index), min(arguments.repeats, 20))
    figures["pillow_ms"] = cpu_ms(pillow_painter, 7)
    figures["pillow_over_plain"] = figures["pillow_ms"] / figures["plain_ms"]
    figures["deadleaves_r8_ms"] = deadleaves_package()
    if arguments.sources:
        figures |= files(arguments.sources)
    for name, value in figures.items():
        print(f"{name:20} {'not installed' if value is None else f'{value:10.2f}'}")
    if arguments.json:
        print(json.dumps({name: None if value is None else round(value, 3) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
