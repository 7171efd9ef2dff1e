"""sources@{set}: the images of a set and their recipes, in shards (data/sources/{set}/)."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pyarrow as pa

from pipeline import artifacts, folders, sources
from pipeline.params import Params
from pipeline.shards import plan
from pipeline.shards.build import SourceTask, about_sources, build_sources
from pipeline.sources.metadata import PostRules
from pipeline.sources.vetting import ImageRules
from stages import DATA, LOCKS, engine, entry

DRAWN = {"count", "r_min", "r_max", "exponent", "alpha", "shape", "supersample"}


def run(params: Params, set_name: str) -> None:
    """Draw or take the sources of a set."""
    knobs, folder = params.sources, (DATA / "sources" / set_name).resolve()
    maker = _maker(params, set_name)
    sources.compile_kernels()
    blocks = plan.blocks(maker.count, knobs.per_shard)
    parts: list[dict[str, object]] = [{"set": set_name, "maker": maker.inputs(block.sources)} for block in blocks]
    tasks = [SourceTask(maker, block, folder, knobs.codec, part) for block, part in zip(blocks, parts, strict=True)]
    folders.require_space(folder, 3 * maker.count * knobs.size**2, f"the sources of {set_name}")
    with folders.folder_lock(folder, LOCKS):
        shards = engine(params.run).map(build_sources, tasks, describe=f"sources {set_name}")
        tables = [artifacts.read_table(folder / name) for shard in shards for name in shard.companions]
        table = folder / "sources.parquet"
        artifacts.write_table(table, pa.concat_tables(tables))
        about = about_sources(set_name, knobs.codec, maker) | {"companions": {table.name: artifacts.sha256_file(table)}}
        artifacts.commit_manifest(folder, shards, plan.SOURCE_PATTERN, about)


def _path(path: str | None) -> Path | None:
    return Path(path).resolve() if path else None


def _maker(params: Params, set_name: str) -> sources.Maker:
    knobs, paths, posts = params.sources, params.run.paths, params.sources.posts.model_dump()
    return sources.maker(
        set_name,
        seed=params.seed,
        **knobs.model_dump(include=DRAWN) | {"height": knobs.size, "width": knobs.size},
        palette_folder=_path(paths.palettes) if knobs.palettes == "folder" else None,
        texture_folder=_path(paths.textures) if knobs.textures == "folder" else None,
        folder=_path(paths.sets.get(set_name)),
        image_rules=ImageRules(**knobs.folder.model_dump()),
        post_rules=PostRules(tuple(map(Path, paths.metadata)), exclude_ids=_path(paths.exclude_ids), **posts),
        mapper=partial(engine(params.run).map, describe=f"choosing {set_name}"),
    )


if __name__ == "__main__":
    entry(run, "set")
