"""``synthetic-iqa verify``: check shards against their manifests, and samples against their recipes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.console import say


def verify(
    folders: Annotated[
        list[Path], typer.Argument(help="Folders of shards, or folders above them: every manifest.json below.")
    ],
    fraction: Annotated[
        float,
        typer.Option(min=0, max=1, help="Also make this random part of the samples again and compare the pixels."),
    ] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Seed for choosing samples.")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Processes, for --fraction.")] = 1,
    palettes: Annotated[Path | None, typer.Option(help="Photographs, if sets were drawn with a folder's.")] = None,
    textures: Annotated[Path | None, typer.Option(help="Textures, if sets were drawn with a folder's.")] = None,
) -> None:
    """Check every shard, the tables and the records against the manifest's sha256. Exit code 1 on damage."""
    from pipeline.engine import progress
    from pipeline.verify import checks, problems

    to_check = [check for folder in folders for check in checks(folder)]
    checked = progress(map(problems, to_check), total=len(to_check), describe="verify")
    damage = [line for lines in checked for line in lines]
    shards = [check.meta for check in to_check if check.meta]
    summary = f"{len(shards)} shards, {sum(shard.bytes for shard in shards) / 1e9:.2f} GB"
    if fraction and not damage:  # a damaged shard has no samples to compare with
        places = sorted({check.path.parent for check in to_check})
        count, damage = _remade(places, fraction, seed, workers, palettes, textures)
        summary += f", {count} samples made again"
    for line in damage:
        say(line)
    print(f"{summary}: {f'{len(damage)} problems' if damage else 'as the manifests say'}")
    if damage:
        raise typer.Exit(1)


def _remade(
    folders: list[Path], fraction: float, seed: int, workers: int, palettes: Path | None, textures: Path | None
) -> tuple[int, list[str]]:
    """How many samples were made again, and the lines about those that are wrong."""
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
    if workers > 1 and len(tasks) > 1:  # once here, or every worker compiles
        sources.compile_kernels()
        distortions.compile_kernels()
    engine = Engine("processes" if workers > 1 else "serial", workers)
    damage = [line for lines in engine.map(compared, tasks, describe="remake") for line in lines]
    return sum(len(task.rows) for task in tasks), damage
