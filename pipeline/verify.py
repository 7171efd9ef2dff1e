"""Verification of shard folders: their files against the manifest, and the pixels of samples against their recipes.

Nothing is changed.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from pipeline import Refusal, remake
from pipeline.artifacts import (
    MANIFEST,
    ArtifactError,
    ShardMeta,
    listed_shards,
    listed_sidecars,
    meta_path,
    read_checksummed,
    read_meta,
    sha256_file,
)
from pipeline.seeding import generator
from pipeline.shards.reader import ShardSet


@dataclass(frozen=True)
class Check:
    """A file to verify: a shard if ``meta`` is given, else any file with its ``sha256``.

    ``problem`` says why a manifest cannot be read.
    """

    path: Path
    meta: ShardMeta | None = None
    sha256: str = ""
    problem: str = ""


def checks(folder: Path) -> list[Check]:
    """All that every manifest in ``folder`` and below lists; :class:`ArtifactError` if there is no manifest."""
    manifests = sorted(folder.rglob(MANIFEST))
    if not manifests:
        raise ArtifactError(f"{folder}: no {MANIFEST} here or below")
    return [check for manifest in manifests for check in _of_manifest(manifest)]


def problems(check: Check) -> list[str]:
    """What is wrong with a shard, its sidecars (sha256) and its record; each line begins with the file."""
    if check.problem:
        return [check.problem]
    if check.meta is None:
        return _damage(check.path, check.sha256)
    lines = _damage(check.path, check.meta.sha256, check.meta.bytes)
    for name, sha256 in check.meta.sidecars.items():
        lines += _damage(check.path.with_name(name), sha256)
    try:
        if read_meta(check.path) != check.meta:
            lines.append(f"{meta_path(check.path)}: not what the manifest says of this shard")
    except ArtifactError as error:
        lines.append(str(error))
    return lines


@dataclass(frozen=True)
class Remade:
    """Samples of one source to make again and compare. ``rows`` are those of the set in ``recipe.folder``."""

    recipe: remake.Recipe
    manifest_sha256: str
    rows: tuple[int, ...]


def chosen(recipe: remake.Recipe, fraction: float, seed: int) -> list[Remade]:
    """Tasks for :func:`compared`, one a source, of a random ``fraction`` (0..1) of the set's samples, rounded up."""
    shards = ShardSet(recipe.folder)
    count = math.ceil(fraction * len(shards))
    rows = generator(seed, "verify").permutation(len(shards))[:count]
    by_source = defaultdict(list)
    for row in sorted(rows.tolist()):
        by_source[int(shards.sources[row])].append(row)
    return [Remade(recipe, shards.fingerprint, tuple(rows)) for _, rows in sorted(by_source.items())]


def compared(task: Remade) -> list[str]:
    """A line for each sample that cannot be read or made, or whose pixels differ from what its recipe gives."""
    lines = []
    try:
        shards = _opened(task.recipe.folder, task.manifest_sha256)
        for row in task.rows:
            key = shards.key(row)
            if not np.array_equal(shards.image(row), remake.image(task.recipe, key)):
                because = f" (made with {', '.join(task.recipe.differs)})" if task.recipe.differs else ""
                lines.append(f"{task.recipe.folder}: sample {key} is not what its recipe gives{because}")
    except Refusal as error:
        lines.append(str(error))
    return lines


@cache
def _opened(folder: Path, manifest_sha256: str) -> ShardSet:
    """A set, opened once in each worker for each state of its folder."""
    return ShardSet(folder)


def _damage(path: Path, sha256: str, expected_bytes: int | None = None) -> list[str]:
    if not path.is_file():
        return [f"{path}: listed in the manifest and missing"]
    if sha256_file(path) == sha256:
        return []
    size = path.stat().st_size
    sizes = f" ({size} bytes on disk, {expected_bytes} in the manifest)" if expected_bytes not in (None, size) else ""
    return [f"{path}: damaged, its sha256 is not the manifest's{sizes}"]


def _of_manifest(manifest: Path) -> Iterator[Check]:
    try:
        content = read_checksummed(manifest)
        shards, sidecars = listed_shards(content, str(manifest)), listed_sidecars(content, str(manifest))
    except ArtifactError as error:
        yield Check(manifest, problem=str(error))
    else:
        yield from (Check(manifest.parent / meta.name, meta) for meta in shards)
        yield from (Check(manifest.parent / name, sha256=digest) for name, digest in sidecars.items())
