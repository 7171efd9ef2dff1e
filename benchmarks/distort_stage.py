"""The distort stage as a whole (decode, 126 images, encode, tar, sample table) against its parts done alone.

    python -m benchmarks.distort_stage [--json] [--sources 12] [--workers 2]

Real textured sources of 512 x 512 go through the stage's own tasks on the `processes` engine, at 1, 2 and 4 times the
number of sources. CPU per image beyond distortion and QOI encoding is the stage's CPU (of the workers, by process_time)
less that of both done in a plain loop over the same sources in this process. Rates are of the span from the start of
the first task to the end of the last, so that starting the workers (printed apart) is not in them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from dataclasses import replace
from functools import cache
from pathlib import Path

import cv2

from pipeline import artifacts, distortions, images, sources
from pipeline.engine import Engine
from pipeline.shards import plan
from pipeline.shards.build import DistortTask, SourceTask, build_distorted, build_sources, class_generator
from pipeline.shards.reader import ShardSet

SET = "textured_dead_leaves"
BLOCK = 2


@cache
def warm() -> None:
    """Load the compiled kernels: once in each worker, before its first task."""
    distortions.compile_kernels()


def timed(task: DistortTask) -> tuple[float, float, float, int]:
    """One task: start and end (seconds of one clock for all processes), CPU seconds, images."""
    warm()
    start, cpu = time.monotonic(), time.process_time()
    made = build_distorted(task)
    return start, time.monotonic(), time.process_time() - cpu, sum(shard.samples for shard in made)


def make_sources(folder: Path, count: int) -> ShardSet:
    maker = sources.maker(SET, seed=1, count=count, height=512, width=512)
    tasks = [SourceTask(maker, block, folder, "qoi", {}) for block in plan.blocks(count, 16)]
    artifacts.commit_manifest(folder, [build_sources(task) for task in tasks], plan.SOURCE_PATTERN, {"codec": "qoi"})
    return ShardSet(folder)


def tasks_of(shards: ShardSet, folder: Path, count: int) -> list[DistortTask]:
    hashes = shards.table["sha256"].to_pylist()
    blocks = plan.blocks(count, BLOCK)
    first = DistortTask(
        bank=distortions.distort_all,
        set_name=SET,
        sources=shards.folder,
        sources_print=shards.fingerprint,
        rows=(),
        block=blocks[0],
        shards_per_block=1,
        folder=folder,
        codec="qoi",
        pristine="stretched",
        seed=1,
        parts={},
    )
    return [replace(first, block=b, rows=tuple((s, hashes[s]) for s in b.sources)) for b in blocks]


def parts(shards: ShardSet, count: int) -> tuple[float, float]:
    """CPU ms an image of distorting and of QOI encoding, in a plain loop."""
    distort = encode = 0.0
    for source in range(count):
        image = shards.image(source)
        start = time.process_time()
        made = [sample.image for sample in distortions.distort_all(image, class_generator(1, SET, source))]
        middle = time.process_time()
        for one in made:
            images.encode(one, "qoi")
        distort, encode = distort + middle - start, encode + time.process_time() - middle
    return 1e3 * distort / (count * plan.CLASSES), 1e3 * encode / (count * plan.CLASSES)


def stage(shards: ShardSet, folder: Path, count: int, workers: int) -> tuple[float, float, float]:
    """Images a second, CPU ms an image, seconds before the first task, with ``count`` sources."""
    begun = time.monotonic()
    done = Engine("processes", workers).map(timed, tasks_of(shards, folder, count), describe=f"{count} sources")
    number = sum(images_ for *_, images_ in done)
    span = max(end for _, end, *_ in done) - min(start for start, *_ in done)
    return number / span, 1e3 * sum(cpu for _, _, cpu, _ in done) / number, min(start for start, *_ in done) - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object on the last line")
    parser.add_argument("--sources", type=int, default=12, help="at 1 x; 2 x and 4 x follow")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    distortions.compile_kernels()
    counts = [arguments.sources * factor for factor in (1, 2, 4)]
    with tempfile.TemporaryDirectory() as scratch:
        shards = make_sources(Path(scratch, "sources"), counts[-1])
        rates, cpu, starts = [], [], []
        for count in counts:
            rate, each, start = stage(shards, Path(scratch, f"distorted-{count}"), count, arguments.workers)
            rates, cpu, starts = [*rates, rate], [*cpu, each], [*starts, start]
        distort, encode = parts(shards, min(8, counts[0]))
    overhead = statistics.median(cpu) - distort - encode
    print(f"{'sources':>8} {'images/s':>9} {'CPU ms/image':>13} {'start s':>8}")
    for count, rate, each, start in zip(counts, rates, cpu, starts, strict=True):
        print(f"{count:8d} {rate:9.1f} {each:13.3f} {start:8.1f}")
    print(f"distortion alone {distort:.3f} ms, QOI alone {encode:.3f} ms, the rest {overhead:.3f} ms an image")
    print(f"lowest / highest rate: {min(rates) / max(rates):.3f}")
    if arguments.json:
        print(json.dumps({"overhead_ms": overhead, "images_per_s": rates, "distort_ms": distort, "qoi_ms": encode}))


if __name__ == "__main__":
    main()
