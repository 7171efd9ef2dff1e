"""The embedded database: images inside tar shards, scored with the published mean opinion of their distortion class."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline import images
from pipeline.databases.equal_images import equal_sets
from pipeline.databases.inspection import Inspected, Piece, inspect
from pipeline.databases.manifest import Manifest
from pipeline.databases.table import IngestError, database_table, refuse
from pipeline.engine import Engine
from pipeline.labels import CLASSES

COLUMNS = ("key", "label", "source", "type", "level", "shard", "offset", "bytes", "sha256")


def class_means(name: str = "kadid_class_means.csv") -> dict[tuple[int, int], tuple[float, float]]:
    """(type, level) -> (mean opinion, standard deviation over contents), from ``manifests/``."""
    text = (files("manifests") / name).read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines())
    return {(int(row["type"]), int(row["level"])): (float(row["mean_dmos"]), float(row["std_dmos"])) for row in rows}


def ingest_members(
    manifest: Manifest,
    samples: pa.Table,
    folder: Path,
    *,
    names: Mapping[int, str] | None = None,
    engine: Engine | None = None,
    max_pixels: int = images.MAX_PIXELS,
) -> pa.Table:
    """The database table of shard members in ``folder``.

    ``samples`` has one row an image (columns :data:`COLUMNS`; label 0 is its source's reference); ``names`` gives the
    sources' names, else they are numbers. Composites have no published mean and are left out. Raises
    :class:`IngestError` naming missing references, members whose bytes differ from their sha256, undecodable ones, and
    classes without a published mean.
    """
    lacking = [column for column in COLUMNS if column not in samples.column_names]
    if lacking or not len(samples):
        raise IngestError(f"{manifest.name}: {len(samples)} samples, columns lacking: {', '.join(lacking) or 'none'}")
    rows = [row for row in samples.select(COLUMNS).to_pylist() if row["label"] < CLASSES]
    refuse(manifest, {"keys that occur twice": sorted(k for k, n in Counter(r["key"] for r in rows).items() if n > 1)})
    pieces = [Piece(r["key"], str(Path(folder) / r["shard"]), r["offset"], r["bytes"]) for r in rows]
    inspected = inspect(pieces, engine or Engine(), max_pixels)
    means = class_means(str(manifest.class_means))
    references = {row["source"]: row["key"] for row in rows if row["label"] == 0}
    orphans = sorted({row["source"] for row in rows} - set(references))
    unknown = [row for row in rows if row["label"] and (row["type"], row["level"]) not in means]
    changed = [row["key"] for row in rows if inspected[row["key"]].sha256 not in ("", row["sha256"])]
    refuse(
        manifest,
        {
            "classes without a published mean": [f"{r['key']} (type {r['type']}, level {r['level']})" for r in unknown],
            "sources without a pristine image": [f"{source:06d}" for source in orphans],
            "members that can't be decoded": [
                f"{key} ({image.fault})" for key, image in inspected.items() if image.fault
            ],
            "members whose bytes changed": changed,
        },
    )
    table = [_row(manifest, row, inspected[row["key"]], references, names or {}, means) for row in rows]
    pixels = {row["key"]: inspected[row["key"]].pixels_sha256 for row in rows}
    # four classes equal the pristine image by construction: only what ties two sources is worth a word
    equals = [equal for equal in equal_sets(table, pixels) if len({row["group"] for row in equal}) > 1]
    return database_table(manifest, table, equals=equals)


def _row(
    manifest: Manifest,
    row: Mapping[str, Any],
    image: Inspected,
    references: Mapping[int, str],
    names: Mapping[int, str],
    means: Mapping[tuple[int, int], tuple[float, float]],
) -> dict[str, Any]:
    scored = row["label"] != 0
    mean, deviation = means[row["type"], row["level"]] if scored else (None, None)
    return {
        "image_id": row["key"],
        "path": row["shard"],
        "offset": row["offset"],
        "bytes": row["bytes"],
        **image.columns(),
        "group": names.get(row["source"], f"{row['source']:06d}"),
        "reference_id": references[row["source"]] if scored else None,
        "is_reference": not scored,
        "mos": mean,
        "mos_std": deviation,
        "higher_is_better": manifest.higher_is_better,
        "type": row["type"] if scored else None,
        "level": row["level"] if scored else None,
        "stratum": f"{row['type']:02d}" if scored and manifest.stratum == "type" else None,
    }
