"""sources@{set}: the images of a set and their recipes, in shards (data/sources/{set}/)."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pyarrow as pa

from pipeline import artifacts, folders, sources
from pipeline.params import Params
from pipeline.shards import plan
from pipeline.shards.build import SourceSet, SourceTask, about_sources, build_sources
from stages import DATA, LOCKS, engine, entry


def run(params: Params, set_name: str) -> None:
    """Draw or take the sources of a set."""
    knobs, folder = params.sources, (DATA / "sources" / set_name).resolve()
    source_set = _source_set(params, set_name)
    sources.compile_kernels()
    blocks = plan.blocks(source_set.count, knobs.per_shard)
    parts: list[dict[str, object]] = [{"set": set_name, "maker": source_set.inputs(block.sources)} for block in blocks]
    tasks = [
        SourceTask(source_set, block, folder, knobs.codec, part) for block, part in zip(blocks, parts, strict=True)
    ]
    folders.require_space(folder, 3 * source_set.count * knobs.size**2, f"the sources of {set_name}")
    with folders.folder_lock(folder, LOCKS):
        shards = engine(params.run).map(build_sources, tasks, describe=f"sources {set_name}")
        tables = [artifacts.read_table(folder / name) for shard in shards for name in shard.sidecars]
        table = folder / "sources.parquet"
        artifacts.write_table(table, pa.concat_tables(tables))
        about, sidecars = about_sources(set_name, knobs.codec, source_set), {table.name: artifacts.sha256_file(table)}
        artifacts.commit_manifest(folder, shards, plan.SOURCE_PATTERN, about, sidecars)


def _source_set(params: Params, name: str) -> SourceSet:
    folder = params.sets[name].folder
    return sources.source_set(
        name,
        params.sources,
        seed=params.seed,
        folder=None if folder is None else Path(folder),
        paths=params.run.paths,
        mapper=partial(engine(params.run).map, describe=f"choosing {name}"),
    )


if __name__ == "__main__":
    entry(run, "set")
