"""ingest@{database}: the table of a human-scored database (data/databases/{database}.parquet)."""

from __future__ import annotations

import sys

import pyarrow as pa

from pipeline import artifacts
from pipeline.databases import Manifest, ingest_folder, ingest_members, load_manifest, notes_of
from pipeline.errors import printable
from pipeline.params import Params
from pipeline.shards.reader import ShardSet
from stages import DATA, engine, entry


def run(params: Params, database: str) -> None:
    """Make a database's table from its images, or from its shards where the stages made it."""
    folder = params.database_folder(database)
    manifest = load_manifest(database, folder)
    if manifest.kind == "members":
        table = _from_shards(params, manifest, ShardSet(folder))
    else:
        table = ingest_folder(manifest, folder, engine=engine(params.run), max_pixels=params.ingest.max_pixels)
    artifacts.write_table(DATA / "databases" / f"{database}.parquet", table)
    for note in notes_of(table):
        print(printable(f"ingest {database}: {note}"), file=sys.stderr)


def _from_shards(params: Params, manifest: Manifest, shards: ShardSet) -> pa.Table:
    sources = ShardSet(DATA / "sources" / manifest.name).table
    names = dict(zip(sources["source"].to_pylist(), sources["id"].to_pylist(), strict=True))
    hashes = [artifacts.sha256_bytes(shards.read(row)) for row in range(len(shards))]
    samples = shards.table.append_column("sha256", pa.array(hashes))
    return ingest_members(manifest, samples, shards.folder, names=names, max_pixels=params.ingest.max_pixels)


if __name__ == "__main__":
    entry(run, "database")
