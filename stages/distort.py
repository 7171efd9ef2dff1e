"""distort@{set}: the classes of every source of a set, and composites, in shards (data/distorted/{set}/)."""

from __future__ import annotations

from functools import partial

from pipeline import distortions, folders
from pipeline.params import Params
from pipeline.shards.distorted_shards import DistortJob, build_distorted, commit_distorted
from pipeline.shards.reader import ShardSet
from stages import DATA, LOCKS, engine, entry

BYTES_PER_PIXEL = 2.2  # of a QOI file over the classes of a source: 430 kB at 512 x 512 and room for tables


def run(params: Params, set_name: str) -> None:
    """Distort every source of a set by the 25 types at 5 levels, and by the composites that `distort` asks for."""
    recipes = distortions.recipes(params.seed, params.distort.composites)
    sources = ShardSet((DATA / "sources" / set_name).resolve())
    job = DistortJob(
        set_name=set_name,
        seed=params.seed,
        params=params.distort,
        bank=partial(distortions.distort_all, recipes=recipes),
        bank_parts=distortions.fingerprint_parts(),
        sources=sources.folder,
        sources_sha256=sources.fingerprint,
        folder=(DATA / "distorted" / set_name).resolve(),
        recipes=recipes,
    )
    pixels = int(sources.shapes.prod(axis=1, dtype="int64").sum())
    folders.require_space(job.folder, int(pixels * job.classes * BYTES_PER_PIXEL), f"distorting {set_name}")
    distortions.compile_kernels()
    with folders.folder_lock(job.folder, LOCKS):
        done = engine(params.run).map(build_distorted, job.tasks(sources), describe=f"distort {set_name}")
        commit_distorted(job, done, sources)


if __name__ == "__main__":
    entry(run, "set")
