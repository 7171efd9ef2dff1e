"""The database table: its columns, and the checks that every database passes before it becomes one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from pipeline import Refusal
from pipeline.artifacts import column
from pipeline.databases import equal_images
from pipeline.databases.manifest import Manifest
from pipeline.errors import printable

_NARROW = 0.05  # share of the declared range; the opinions of every shipped database take more than a quarter


class IngestError(Refusal, ValueError):
    """A database that is not whole; the message lists every kind of fault with the names of the images."""


DATABASE = pa.schema(
    [
        column("image_id", pa.string(), "the image's name in its database; unique"),
        column("path", pa.string(), "file, relative to the database's folder (a tar for images inside one)"),
        column("offset", pa.int64(), "first byte of an image inside a tar; null for a file of its own", nullable=True),
        column("bytes", pa.int64(), "length of an image inside a tar; null for a file of its own", nullable=True),
        column("sha256", pa.string(), "of the image's encoded bytes"),
        column("phash", pa.uint64(), "64-bit perceptual hash: near duplicates differ in few bits"),
        column("group", pa.string(), "images of one group are never on two sides of a split"),
        column(
            "reference_id", pa.string(), "image_id of the pristine reference; null where there is none", nullable=True
        ),
        column("is_reference", pa.bool_(), "a pristine reference: no opinion, never scored"),
        column("mos", pa.float64(), "mean opinion in the database's own units; null for references", nullable=True),
        column("mos_std", pa.float64(), "standard deviation of the opinions; null where not published", nullable=True),
        column("higher_is_better", pa.bool_(), "direction of mos"),
        column(
            "type", pa.int16(), "distortion type in the database's numbering; null where there is none", nullable=True
        ),
        column(
            "level", pa.int16(), "distortion level in the database's numbering; null where there is none", nullable=True
        ),
        column("official_split", pa.string(), "train, val, test or unused in the database's own split", nullable=True),
        column("stratum", pa.string(), "what correlations are also computed within", nullable=True),
        column(
            "short_side",
            pa.int32(),
            "the shorter side that the protocol resizes to before anything looks at the image; null: as it is",
            nullable=True,
        ),
        column("width", pa.int32(), "pixels of the upright image"),
        column("height", pa.int32(), "pixels of the upright image"),
        column("orientation", pa.int8(), "how the file is stored, EXIF's 1..8; 1: upright. Every reader undoes it"),
        column(
            "colour_profile",
            pa.string(),
            "the file's colour space where it is not sRGB, which every reader converts it to; null: sRGB, or not said",
            nullable=True,
        ),
    ]
)


def database_table(
    manifest: Manifest,
    rows: Sequence[dict[str, Any]],
    *,
    equals: Sequence[Sequence[dict[str, Any]]] = (),
    unscored: int = 0,
    notes: Sequence[str] = (),
) -> pa.Table:
    """The table of ``rows`` (one mapping an image, keys of :data:`DATABASE`), ordered by image_id.

    The groups of the ``equals`` (sets of rows of equal images) are tied. In the schema's metadata: the manifest's name,
    title, citation and note; the whole ``manifest`` as JSON, without what it leaves at its default; ``equal_images``, a
    JSON list of the sets' names; the number of ``unscored`` images; and ``notes``, a sentence a line, for people.

    The stages after ingest read range, protocol and splits from the manifest again. DVC knows the manifests of this
    project as their dependency and a user's ``database.yaml`` through this metadata alone.
    """
    said = list(notes)
    if equals:
        listed = _some([equal_images.names(equal) for equal in equals], 5)
        said.insert(0, f"{len(equals)} sets of equal images; the images of each share a group: {listed}")
    metadata = {
        "database": manifest.name,
        "title": manifest.title,
        "citation": manifest.citation,
        "note": manifest.note,
        "manifest": manifest.model_dump_json(exclude_defaults=True),
        "unscored": str(unscored),
        "equal_images": json.dumps([[row["image_id"] for row in equal] for equal in equals]),
        "notes": "\n".join(said),
    }
    ordered = sorted(equal_images.tied(rows, equals), key=lambda row: str(row["image_id"]))
    return pa.Table.from_pylist(ordered, schema=DATABASE).replace_schema_metadata(metadata)


def notes_of(table: pa.Table) -> list[str]:
    """What there is to know about a database beside its rows, a sentence each."""
    return str(table.schema.metadata.get(b"notes", b"").decode()).splitlines()


def about_opinions(manifest: Manifest, opinions: Sequence[float]) -> list[str]:
    """What is odd about the scale: all opinions equal, or far inside the declared range."""
    least, most = min(opinions), max(opinions)
    if len(opinions) > 1 and least == most:
        return [f"all {len(opinions)} opinions are {least:g}: no correlation with them is defined"]
    low, high = manifest.range
    if len(opinions) > 1 and most - least < _NARROW * (high - low):
        return [f"opinions run from {least:g} to {most:g}, far inside the declared range of {low:g} to {high:g}"]
    return []


def refuse(manifest: Manifest, faults: Mapping[str, Sequence[str]]) -> None:
    """Raise :class:`IngestError` if any list of ``faults`` (what is wrong -> names) is not empty."""
    lines = [f"{len(names)} {what}: {_some(names)}" for what, names in faults.items() if names]
    if lines:
        raise IngestError(f"{manifest.name}: " + "; ".join(lines))


def _some(names: Sequence[str], most: int = 20) -> str:
    listed = ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
    return printable(listed)
