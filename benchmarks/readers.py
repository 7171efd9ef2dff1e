"""The reader beside plain webdataset on the same shards: samples a second, bytes only and with decode and crop.

    python -m benchmarks.readers [--json] [--sources 6] [--repeats 7]

Real textured sources of 512 x 512 go through the sources and distort stages' own tasks into QOI shards in a temporary
folder. Each form then reads all samples `repeats` times, in turn, in this one process and thread, after a time that is
not counted, so that all read from the page cache. Ours takes the samples in the order of an exact epoch, a global
permutation, and checks each one's crc32; plain webdataset iterates shard after shard and checks nothing. The ratio is
that of the medians of CPU seconds, as the machine may be shared; wall time is printed beside it. Decode is to uint8
512 x 512 x 3 by the same function for both, the crop 256 x 256. About two minutes, most of it to make the shards.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import cv2
import numpy as np

from benchmarks.distort_stage import job_of, make_sources
from pipeline import distortions, images
from pipeline.shards.distorted_shards import build_distorted, commit_distorted
from pipeline.shards.epochs import Epochs
from pipeline.shards.loader import BatchReader, Crop, loader
from pipeline.shards.reader import ShardSet
from pipeline.shards.stream import ShardStream

CROP = 256
WORKERS = 2


def make_shards(folder: Path, count: int, size: int = 512) -> ShardSet:
    """``count`` sources x 126 classes of ``size`` pixels a side, two shards for each two sources."""
    sources = make_sources(folder / "sources", count, size)
    job = job_of(sources, folder / "d", bank=distortions.distort_all, shards_per_block=2)
    commit_distorted(job, [build_distorted(task) for task in job.tasks(sources)], sources)
    return ShardSet(job.folder)


class Forms:
    """The ways to read all samples once; each returns how many it read."""

    def __init__(self, shards: ShardSet) -> None:
        self.shards, self.crop = shards, Crop(CROP)
        self.urls = [str(shards.folder / shard.name) for shard in shards.shards]
        self.epochs = Epochs(len(shards), 1, seed=1)
        self.random = np.random.default_rng(0)

    def order(self) -> list[int]:
        """The samples of an epoch."""
        return [int(index) for index in self.epochs.order(0)]

    def samples(self) -> Iterator[dict[str, Any]]:
        """Of plain webdataset."""
        import webdataset

        return iter(webdataset.WebDataset(self.urls, shardshuffle=False, empty_check=False))

    def ours_bytes(self) -> int:
        """Checked bytes, copied out of the mapped shard."""
        return sum(len(self.shards.read(index)) > 0 for index in self.order())

    def ours_views(self) -> int:
        """Checked bytes where they lie."""
        return sum(len(self.shards.view(index)) > 0 for index in self.order())

    def webdataset_bytes(self) -> int:
        """As the library gives them."""
        return sum(len(sample["qoi"]) > 0 for sample in self.samples())

    def stream_bytes(self) -> int:
        """Our stream of a file: URL, with crc32 and sha256."""
        return sum(len(sample.data) > 0 for sample in ShardStream(self.shards.folder.resolve().as_uri()).epoch(1, 0))

    def ours_crop(self) -> int:
        """Decoded and cut."""
        data = BatchReader(self.shards, 1, self.crop)
        return sum(data[part]["image"].shape == (1, CROP, CROP, 3) for part in self.epochs.steps(0, len(self.shards)))

    def stream_crop(self) -> int:
        """Our stream of a file: URL, decoded and cut."""
        samples = ShardStream(self.shards.folder.resolve().as_uri()).epoch(1, 0)
        return sum(self.crop(sample.image(), self.random).shape == (CROP, CROP, 3) for sample in samples)

    def webdataset_crop(self) -> int:
        """Decoded and cut."""
        cut = (self.crop(images.decode(sample["qoi"]), self.random) for sample in self.samples())
        return sum(image.shape == (CROP, CROP, 3) for image in cut)


def timed(form: Callable[[], int], count: int) -> tuple[float, float]:
    """Microseconds of CPU and of wall time a sample."""
    cpu, wall = process_time(), perf_counter()
    read = form()
    cpu, wall = process_time() - cpu, perf_counter() - wall
    if read != count:
        raise SystemExit(f"{form.__name__}: {read} of {count} samples")
    return 1e6 * cpu / count, 1e6 * wall / count


def in_workers(shards: ShardSet, repeats: int) -> float:
    """Samples a second of wall time from a torch DataLoader whose workers decode and crop, after its first batch."""
    rates, epochs = [], Epochs(len(shards), 16, seed=1)
    for _ in range(repeats):
        batches = iter(loader(shards, epochs, workers=WORKERS, transform=Crop(CROP)))
        next(batches)
        start = perf_counter()
        count = sum(len(batch["key"]) for batch in batches)
        rates.append(count / (perf_counter() - start))
    return statistics.median(rates)


def measure(sources: int = 6, repeats: int = 7) -> dict[str, float]:
    """Make the shards, time all forms, print the table and return the figures."""
    cv2.setNumThreads(1)
    distortions.compile_kernels()
    with tempfile.TemporaryDirectory() as scratch:
        shards = make_shards(Path(scratch), sources)
        forms = Forms(shards)
        bytes_only = [forms.ours_bytes, forms.ours_views, forms.webdataset_bytes, forms.stream_bytes]
        all_forms = [*bytes_only, forms.ours_crop, forms.stream_crop, forms.webdataset_crop]
        times: dict[str, list[tuple[float, float]]] = {form.__name__: [] for form in all_forms}
        for repeat in range(repeats + 1):
            some = repeat % 2 and repeat < repeats  # decoding takes ten times as long: every second time is enough
            for form in bytes_only if some else all_forms:
                times[form.__name__].append(timed(form, len(shards)))
        loaded = in_workers(shards, 3)
        size = sum(shard.bytes for shard in shards.shards) / len(shards) / 1e3
        print(f"{len(shards)} samples of 512 x 512 as QOI, {size:.0f} kB each, in {len(shards.shards)} shards")
    medians = {
        name: [statistics.median(column) for column in zip(*runs[1:], strict=True)] for name, runs in times.items()
    }
    print(f"{'form':<18} {'CPU us':>8} {'wall us':>8} {'samples/s of CPU':>17} {'of wall':>8}")
    for name, (cpu, wall) in medians.items():
        print(f"{name:<18} {cpu:>8.1f} {wall:>8.1f} {1e6 / cpu:>17.0f} {1e6 / wall:>8.0f}")
    print(f"torch DataLoader, {WORKERS} workers, decode and crop in the worker: {loaded:.0f} samples/s of wall")
    figures = {**ratios(medians), "loader_samples_per_s": loaded}
    for name, value in figures.items():
        print(f"{name:<31} {value:8.2f}")
    return figures


def ratios(medians: dict[str, list[float]]) -> dict[str, float]:
    """Of samples a second, ours over webdataset's; ``medians`` has [CPU, wall] seconds of each form."""

    def ratio(ours: str, theirs: str, column: int = 0) -> float:
        return medians[theirs][column] / medians[ours][column]

    return {
        "reader_over_webdataset": ratio("ours_bytes", "webdataset_bytes"),
        "reader_over_webdataset_wall": ratio("ours_bytes", "webdataset_bytes", 1),
        "view_over_webdataset": ratio("ours_views", "webdataset_bytes"),
        "stream_over_webdataset": ratio("stream_bytes", "webdataset_bytes"),
        "reader_over_webdataset_decoded": ratio("ours_crop", "webdataset_crop"),
        "stream_over_local_decoded_wall": ratio("stream_crop", "ours_crop", 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object on the last line")
    parser.add_argument("--sources", type=int, default=6, help="126 images each")
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()
    figures = measure(arguments.sources, arguments.repeats)
    if arguments.json:
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
