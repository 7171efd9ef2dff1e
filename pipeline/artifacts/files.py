"""The commit protocol: a file under its final name is complete and says what it was made from.

A file is written under a temporary name, flushed to disk and renamed. A shard is followed by ``<name>.meta.json`` with
its fingerprint, size, sha256 and keys. When all shards of a folder are written, ``manifest.json`` lists them. Both
records contain a checksum of themselves. A rerun keeps a shard whose fingerprint, size and sha256 are right, builds the
others and removes files that no longer belong to the set.

Three keys of the records on disk keep their first names, because a renamed key would make every existing shard stale:
``seal`` is the checksum of a record, ``companions`` the sidecars, ``poisoned`` the sources that failed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.errors import Refusal

MANIFEST = "manifest.json"
PLAIN_NAME = r"[A-Za-z0-9_-][A-Za-z0-9._-]*"  # the names that a record may list: none leads out of its folder
TEMPORARY = r".+\.\d+\.tmp"  # full names of the files that a killed writer leaves behind
CHECKSUM, SIDECARS = "seal", "companions"  # their keys on disk


class ArtifactError(Refusal, RuntimeError):
    """A file is missing, damaged, locked or not what its record says; the message names it."""


@dataclass(frozen=True)
class ShardMeta:
    """The record of a shard, in ``<name>.meta.json`` and in the manifest.

    ``fingerprint`` covers everything that the shard was made from, ``sha256`` its bytes. ``sidecars`` maps the files
    that are written with the shard to their sha256. ``left_out`` maps the key of what could not be made to the reason.
    """

    name: str
    fingerprint: str
    bytes: int
    sha256: str
    samples: int
    first_key: str
    last_key: str
    sidecars: dict[str, str]
    left_out: dict[str, str]


_KEYS = {  # of a ShardMeta on disk, with their types
    "name": str,
    "fingerprint": str,
    "bytes": int,
    "sha256": str,
    "samples": int,
    "first_key": str,
    "last_key": str,
    SIDECARS: dict,
    "left_out": dict,
}


def fingerprint(parts: Mapping[str, object]) -> str:
    """sha256 (hex) of ``parts`` as canonical JSON: equal content gives equal fingerprints, in any order of the keys."""
    return sha256_bytes(json.dumps(parts, sort_keys=True, separators=(",", ":"), allow_nan=False).encode())


def sha256_bytes(data: bytes | memoryview) -> str:
    """sha256 of ``data``, in hex."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """sha256 of a file's content, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def temporary_beside(path: Path) -> Path:
    """A name beside ``path`` that no other writer on any machine uses; commit_manifest removes such files."""
    return path.with_name(f"{path.name}.{uuid.uuid4().int}.tmp")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success flush it to disk and rename it, on failure remove it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_beside(path)
    try:
        yield temporary
        _sync(temporary)
        os.replace(temporary, path)
        _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Write ``data`` under a temporary name, flush, rename."""
    with replacing(Path(path)) as temporary:
        temporary.write_bytes(data)


def write_json(path: Path, content: object) -> None:
    """Write JSON with sorted keys and a final newline; NaN and infinity are refused (``ValueError``)."""
    write_bytes(Path(path), (json.dumps(content, sort_keys=True, indent=2, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> Any:
    """The content of a JSON file; :class:`ArtifactError` names a file that is missing or broken."""
    try:
        return parsed_json(Path(path).read_bytes(), str(path))
    except FileNotFoundError:
        raise ArtifactError(f"{path}: missing") from None


def parsed_json(data: bytes, name: str) -> Any:
    """The content of JSON text; text that is not JSON is an :class:`ArtifactError` with ``name``."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:  # not UTF-8, not JSON, a number of 5,000 digits, a million brackets
        raise ArtifactError(f"{name}: broken JSON ({error})") from None


def write_checksummed(path: Path, content: dict[str, Any]) -> None:
    """Write a record as JSON with the fingerprint of its content under the key ``seal``."""
    write_json(path, {**content, CHECKSUM: fingerprint(content)})


def read_checksummed(path: Path) -> dict[str, Any]:
    """A record without its checksum, which must be right; else :class:`ArtifactError`, as after a flipped bit."""
    return verified(read_json(path), str(path))


def verified(content: Any, name: str) -> dict[str, Any]:
    """``content`` without its checksum, which must be right; else an :class:`ArtifactError` with ``name``."""
    with contextlib.suppress(ValueError):  # NaN is not JSON, but Python reads it
        if isinstance(content, dict) and content.pop(CHECKSUM, None) == fingerprint(content):
            return content
    raise ArtifactError(f"{name}: damaged or edited by hand (its checksum is wrong)")


class Written(NamedTuple):
    """The result of writing a shard: its sample keys, its sidecars (final name -> temporary path), its sha256 if the
    writer has computed it (else the file is read again), and the reasons for what it left out.
    """

    keys: Sequence[str]
    sidecars: Mapping[str, Path]
    sha256: str = ""
    left_out: Mapping[str, str] = {}


def commit_shard(path: Path, fingerprint: str, write: Callable[[Path], Written]) -> ShardMeta:
    """Write one shard by ``write(temporary path)``: first its sidecars, then the shard, then its record.

    Readers ignore a shard without its record.
    """
    meta_path(path).unlink(missing_ok=True)
    with replacing(path) as temporary:
        keys, sidecars, digest, left_out = Written(*write(temporary))
        try:
            if not keys:
                raise ArtifactError(f"{path}: a shard without samples")
            hashes = {name: sha256_file(written) for name, written in sidecars.items()}
            for name, written in sidecars.items():
                _sync(written)
                os.replace(written, path.with_name(name))
        finally:
            for written in sidecars.values():
                written.unlink(missing_ok=True)
        size, digest = temporary.stat().st_size, digest or sha256_file(temporary)
    meta = ShardMeta(path.name, fingerprint, size, digest, len(keys), keys[0], keys[-1], hashes, dict(left_out))
    write_checksummed(meta_path(path), _to_record(meta))
    return meta


def meta_path(shard: Path) -> Path:
    """The path of a shard's record."""
    return shard.with_name(shard.name + ".meta.json")


def read_meta(shard: Path) -> ShardMeta:
    """The record of a shard; :class:`ArtifactError` if it is missing or broken."""
    return _from_record(read_checksummed(meta_path(shard)), str(meta_path(shard)))


def is_current(shard: Path, fingerprint: str) -> bool:
    """Whether ``shard`` is complete and was made from what ``fingerprint`` covers. Computes its sha256 (1 GB/s)."""
    try:
        meta = read_meta(shard)
        files = {shard.name: meta.sha256, **meta.sidecars}.items()
        return meta.fingerprint == fingerprint and all(sha256_file(shard.with_name(n)) == digest for n, digest in files)
    except (ArtifactError, OSError):
        return False


def commit_manifest(
    folder: Path,
    shards: Sequence[ShardMeta],
    pattern: str,
    about: Mapping[str, object],
    sidecars: Mapping[str, str] | None = None,
) -> None:
    """Write the manifest after removing files that no shard lists: those of ``pattern`` and those of killed writers.

    ``pattern`` matches full file names. ``about`` is recorded beside the shards. ``sidecars`` maps files of the folder
    as a whole, already written, to their sha256.
    """
    keep = {MANIFEST}.union(*({shard.name, f"{shard.name}.meta.json", *shard.sidecars} for shard in shards))
    for path in sorted(folder.iterdir()):
        if path.name not in keep and re.fullmatch(f"{pattern}|{TEMPORARY}", path.name):
            path.unlink()
    content = {**about, "samples": sum(s.samples for s in shards), "bytes": sum(s.bytes for s in shards)}
    if sidecars is not None:
        content[SIDECARS] = dict(sidecars)
    write_checksummed(folder / MANIFEST, {**content, "shards": [_to_record(shard) for shard in shards]})


def read_manifest(folder: Path) -> tuple[dict[str, Any], list[ShardMeta]]:
    """A folder's manifest and its shards.

    The presence of all files, the size of the shards and the sha256 of the folder's sidecars are checked
    (:class:`ArtifactError`).
    """
    path = folder / MANIFEST
    content = read_checksummed(path)
    shards, sidecars = listed_shards(content, str(path)), listed_sidecars(content, str(path))
    for name in (*(name for shard in shards for name in (shard.name, *shard.sidecars)), *sidecars):
        if not (folder / name).is_file():
            raise ArtifactError(f"{folder / name}: listed in the manifest and missing")
    for shard in shards:
        path, size = folder / shard.name, (folder / shard.name).stat().st_size
        if size != shard.bytes:
            raise ArtifactError(f"{path}: {size} bytes on disk, {shard.bytes} in the manifest: cut or overwritten")
    for name, digest in sidecars.items():
        if sha256_file(folder / name) != digest:
            raise ArtifactError(f"{folder / name}: damaged (its sha256 is not the manifest's)")
    return content, shards


def listed_shards(content: dict[str, Any], name: str) -> list[ShardMeta]:
    """The shards that a manifest lists; :class:`ArtifactError` with ``name`` if it is not a manifest."""
    if not isinstance(content.get("shards"), list):
        raise ArtifactError(f"{name}: not a manifest")
    return [_from_record(entry, name) for entry in content["shards"]]


def listed_sidecars(content: dict[str, Any], name: str) -> dict[str, str]:
    """Name and sha256 of the folder's sidecars in a manifest; empty in older ones, until their stage is run again."""
    sidecars = content.get(SIDECARS, {})
    if not isinstance(sidecars, dict) or not all(re.fullmatch(PLAIN_NAME, file) for file in sidecars):
        raise ArtifactError(f"{name}: not a manifest (its companions are no plain file names)")
    return sidecars


def _to_record(meta: ShardMeta) -> dict[str, Any]:
    values = dict(vars(meta))
    return {key: values["sidecars" if key == SIDECARS else key] for key in _KEYS}


def _from_record(entry: Any, name: str) -> ShardMeta:
    if not isinstance(entry, dict) or set(entry) != set(_KEYS):
        raise ArtifactError(f"{name}: not a shard's record (expected the keys {', '.join(sorted(_KEYS))})")
    for key in sorted(set(_KEYS) - {"name"}):
        if type(entry[key]) is not _KEYS[key]:
            wanted = _KEYS[key].__name__
            raise ArtifactError(f"{name}: the record of {entry['name']!r} is refused ({key} is no {wanted})")
    for file in (entry["name"], *entry[SIDECARS]):
        if not isinstance(file, str) or not re.fullmatch(PLAIN_NAME, file):
            raise ArtifactError(f"{name}: the record of {entry['name']!r} is refused ({file!r} is no plain file name)")
    return ShardMeta(**{"sidecars" if key == SIDECARS else key: value for key, value in entry.items()})


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
