"""Making any sample again from what the manifest of its set records, without its shard and without params.yaml.

Sources that were taken from a user's folder cannot be drawn; they are read from the shards of the source set.
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
from pipeline.labels import CLASSES, PRISTINE, type_and_level
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
    """What makes the images of a set: its sources and, if ``seed`` is given, their classes and composites."""

    folder: Path  # of the manifest
    set_name: str
    count: int  # of sources
    drawn: str  # the sources' recipe, JSON
    stored: Path  # the folder of the source shards
    seed: int | None
    pristine: str
    differs: tuple[str, ...]  # libraries that have another version here
    composites: tuple[distortions.Recipe, ...] = ()
    palettes: Path | None = None
    textures: Path | None = None


def read(folder: Path, *, palettes: Path | None = None, textures: Path | None = None) -> Recipe:
    """The recipe of a folder of sources or of distorted samples; :class:`ArtifactError` if its manifest has none.

    ``palettes`` and ``textures`` are the folders that the sources were drawn with, where not the packaged ones.
    """
    manifest = read_checksummed(folder / MANIFEST)
    of_sources = "classes" not in manifest
    own = {"count": manifest["samples"], "recipe": manifest.get("recipe")}
    drawn = own if of_sources else manifest.get("sources")
    if not isinstance(drawn, dict) or not isinstance(drawn.get("recipe"), dict):
        raise ArtifactError(f"{folder / MANIFEST}: records no recipe; rerun the stage that wrote it")
    if not of_sources and manifest["bank"] != distortions.fingerprint_parts():
        raise ArtifactError(f"{folder / MANIFEST}: made by another version of the distortions than this one")
    return Recipe(
        folder,
        str(manifest["set"]),
        int(drawn["count"]),
        json.dumps(drawn["recipe"], sort_keys=True),
        folder if of_sources else folder.parent.parent / "sources" / folder.name,
        None if of_sources else int(manifest["seed"]),
        "" if of_sources else str(manifest["pristine"]),
        _differences(manifest.get("libraries", {})),
        tuple(tuple((kind, level) for kind, level in recipe) for recipe in manifest.get("composites", ())),
        palettes,
        textures,
    )


def image(recipe: Recipe, key: str) -> np.ndarray:
    """The image of ``key``, uint8 H x W x 3: ``000123`` a source, ``000123-047`` a class of it.

    :class:`ArtifactError` for a key that the set cannot have, and for a source that cannot be drawn and is not there.
    """
    match = KEY.fullmatch(key)
    label, classes = int(match[2]) if match and match[2] else None, CLASSES + len(recipe.composites)
    if not match or int(match[1]) >= recipe.count or (label or 0) >= classes:
        last = plan.sample_key(recipe.count - 1, classes - 1)
        raise ArtifactError(f"{recipe.folder}: no key {key}; there are 000000 to {last[:6]}, and 000000-000 to {last}")
    number = int(match[1])
    drawn = source(recipe, number)
    if label is None:
        return drawn
    if recipe.seed is None:
        raise ArtifactError(f"{recipe.folder}: a set of sources has no classes; the distorted set has, or give a seed")
    if label == PRISTINE:
        return drawn if recipe.pristine == "raw" else distortions.pristine(drawn)
    child = class_generator(recipe.seed, recipe.set_name, number).spawn(label + 1)[label]
    if label >= CLASSES:
        return distortions.compose(drawn, recipe.composites[label - CLASSES], child)[0]
    return distortions.distort(drawn, *type_and_level(label), child)


def is_drawn(recipe: Recipe) -> bool:
    """Whether the sources are drawn again, not read."""
    return rebuild.is_drawn(_recipe(recipe.drawn))


def source(recipe: Recipe, number: int) -> np.ndarray:
    """Source ``number``, drawn from the recipe, or read where it came from a user's folder.

    :class:`ArtifactError` for a source that was replaced after the set was distorted: its classes would be others.
    """
    if is_drawn(recipe):
        return _source_set(recipe).make(number)[0]
    try:
        stored = _stored(recipe.stored).image(number)
    except (ArtifactError, OSError) as error:
        why = f"the sources of {recipe.set_name} came from a folder and are read from their shards ({error})"
        raise ArtifactError(f"{recipe.stored}: {why}") from None
    sha256 = pixel_sha256(stored)
    if recipe.folder != recipe.stored and _distorted_from(recipe.folder).get(number, sha256) != sha256:
        raise ArtifactError(f"{recipe.stored}: source {number} is another one than {recipe.folder} was made from")
    return stored


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
    """The sha256 of each source's pixels when the set was distorted, from those of its sample tables that exist."""
    shards = listed_shards(read_checksummed(folder / MANIFEST), "")
    hashes = {}
    for path in (folder / name for shard in shards for name in shard.sidecars):
        if path.is_file():
            table = read_table(path, ["source", "record"])
            for number, row in zip(*np.unique(table["source"].to_numpy(), return_index=True), strict=True):
                hashes[int(number)] = str(json.loads(table["record"][int(row)].as_py())["source_sha256"])
    return hashes


def _differences(then: dict[str, str]) -> tuple[str, ...]:
    """Libraries that touch pixels and have another version here than when the set was made."""
    now: Any = versions()["libraries"]
    return tuple(f"{name} {then[name]} (here {now.get(name)})" for name in sorted(then) if now.get(name) != then[name])
