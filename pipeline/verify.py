"""Whether what lies in shard folders is what their manifests say, byte for byte; and whether the pixels of a sample are
what its recipe gives. Changes nothing.
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
    """A shard to verify; without ``meta`` another file, by its sha256, or a manifest that can't be read and why."""

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
    found = _damage(check.path, check.meta.sha256, check.meta.bytes)
    for name, digest in check.meta.sidecars.items():
        found += _damage(check.path.with_name(name), digest)
    try:
        if read_meta(check.path) != check.meta:
            found.append(f"{meta_path(check.path)}: not what the manifest says of this shard")
    except ArtifactError as error:
        found.append(str(error))
    return found


@dataclass(frozen=True)
class Remade:
    """Samples of one source to make again and compare: rows of the set in ``recipe.folder``."""

    recipe: remake.Recipe
    state: str  # the set's fingerprint: a worker opens each state of the folder once
    rows: tuple[int, ...]


def chosen(recipe: remake.Recipe, fraction: float, seed: int) -> list[Remade]:
    """A random ``fraction`` (0..1) of the set's samples, rounded up, by source: a task for :func:`compared` each."""
    shards = ShardSet(recipe.folder)
    count = math.ceil(fraction * len(shards))
    rows = generator(seed, "verify").permutation(len(shards))[:count]
    by_source = defaultdict(list)
    for row in sorted(rows.tolist()):
        by_source[int(shards.sources[row])].append(row)
    return [Remade(recipe, shards.fingerprint, tuple(rows)) for _, rows in sorted(by_source.items())]


def compared(task: Remade) -> list[str]:
    """A line for each sample whose pixels in the shard are not what its recipe gives, or that cannot be had."""
    found = []
    try:
        shards = _opened(task.recipe.folder, task.state)
        for row in task.rows:
            key = shards.keys[row]
            if not np.array_equal(shards.image(row), remake.image(task.recipe, key)):
                because = f" (made with {', '.join(task.recipe.differs)})" if task.recipe.differs else ""
                found.append(f"{task.recipe.folder}: sample {key} is not what its recipe gives{because}")
    except Refusal as error:
        found.append(str(error))
    return found


@cache
def _opened(folder: Path, state: str) -> ShardSet:
    return ShardSet(folder)


def _damage(path: Path, sha256: str, said: int | None = None) -> list[str]:
    if not path.is_file():
        return [f"{path}: listed in the manifest and missing"]
    if sha256_file(path) == sha256:
        return []
    size = path.stat().st_size
    cut = "" if said in (None, size) else f" ({size} bytes on disk, {said} in the manifest)"
    return [f"{path}: damaged, its sha256 is not the manifest's{cut}"]


def _of_manifest(manifest: Path) -> Iterator[Check]:
    try:
        content = read_checksummed(manifest)
        shards, sidecars = listed_shards(content, str(manifest)), listed_sidecars(content, str(manifest))
    except ArtifactError as error:
        yield Check(manifest, problem=str(error))
    else:
        yield from (Check(manifest.parent / meta.name, meta) for meta in shards)
        yield from (Check(manifest.parent / name, sha256=digest) for name, digest in sidecars.items())
