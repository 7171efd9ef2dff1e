"""The engines on the distort stage's own work: Ray against processes, two workers against one; and what grows with it.

    python -m benchmarks.shards [--json] [--repetitions 3] [--tasks 3] [--scratch FOLDER]
    python -m benchmarks.shards --scaling [--json]

A task is two textured sources of 512 x 512 in their 126 classes, encoded and committed. Rates are of the steady state:
images done between the moment when every worker is at work, its kernels loaded, and the moment when the first one has
nothing left to do; a task that lies across an end counts by the part of its time inside. The three runs take turns, and
ratios are medians over the turns. What comes before the first task of each engine is printed apart. The shards go to
a memory disk where there is one (``--scratch`` names another place): each worker flushes some 70 MB/s, and two of them
would measure many a disk; what this machine's disk takes is printed too. The reader's part (``benchmarks.readers``)
follows.

``--scaling`` does 1, 2 and 4 times the work and measures what each image costs then, in CPU time so that other work on
the machine matters little, and what a set's tables and manifest cost whoever opens them.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import cv2

from benchmarks import distort_stage, readers
from pipeline import artifacts, distortions, images
from pipeline.engine import Engine
from pipeline.labels import CLASSES
from pipeline.seeding import generator
from pipeline.shards import plan
from pipeline.shards.distorted_shards import DistortTask
from pipeline.shards.reader import ShardSet

RUNS = (("processes", 2), ("ray", 2), ("processes", 1))
PAPER, TEN_MILLION = 630_000, 10_000_000


def timed(task: DistortTask) -> dict[str, float]:
    """A task's times (one clock for all processes), its CPU seconds, its images and its worker."""
    arrived = time.monotonic()
    return {"arrived": arrived, "worker": os.getpid(), **distort_stage.timed(task)}


def steady(done: list[dict[str, float]]) -> float:
    """Images a second while every worker was at work."""
    workers = defaultdict(list)
    for task in done:
        workers[task["worker"]].append(task)
    first = max(min(task["start"] for task in tasks) for tasks in workers.values())
    last = min(max(task["end"] for task in tasks) for tasks in workers.values())
    inside = [max(0.0, min(task["end"], last) - max(task["start"], first)) for task in done]
    made = sum(task["images"] * part / (task["end"] - task["start"]) for task, part in zip(done, inside, strict=True))
    return made / (last - first)


def run(shards: ShardSet, folder: Path, name: str, workers: int, tasks: int) -> dict[str, float]:
    """One engine on ``tasks`` tasks a worker: images/s, CPU ms an image, seconds before the first task."""
    todo = distort_stage.tasks_of(shards, folder, distort_stage.BLOCK * tasks * workers)
    begun = time.monotonic()
    done = Engine(name, workers).map(timed, todo, describe=f"{name} {workers}")
    shutil.rmtree(folder)
    cpu = 1e3 * sum(task["cpu"] for task in done) / sum(task["images"] for task in done)
    return {"rate": steady(done), "cpu": cpu, "startup": min(task["arrived"] for task in done) - begun}


def engines(scratch: Path, repetitions: int, tasks: int) -> dict[str, float]:
    """The three runs in turns; prints the table and returns the figures."""
    shards = distort_stage.make_sources(scratch / "sources", distort_stage.BLOCK * tasks * 2)
    runs: dict[tuple[str, int], list[dict[str, float]]] = {each: [] for each in RUNS}
    for turn in range(repetitions):
        for name, workers in RUNS[turn % 3 :] + RUNS[: turn % 3]:
            runs[name, workers].append(run(shards, scratch / "distorted", name, workers, tasks))
    print(f"{'engine':>10} {'workers':>8} {'images/s':>9} {'ms/image':>9} {'CPU ms/image':>13} {'start-up s':>11}")
    for (name, workers), turns in runs.items():
        rate, cpu, startup = (statistics.median(turn[key] for turn in turns) for key in ("rate", "cpu", "startup"))
        print(f"{name:>10} {workers:8d} {rate:9.1f} {1e3 / rate:9.2f} {cpu:13.2f} {startup:11.1f}")
    two, ray, one = ([turn["rate"] for turn in runs[each]] for each in RUNS)
    ratios = {
        "ray_over_processes": statistics.median(a / b for a, b in zip(two, ray, strict=True)),
        "two_worker_speedup": statistics.median(a / b for a, b in zip(two, one, strict=True)),
    }
    for key, value in ratios.items():
        print(f"{key}: {value:.3f}")
    ray_cpu = statistics.median(turn["cpu"] for turn in runs["ray", 2])
    two_cpu = statistics.median(turn["cpu"] for turn in runs["processes", 2])
    startups = {f"{name}_startup_s": statistics.median(t["startup"] for t in runs[name, 2]) for name, _ in RUNS[:2]}
    return {**ratios, "ray_over_processes_cpu": ray_cpu / two_cpu, **startups}


def disk(folder: Path) -> float:
    """MB/s at which ``folder`` takes a file of 100 MB, flushed."""
    data, begun = os.urandom(2**20), time.monotonic()
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(100):
            file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return 100 * 2**20 / 1e6 / (time.monotonic() - begun)


def scaling(scratch: Path, tasks: int) -> dict[str, float]:
    """1, 2 and 4 times the work on two processes; sizes and times of the codecs; cost of opening a set."""
    counts = [distort_stage.BLOCK * tasks * factor for factor in (1, 2, 4)]
    shards = distort_stage.make_sources(scratch / "sources", counts[-1])
    print(f"{'images':>8} {'CPU ms/image':>13} {'driver ms/image':>16} {'driver MB':>10} {'open ms':>8}")
    costs = []
    for count in counts:
        folder = scratch / f"distorted-{count}"
        before = time.process_time()
        todo = distort_stage.tasks_of(shards, folder, count)
        done = Engine("processes", 2).map(timed, todo, describe=f"{count} sources")
        metas = [artifacts.read_meta(path) for path in sorted(folder.glob("*.tar"))]
        artifacts.commit_manifest(folder, metas, plan.DISTORTED_PATTERN, {"codec": "qoi"})
        made = count * CLASSES
        driver = 1e3 * (time.process_time() - before) / made
        before = time.process_time()
        opened = ShardSet(folder)
        reading = 1e3 * (time.process_time() - before)
        costs.append(1e3 * sum(task["cpu"] for task in done) / made)
        resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
        print(f"{made:8d} {costs[-1]:13.2f} {driver:16.3f} {resident:10.0f} {reading:8.1f}")
    row = opened.table.nbytes / len(opened)
    listed = (folder / artifacts.MANIFEST).stat().st_size / len(metas)
    print(f"a sample's row takes {row:.0f} bytes of memory in a reader, a shard {listed:.0f} bytes in the manifest")
    cost = statistics.median(costs)
    sizes = codecs(shards)
    print(f"{'images':>12} {'core-hours':>11} " + " ".join(f"{codec + ' GB':>9}" for codec in sizes))
    for number in (PAPER, TEN_MILLION):
        disk = " ".join(f"{number * size / 1e9:9.0f}" for size in sizes.values())
        print(f"{number:12,d} {number * cost / 3.6e6:11.1f} {disk}")
    spread = max(costs) / min(costs)
    return {"cpu_ms": cost, "cpu_ms_spread": spread, "row_bytes": row, **{f"{c}_bytes": s for c, s in sizes.items()}}


def codecs(shards: ShardSet, count: int = 3) -> dict[str, float]:
    """Bytes an image over all classes of ``count`` sources, by codec; prints them with the CPU time of encoding."""
    made = [
        sample.image
        for source in range(count)
        for sample in distortions.distort_all(shards.image(source), generator(1, "benchmark", source))
    ]
    sizes = {}
    for codec in images.CODECS:
        before = time.process_time()
        sizes[codec] = sum(len(images.encode(image, codec)) for image in made) / len(made)
        each = 1e3 * (time.process_time() - before) / len(made)
        print(f"{codec:>5}: {sizes[codec] / 1e3:6.1f} kB an image, {each:5.2f} ms of CPU to encode")
    return sizes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object on the last line")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--tasks", type=int, default=3, help="tasks of a worker in a run, of 252 images each")
    parser.add_argument("--scaling", action="store_true", help="1, 2 and 4 times the work instead")
    parser.add_argument("--scratch", type=Path, default=next(filter(Path.is_dir, [Path("/dev/shm")]), None))
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    distortions.compile_kernels()
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as scratch:
        if arguments.scaling:
            figures = scaling(Path(scratch), arguments.tasks)
        else:
            figures = engines(Path(scratch), arguments.repetitions, arguments.tasks)
            print(f"shards in {arguments.scratch or tempfile.gettempdir()}; the disk takes {disk(Path.cwd()):.0f} MB/s")
    if not arguments.scaling:
        figures |= readers.measure(sources=4, repeats=5)
    if arguments.json:
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
