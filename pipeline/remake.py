"""Any sample again, from what the manifest of its set records: no shard and no params.yaml is read.

Sources that were taken from a user's folder cannot be drawn; for those the shard with the source is read.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import distortions
from pipeline.artifacts import MANIFEST, ArtifactError, listed_shards, read_checksummed, read_table
from pipeline.labels import CLASSES, type_and_level
from pipeline.shards import plan
from pipeline.shards.distorted_shards import class_generator
from pipeline.shards.reader import ShardSet
from pipeline.shards.source_shards import pixel_sha256
from pipeline.shards.writer import versions
from pipeline.sources import rebuild
from pipeline.sources.dead_leaves.leaves_set import DeadLeavesSet
from pipeline.sources.photographs import PhotographSet

KEY = re.compile(r"(\d{6})(?:-(\d{3}))?")


@dataclass(frozen=True)
class Recipe:
    """What makes the images of a set: of its sources, and (``seed`` not None) of their 126 classes."""

    folder: Path  # whose manifest this is
    set_name: str
    count: int  # of sources
    drawn: str  # the sources' recipe, JSON
    stored: Path  # the folder of the source shards
    seed: int | None
    pristine: str
    differs: tuple[str, ...]  # libraries that have another version here
    palettes: Path | None = None
    textures: Path | None = None


def read(folder: Path, *, palettes: Path | None = None, textures: Path | None = None) -> Recipe:
    """The recipe of a folder of sources or of distorted samples; :class:`ArtifactError` if its manifest has none.

    ``palettes`` and ``textures`` are the folders that the sources were drawn with, where not the packaged ones.
    """
    manifest = read_checksummed(folder / MANIFEST)
    of_sources = "classes" not in manifest
    about = {"count": manifest["samples"], "recipe": manifest.get("recipe")} if of_sources else manifest.get("sources")
    if not isinstance(about, dict) or not isinstance(about.get("recipe"), dict):
        raise ArtifactError(f"{folder / MANIFEST}: records no recipe; rerun the stage that wrote it")
    if not of_sources and manifest["bank"] != distortions.fingerprint_parts():
        raise ArtifactError(f"{folder / MANIFEST}: made by another version of the distortions than this one")
    return Recipe(
        folder,
        str(manifest["set"]),
        int(about["count"]),
        json.dumps(about["recipe"], sort_keys=True),
        folder if of_sources else folder.parent.parent / "sources" / folder.name,
        None if of_sources else int(manifest["seed"]),
        "" if of_sources else str(manifest["pristine"]),
        _differences(manifest.get("libraries", {})),
        palettes,
        textures,
    )


def image(recipe: Recipe, key: str) -> np.ndarray:
    """The image of ``key``, uint8 H x W x 3: ``000123`` a source, ``000123-047`` a class of it.

    :class:`ArtifactError` for a key that the set cannot have, and for a source that cannot be drawn and is not there.
    """
    found = KEY.fullmatch(key)
    label = int(found[2]) if found and found[2] else None
    if not found or int(found[1]) >= recipe.count or (label or 0) >= CLASSES:
        last = plan.sample_key(recipe.count - 1, CLASSES - 1)
        raise ArtifactError(f"{recipe.folder}: no key {key}; there are 000000 to {last[:6]}, and 000000-000 to {last}")
    made = source(recipe, int(found[1]))
    if label is None:
        return made
    if recipe.seed is None:
        raise ArtifactError(f"{recipe.folder}: a set of sources has no classes; the distorted set has, or give a seed")
    if label == 0:
        return made if recipe.pristine == "raw" else distortions.pristine(made)
    child = class_generator(recipe.seed, recipe.set_name, int(found[1])).spawn(CLASSES)[label]
    return distortions.distort(made, *type_and_level(label), child)


def is_drawn(recipe: Recipe) -> bool:
    """Whether the sources are drawn again, rather than read."""
    return rebuild.is_drawn(_recipe(recipe.drawn))


def source(recipe: Recipe, number: int) -> np.ndarray:
    """Source ``number``, drawn from the recipe, or read where it came from a user's folder.

    One that has been taken anew since the set was distorted is an :class:`ArtifactError`: its classes are others.
    """
    if is_drawn(recipe):
        return _source_set(recipe).make(number)[0]
    try:
        made = _stored(recipe.stored).image(number)
    except (ArtifactError, OSError) as error:
        why = f"the sources of {recipe.set_name} came from a folder and are read from their shards ({error})"
        raise ArtifactError(f"{recipe.stored}: {why}") from None
    if recipe.folder != recipe.stored and pixel_sha256(made) != _distorted_from(recipe.folder).get(
        number, pixel_sha256(made)
    ):
        raise ArtifactError(f"{recipe.stored}: source {number} is another one than {recipe.folder} was made from")
    return made


@cache
def _recipe(text: str) -> dict[str, Any]:
    return dict(json.loads(text))


@cache
def _source_set(recipe: Recipe) -> DeadLeavesSet | PhotographSet:
    folders = {"palette_folder": recipe.palettes, "texture_folder": recipe.textures}
    return rebuild.rebuild(_recipe(recipe.drawn), count=recipe.count, **folders)


@cache
def _stored(folder: Path) -> ShardSet:
    return ShardSet(folder)


@cache
def _distorted_from(folder: Path) -> dict[int, str]:
    """sha256 of the pixels of each source that a distorted set was made from, by those of its tables that are there."""
    shards = listed_shards(read_checksummed(folder / MANIFEST), "")
    tables = [folder / name for shard in shards for name in shard.sidecars]
    found = {}
    for path in filter(Path.is_file, tables):
        table = read_table(path, ["source", "record"])
        for source, row in zip(*np.unique(table["source"].to_numpy(), return_index=True), strict=True):
            found[int(source)] = str(json.loads(table["record"][int(row)].as_py())["source_sha256"])
    return found


def _differences(then: dict[str, str]) -> tuple[str, ...]:
    """Libraries that touch pixels and have another version than when the set was made."""
    now: Any = versions()["libraries"]
    return tuple(f"{name} {then[name]} (here {now.get(name)})" for name in sorted(then) if now.get(name) != then[name])
