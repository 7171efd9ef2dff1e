"""Whether what lies in shard folders is what their manifests say, byte for byte. Reads everything, changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.artifacts import MANIFEST, ArtifactError, ShardMeta, meta_path, read_meta, read_sealed, sha256_file


@dataclass(frozen=True)
class Check:
    """A shard to verify, or (without ``meta``) a manifest that can't be read and why."""

    path: Path
    meta: ShardMeta | None
    problem: str = ""


def checks(folder: Path) -> list[Check]:
    """Every shard of every manifest in ``folder`` and below; :class:`ArtifactError` if there is no manifest."""
    manifests = sorted(folder.rglob(MANIFEST))
    if not manifests:
        raise ArtifactError(f"{folder}: no {MANIFEST} here or below")
    return [check for manifest in manifests for check in _of_manifest(manifest)]


def problems(check: Check) -> list[str]:
    """What is wrong with a shard, its companions (sha256) and its record; each line begins with the file."""
    if check.meta is None:
        return [check.problem]
    found, wanted = [], {check.path.name: check.meta.sha256, **check.meta.companions}
    for name, digest in wanted.items():
        path = check.path.with_name(name)
        if not path.is_file():
            found.append(f"{path}: listed in the manifest and missing")
        elif sha256_file(path) != digest:
            size, said = path.stat().st_size, check.meta.bytes
            cut = f" ({size} bytes on disk, {said} in the manifest)" if path == check.path and size != said else ""
            found.append(f"{path}: damaged, its sha256 is not the manifest's{cut}")
    try:
        if read_meta(check.path) != check.meta:
            found.append(f"{meta_path(check.path)}: not what the manifest says of this shard")
    except ArtifactError as error:
        found.append(str(error))
    return found


def _of_manifest(manifest: Path) -> Iterator[Check]:
    try:
        entries = [ShardMeta(**entry) for entry in read_sealed(manifest)["shards"]]
    except ArtifactError as error:
        yield Check(manifest, None, str(error))
    except (KeyError, TypeError):
        yield Check(manifest, None, f"{manifest}: not a manifest of shards")
    else:
        yield from (Check(manifest.parent / meta.name, meta) for meta in entries)
