"""distort@{set}: the 126 classes of every source of a set, in shards (data/distorted/{set}/)."""

from __future__ import annotations

from pipeline import distortions, folders
from pipeline.labels import CLASSES
from pipeline.params import Params
from pipeline.shards import plan
from pipeline.shards.build import DistortTask, build_distorted, commit_distorted
from pipeline.shards.reader import ShardSet
from stages import DATA, LOCKS, engine, entry

BYTES_PER_PIXEL = 2.2  # of a QOI file over the classes of a source: 430 kB at 512 x 512 and room for tables


def run(params: Params, set_name: str) -> None:
    """Distort every source of a set by the 25 types at 5 levels."""
    knobs, folder = params.distort, (DATA / "distorted" / set_name).resolve()
    sources = ShardSet((DATA / "sources" / set_name).resolve())
    pixels = int(sources.shapes.prod(axis=1, dtype="int64").sum())
    folders.require_space(folder, int(pixels * CLASSES * BYTES_PER_PIXEL), f"distorting {set_name}")
    distortions.compile_kernels()
    hashes = sources.table["sha256"].to_pylist()
    tasks = [
        DistortTask(
            bank=distortions.distort_all,
            set_name=set_name,
            sources=sources.folder,
            sources_print=sources.fingerprint,
            rows=tuple((source, hashes[source]) for source in block.sources),
            block=block,
            shards_per_block=knobs.shards_per_block,
            folder=folder,
            codec=knobs.codec,
            pristine=knobs.pristine,
            seed=params.seed,
            parts=distortions.fingerprint_parts(),
            max_failed_sources=knobs.max_failed_sources,
        )
        for block in plan.blocks(len(sources), knobs.block)
    ]
    with folders.folder_lock(folder, LOCKS):
        done = engine(params.run).map(build_distorted, tasks, describe=f"distort {set_name}")
        commit_distorted(tasks, done, sources)


if __name__ == "__main__":
    entry(run, "set")
