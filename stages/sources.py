"""sources@{set}: the images of a set and their recipes, in shards (data/sources/{set}/)."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from pipeline import folders, sources
from pipeline.params import Params
from pipeline.shards.source_shards import SourceJob, build_sources, commit_sources
from stages import DATA, LOCKS, engine, entry


def run(params: Params, set_name: str) -> None:
    """Draw or take the sources of a set."""
    knobs, images = params.sources, params.sets[set_name].folder
    source_set = sources.source_set(
        set_name,
        knobs,
        seed=params.seed,
        folder=None if images is None else Path(images),
        paths=params.run.paths,
        mapper=partial(engine(params.run).map, describe=f"choosing {set_name}"),
    )
    sources.compile_kernels()
    job = SourceJob(set_name, source_set, (DATA / "sources" / set_name).resolve(), knobs.codec)
    folders.require_space(job.folder, 3 * source_set.count * knobs.size**2, f"the sources of {set_name}")
    with folders.folder_lock(job.folder, LOCKS):
        tasks = job.tasks(knobs.per_shard)
        commit_sources(job, engine(params.run).map(build_sources, tasks, describe=f"sources {set_name}"))


if __name__ == "__main__":
    entry(run, "set")
