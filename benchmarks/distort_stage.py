"""The distort stage as a whole (decode, 126 images, encode, tar, sample table) against its parts done alone.

    python -m benchmarks.distort_stage [--json] [--sources 12] [--workers 2]

Real textured sources of 512 x 512 go through the stage's own tasks on the `processes` engine, at 1, 2 and 4 times the
number of sources. CPU per image beyond distortion and QOI encoding is the tasks' CPU (process_time in the workers) less
what the bank and the encoder took of it, clocked in the same workers on the same images: two busy cores share caches,
so both are dearer there than alone. Rates are of the span from the start of the first task to the end of the last, so
that starting the workers (printed apart) is not in them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from pipeline import distortions, images, sources
from pipeline.engine import Engine
from pipeline.params.sections import DistortParams, SourcesParams
from pipeline.shards.distorted_shards import Bank, DistortJob, DistortTask, build_distorted
from pipeline.shards.reader import ShardSet
from pipeline.shards.source_shards import SourceJob, build_sources, commit_sources

SET = "textured_dead_leaves"
BLOCK = 2


SPENT = {"distort": 0.0, "encode": 0.0}  # CPU seconds of this worker


@cache
def warm() -> None:
    """Load the compiled kernels and clock the encoder: once in each worker, before its first task."""
    distortions.compile_kernels()
    plain = images.encode

    def clocked(image: np.ndarray, codec: str = "qoi") -> bytes:
        start = time.process_time()
        data = plain(image, codec)
        SPENT["encode"] += time.process_time() - start
        return data

    images.encode = clocked


def clocked_bank(image: np.ndarray, generator: np.random.Generator) -> Iterator[distortions.Sample]:
    """The bank, with its CPU added up."""
    made = distortions.distort_all(image, generator)
    while True:
        start = time.process_time()
        sample = next(made, None)
        SPENT["distort"] += time.process_time() - start
        if sample is None:
            return
        yield sample


def timed(task: DistortTask) -> dict[str, float]:
    """One task: start and end (seconds of one clock for all processes), CPU seconds in all and of the parts, images."""
    warm()
    SPENT.update(distort=0.0, encode=0.0)
    start, cpu = time.monotonic(), time.process_time()
    made = build_distorted(task)
    cpu = time.process_time() - cpu
    return {"start": start, "end": time.monotonic(), "cpu": cpu, "images": sum(m.samples for m in made), **SPENT}


def make_sources(folder: Path, count: int, size: int = 512) -> ShardSet:
    job = SourceJob(SET, sources.source_set(SET, SourcesParams(count=count, size=size), seed=1), folder, "qoi")
    commit_sources(job, [build_sources(task) for task in job.tasks(16)])
    return ShardSet(folder)


def job_of(shards: ShardSet, folder: Path, *, bank: Bank = clocked_bank, shards_per_block: int = 1) -> DistortJob:
    params = DistortParams(block=BLOCK, shards_per_block=shards_per_block)
    return DistortJob(SET, 1, params, bank, {}, shards.folder, shards.fingerprint, folder)


def tasks_of(shards: ShardSet, folder: Path, count: int) -> list[DistortTask]:
    """The tasks of the first ``count`` sources."""
    return job_of(shards, folder).tasks(shards)[: count // BLOCK]


def stage(shards: ShardSet, folder: Path, count: int, workers: int) -> dict[str, float]:
    """Images a second, CPU ms an image in all and of its parts, seconds before the first task."""
    begun = time.monotonic()
    tasks = tasks_of(shards, folder, count)
    done = Engine("processes", workers).map(timed, tasks, describe=f"{count} sources")
    number = sum(task["images"] for task in done)
    first, last = min(task["start"] for task in done), max(task["end"] for task in done)
    each = {part: 1e3 * sum(task[part] for task in done) / number for part in ("cpu", "distort", "encode")}
    return {"rate": number / (last - first), "start": first - begun, **each}


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
        runs = [stage(shards, Path(scratch, f"distorted-{n}"), n, arguments.workers) for n in counts]
    rates = [run["rate"] for run in runs]
    rest = [run["cpu"] - run["distort"] - run["encode"] for run in runs]
    print(f"{'sources':>8} {'images/s':>9} {'CPU ms/image':>13} {'distort':>8} {'QOI':>6} {'rest':>6} {'start s':>8}")
    for count, run, remaining in zip(counts, runs, rest, strict=True):
        parts = f"{run['cpu']:13.3f} {run['distort']:8.3f} {run['encode']:6.3f} {remaining:6.3f}"
        print(f"{count:8d} {run['rate']:9.1f} {parts} {run['start']:8.1f}")
    print(f"lowest / highest rate: {min(rates) / max(rates):.3f}; the rest, median: {statistics.median(rest):.3f} ms")
    if arguments.json:
        print(json.dumps({"overhead_ms": statistics.median(rest), "images_per_s": rates}))


if __name__ == "__main__":
    main()
