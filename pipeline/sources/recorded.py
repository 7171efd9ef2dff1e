"""A maker from what a manifest recorded of it: drawn images again, whatever the parameters are today."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.sources import makers, palettes
from pipeline.sources.listing import SourceError


def is_drawn(recipe: dict[str, Any]) -> bool:
    """Whether the images can be made again from their recipe (those of a user's folder cannot)."""
    return recipe.get("kind") in ("dead_leaves", "textured_dead_leaves", "photographs")


def recorded(
    recipe: dict[str, Any], *, count: int, palette_folder: Path | None = None, texture_folder: Path | None = None
) -> makers.Maker:
    """The maker of a drawn set of ``count`` images whose ``inputs(range(0))`` were ``recipe``.

    Folders of photographs and textures are named by whoever calls, and must hold what the recipe has the hashes of.
    ``SourceError`` where the recipe cannot be followed, and why.
    """
    if recipe.get("format") != makers.FORMAT:
        said = f"format {recipe.get('format')}, this version draws format {makers.FORMAT}"
        raise SourceError(f"sources: the recipe is of {said}")
    if recipe["kind"] == "photographs":
        return makers.photographs_maker()
    settings = {"alpha": 0.5, **recipe["settings"]}  # plain leaves have no alpha
    maker = makers.leaves_maker(
        textured=recipe["kind"] == "textured_dead_leaves",
        count=count,
        seed=recipe["seed"],
        palette_folder=palette_folder if recipe["palettes"] != _packaged() else None,
        texture_folder=texture_folder,
        **settings,
    )
    found = maker.inputs(range(0))
    for part, option in (("palettes", "--palettes"), ("textures", "--textures")):
        if found[part] != recipe[part]:
            raise SourceError(f"sources: the {part} are not those of the recipe; name their folder by {option}")
    if found != recipe:
        raise SourceError("sources: the recipe has settings that this version does not draw by")
    return maker


def _packaged() -> list[list[str]]:
    return [[photograph.name, photograph.sha256] for photograph in palettes.packaged()]
