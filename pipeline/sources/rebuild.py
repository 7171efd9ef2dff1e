"""A drawn set, made again from the recipe in its manifest instead of today's parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.sources import palettes, photographs
from pipeline.sources.dead_leaves.leaves_set import FORMAT, DeadLeavesSet, LeavesSettings
from pipeline.sources.errors import SourceError


def is_drawn(recipe: dict[str, Any]) -> bool:
    """Whether the images can be made again from their recipe (those of a user's folder cannot)."""
    return recipe.get("kind") in ("dead_leaves", "textured_dead_leaves", "photographs")


def rebuild(
    recipe: dict[str, Any], *, count: int, palette_folder: Path | None = None, texture_folder: Path | None = None
) -> DeadLeavesSet | photographs.PhotographSet:
    """The drawn set of ``count`` images whose ``inputs(range(0))`` were ``recipe``.

    The caller names the folders of photographs and textures; they must hold files with the recipe's hashes.
    ``SourceError`` says why a recipe cannot be followed.
    """
    if recipe.get("format") != FORMAT:
        raise SourceError(
            f"sources: the recipe is of format {recipe.get('format')}, this version draws format {FORMAT}"
        )
    if recipe["kind"] == "photographs":
        return photographs.photos()
    settings = LeavesSettings(**{"alpha": 0.5, **recipe["settings"]})  # plain leaves record no alpha
    colours = None if recipe["palettes"] == "drawn" else _photographs(recipe["palettes"], palette_folder)
    textures = None if recipe["kind"] == "dead_leaves" else texture_folder or "embedded"
    rebuilt = DeadLeavesSet(count, recipe["seed"], settings, colours, textures)
    inputs = rebuilt.inputs(range(0))
    for part, option in (("palettes", "--palettes"), ("textures", "--textures")):
        if inputs[part] != recipe[part]:
            raise SourceError(f"sources: the {part} are not those of the recipe; name their folder by {option}")
    if inputs != recipe:
        raise SourceError("sources: the recipe has settings that this version does not draw by")
    return rebuilt


def _photographs(recorded: list[list[str]], folder: Path | None) -> tuple[photographs.Photograph, ...]:
    embedded = palettes.embedded()
    if folder is None or recorded == [[photograph.name, photograph.sha256] for photograph in embedded]:
        return embedded
    return palettes.folder(folder)
