"""sources@{set}: the images of a set and their recipes, in shards (data/sources/{set}/)."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from pipeline import artifacts, sources
from pipeline.params import Params
from pipeline.shards import plan
from pipeline.shards.build import SourceTask, build_sources
from stages import DATA, LOCKS, engine, entry


def run(params: Params, set_name: str) -> None:
    """Draw or take the sources of a set."""
    knobs, folder = params.sources, (DATA / "sources" / set_name).resolve()
    maker = _maker(params, set_name)
    sources.compile_kernels()
    parts = {"set": set_name, "maker": maker.inputs()}
    tasks = [
        SourceTask(maker, block, folder, knobs.codec, parts) for block in plan.blocks(maker.count, knobs.per_shard)
    ]
    artifacts.require_space(folder, 3 * maker.count * knobs.size**2, f"{maker.count} sources of {set_name}")
    with artifacts.folder_lock(folder, LOCKS):
        shards = engine(params.run).map(build_sources, tasks, describe=f"sources {set_name}")
        tables = [artifacts.read_table(folder / name) for shard in shards for name in shard.companions]
        artifacts.write_table(folder / "sources.parquet", pa.concat_tables(tables))
        about = {"set": set_name, "codec": knobs.codec, "seed": params.seed}
        artifacts.commit_manifest(folder, shards, plan.SOURCE_PATTERN, about)


def _maker(params: Params, set_name: str) -> sources.Maker:
    knobs, paths = params.sources, params.run.paths
    return sources.maker(
        set_name,
        seed=params.seed,
        count=knobs.count,
        height=knobs.size,
        width=knobs.size,
        r_min=knobs.r_min,
        r_max=knobs.r_max,
        exponent=knobs.exponent,
        alpha=knobs.alpha,
        supersample=knobs.supersample,
        palette_folder=Path(paths.palettes).resolve() if knobs.palettes == "folder" and paths.palettes else None,
        texture_folder=Path(paths.textures).resolve() if knobs.textures == "folder" and paths.textures else None,
    )


if __name__ == "__main__":
    entry(run, "set")
