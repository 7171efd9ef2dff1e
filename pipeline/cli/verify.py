"""``synthetic-iqa verify``: check shards against their manifests, and samples against their recipes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def verify(
    folders: Annotated[
        list[Path], typer.Argument(help="Folders of shards, or folders above them: every manifest.json below.")
    ],
    fraction: Annotated[
        float, typer.Option(min=0, max=1, help="Also make this random part of the samples again; compare the pixels.")
    ] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Of the choice of samples.")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Processes, for --fraction.")] = 1,
    palettes: Annotated[Path | None, typer.Option(help="Photographs, if sets were drawn with a folder's.")] = None,
    textures: Annotated[Path | None, typer.Option(help="Textures, if sets were drawn with a folder's.")] = None,
) -> None:
    """Check every shard, the tables and the records against the manifest's sha256. Exit code 1 on damage."""
    from pipeline.engine import progress
    from pipeline.verify import checks, problems

    todo = [check for folder in folders for check in checks(folder)]
    damage = [text for found in progress(map(problems, todo), total=len(todo), describe="verify") for text in found]
    shards = [check.meta for check in todo if check.meta]
    said = f"{len(shards)} shards, {sum(shard.bytes for shard in shards) / 1e9:.2f} GB"
    if fraction and not damage:  # a damaged shard has nothing to compare with
        places = sorted({check.path.parent for check in todo})
        count, damage = _remade(places, fraction, seed, workers, palettes, textures)
        said += f", {count} samples made again"
    for text in damage:
        print(f"synthetic-iqa: {text}", file=sys.stderr)
    print(f"{said}: {f'{len(damage)} problems' if damage else 'as the manifests say'}")
    if damage:
        raise typer.Exit(1)


def _remade(
    folders: list[Path], fraction: float, seed: int, workers: int, palettes: Path | None, textures: Path | None
) -> tuple[int, list[str]]:
    """How many samples were made again, and what is wrong with them."""
    from pipeline import distortions, remake, sources
    from pipeline.engine import Engine
    from pipeline.verify import chosen, compared

    recipes = [remake.read(folder, palettes=palettes, textures=textures) for folder in folders]
    for recipe in recipes:
        if recipe.seed is None and not remake.is_drawn(recipe):
            print(f"{recipe.folder}: taken from a folder, nothing to make again", file=sys.stderr)
    tasks = [
        task
        for recipe in recipes
        if recipe.seed is not None or remake.is_drawn(recipe)
        for task in chosen(recipe, fraction, seed)
    ]
    if workers > 1 and len(tasks) > 1:  # once, or every worker compiles
        sources.compile_kernels()
        distortions.compile_kernels()
    engine = Engine("processes" if workers > 1 else "serial", workers)
    damage = [text for found in engine.map(compared, tasks, describe="remake") for text in found]
    return sum(len(task.rows) for task in tasks), damage
