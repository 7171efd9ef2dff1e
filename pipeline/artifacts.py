"""The commit protocol, written once: what is under its final name is whole, and says what it was made from.

A file is written under a temporary name, flushed to disk and renamed. A shard is followed by ``<name>.meta.json``
with its fingerprint, size, sha256 and keys; when all shards of a folder are there, ``manifest.json`` lists them. Both
records carry a seal, the sha256 of what they say. A rerun keeps what has the right fingerprint, size and hash, rebuilds
the rest, and removes what is surplus.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline import Refusal

if TYPE_CHECKING:
    import pyarrow as pa

ROW_GROUP = 1024  # rows: a reader of one image touches one group, 16 MiB of 4,096-number features
MANIFEST = "manifest.json"
PLAIN_NAME = r"[A-Za-z0-9_-][A-Za-z0-9._-]*"  # of what a record may name: nothing that leads out of its folder
TEMPORARY = r".+\.\d+\.tmp"  # whole names of what a killed writer leaves behind


class ArtifactError(Refusal, RuntimeError):
    """A file that is missing, damaged, locked or not what its record says; the message names it."""


@dataclass(frozen=True)
class ShardMeta:
    """The record beside a shard (``<name>.meta.json``): ``companions`` maps files written with it to their sha256,
    ``left_out`` what should have been in it and could not be made to the reason (if a stage may go on without).
    """

    name: str
    fingerprint: str
    bytes: int
    sha256: str
    samples: int
    first_key: str
    last_key: str
    companions: dict[str, str]
    left_out: dict[str, str]


def fingerprint(parts: Mapping[str, object]) -> str:
    """sha256 (hex) of ``parts`` as canonical JSON: equal content, equal fingerprint, whatever the order of the keys."""
    return sha256_bytes(json.dumps(parts, sort_keys=True, separators=(",", ":"), allow_nan=False).encode())


def sha256_bytes(data: bytes | memoryview) -> str:
    """sha256 of ``data``, in hex."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """sha256 of a file's content, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def temporary_beside(path: Path) -> Path:
    """A name beside ``path`` that no other writer has, on whatever machine; commit_manifest sweeps up what is left."""
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
    """The content of JSON text; whatever is wrong with it is an :class:`ArtifactError` with ``name``."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:  # not UTF-8, not JSON, a number of 5,000 digits, a million brackets
        raise ArtifactError(f"{name}: broken JSON ({error})") from None


def write_sealed(path: Path, content: dict[str, Any]) -> None:
    """Write a record as JSON with its ``seal``, the fingerprint of all the rest."""
    write_json(path, {**content, "seal": fingerprint(content)})


def read_sealed(path: Path) -> dict[str, Any]:
    """A record without its seal; one that does not fit, as after a flipped bit, is an :class:`ArtifactError`."""
    return unsealed(read_json(path), str(path))


def unsealed(content: Any, name: str) -> dict[str, Any]:
    """``content`` without its seal, which must fit; else an :class:`ArtifactError` with ``name``."""
    with contextlib.suppress(ValueError):  # of NaN, which is no JSON and which Python reads
        if isinstance(content, dict) and content.pop("seal", None) == fingerprint(content):
            return content
    raise ArtifactError(f"{name}: damaged or written by hand (its seal does not fit)")


def write_table(path: Path, table: pa.Table, *, byte_stream_split: Sequence[str] = ()) -> None:
    """Write a Parquet table: zstd, row groups of 1,024, no timestamps, so that equal content is equal bytes.

    ``byte_stream_split`` names float columns (a list column by its own name): 7 % smaller and twice as quick to read
    as plain zstd on 4,096 float32 a row.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    lists = {one.name for one in table.schema if pa.types.is_fixed_size_list(one.type) or pa.types.is_list(one.type)}
    leaves = {name: f"{name}.list.element" if name in lists else name for name in table.column_names}
    split = [leaf for name, leaf in leaves.items() if name in byte_stream_split]
    plain = [leaf for name, leaf in leaves.items() if name not in byte_stream_split]
    with replacing(Path(path)) as temporary:
        pq.write_table(
            table.combine_chunks(),  # pages end where chunks do: they would tell how the table was put together
            temporary,
            compression="zstd",
            row_group_size=ROW_GROUP,
            use_dictionary=plain if split else True,
            use_byte_stream_split=split or False,
            write_page_checksum=True,
        )


def column(name: str, kind: pa.DataType, about: str, *, nullable: bool = False) -> pa.Field:
    """A column of a table with its description, from which docs/tables.md is written."""
    import pyarrow as pa

    return pa.field(name, kind, nullable=nullable, metadata={"description": about})


def read_table(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """A Parquet table, or some of its columns; :class:`ArtifactError` names a file that is missing or broken."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            absent = set(columns or ()) - set(file.schema_arrow.names)
            if absent:  # Parquet's reader would leave them out
                raise ArtifactError(f"{path}: no column {', '.join(sorted(absent))}")
            return file.read(columns=list(columns) if columns else None)
    except FileNotFoundError:
        raise ArtifactError(f"{path}: missing") from None
    except (pa.ArrowException, OSError) as error:
        raise ArtifactError(f"{path}: not a readable Parquet table ({error})") from None


class Written(NamedTuple):
    """What a shard's writer says of it: sample keys, companion files (final name -> temporary path), the sha256 of the
    shard where the writer has taken it on the way (else the file is read again), and what it had to leave out, and why.
    """

    keys: Sequence[str]
    companions: Mapping[str, Path]
    sha256: str = ""
    left_out: Mapping[str, str] = {}


def commit_shard(path: Path, fingerprint: str, write: Callable[[Path], Written]) -> ShardMeta:
    """Write one shard by ``write(temporary path)``, its companions before it; without its record it is not there."""
    meta_path(path).unlink(missing_ok=True)
    with replacing(path) as temporary:
        keys, companions, digest, left_out = Written(*write(temporary))
        try:
            if not keys:
                raise ArtifactError(f"{path}: a shard without samples")
            hashes = {name: sha256_file(written) for name, written in companions.items()}
            for name, written in companions.items():
                os.replace(written, path.with_name(name))
        finally:
            for written in companions.values():
                written.unlink(missing_ok=True)
        size, digest = temporary.stat().st_size, digest or sha256_file(temporary)
    meta = ShardMeta(path.name, fingerprint, size, digest, len(keys), keys[0], keys[-1], hashes, dict(left_out))
    write_sealed(meta_path(path), asdict(meta))
    return meta


def meta_path(shard: Path) -> Path:
    """Where the record of ``shard`` lies."""
    return shard.with_name(shard.name + ".meta.json")


def read_meta(shard: Path) -> ShardMeta:
    """The record of a shard; :class:`ArtifactError` if it is missing or broken."""
    return _meta(read_sealed(meta_path(shard)), str(meta_path(shard)))


def is_current(shard: Path, fingerprint: str) -> bool:
    """Whether ``shard`` is whole and was made from what ``fingerprint`` stands for (its sha256 is computed: 1 GB/s)."""
    try:
        meta = read_meta(shard)
        files = {shard.name: meta.sha256, **meta.companions}.items()
        return meta.fingerprint == fingerprint and all(sha256_file(shard.with_name(n)) == digest for n, digest in files)
    except (ArtifactError, OSError):
        return False


def commit_manifest(folder: Path, shards: Sequence[ShardMeta], pattern: str, about: Mapping[str, object]) -> None:
    """Remove surplus files of ``pattern`` (of whole names) and what killed writers left, then write the manifest, in
    which ``about`` may name ``companions`` of the whole folder, already written, and their sha256.
    """
    keep = {MANIFEST}.union(*({shard.name, f"{shard.name}.meta.json", *shard.companions} for shard in shards))
    for path in sorted(folder.iterdir()):
        if path.name not in keep and re.fullmatch(f"{pattern}|{TEMPORARY}", path.name):
            path.unlink()
    content = {**about, "samples": sum(s.samples for s in shards), "bytes": sum(s.bytes for s in shards)}
    write_sealed(folder / MANIFEST, {**content, "shards": [asdict(shard) for shard in shards]})


def read_manifest(folder: Path) -> tuple[dict[str, Any], list[ShardMeta]]:
    """A folder's manifest and its shards, with presence, size and companions checked (:class:`ArtifactError`)."""
    path = folder / MANIFEST
    content = read_sealed(path)
    shards, companions = listed_shards(content, str(path)), listed_companions(content, str(path))
    for name in (*(name for shard in shards for name in (shard.name, *shard.companions)), *companions):
        if not (folder / name).is_file():
            raise ArtifactError(f"{folder / name}: listed in the manifest and missing")
    for shard in shards:
        path, size = folder / shard.name, (folder / shard.name).stat().st_size
        if size != shard.bytes:
            raise ArtifactError(f"{path}: {size} bytes on disk, {shard.bytes} in the manifest: cut or overwritten")
    for name, digest in companions.items():
        if sha256_file(folder / name) != digest:
            raise ArtifactError(f"{folder / name}: damaged (its sha256 is not the manifest's)")
    return content, shards


def listed_shards(content: dict[str, Any], name: str) -> list[ShardMeta]:
    """The shards that a manifest lists; :class:`ArtifactError` with ``name`` if it is none."""
    if not isinstance(content.get("shards"), list):
        raise ArtifactError(f"{name}: not a manifest")
    return [_meta(entry, name) for entry in content["shards"]]


def listed_companions(content: dict[str, Any], name: str) -> dict[str, str]:
    """Name and sha256 of what a manifest lists beside shards: nothing in an older one, until its stage is run again."""
    companions = content.get("companions", {})
    if not isinstance(companions, dict) or not all(re.fullmatch(PLAIN_NAME, file) for file in companions):
        raise ArtifactError(f"{name}: not a manifest (its companions are no plain file names)")
    return companions


def _meta(entry: Any, name: str) -> ShardMeta:
    expected = {field.name for field in fields(ShardMeta)}
    if not isinstance(entry, dict) or set(entry) != expected:
        raise ArtifactError(f"{name}: not a shard's record (expected the keys {', '.join(sorted(expected))})")
    for key in sorted(expected - {"name"}):
        kind = {"bytes": int, "samples": int, "companions": dict, "left_out": dict}.get(key, str)
        if type(entry[key]) is not kind:
            raise ArtifactError(f"{name}: the record of {entry['name']!r} is refused ({key} is no {kind.__name__})")
    for file in (entry["name"], *entry["companions"]):
        if not isinstance(file, str) or not re.fullmatch(PLAIN_NAME, file):
            raise ArtifactError(f"{name}: the record of {entry['name']!r} is refused ({file!r} is no plain file name)")
    return ShardMeta(**entry)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
