"""The database table: its columns, and the checks that every database passes before it becomes one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import pyarrow as pa

from pipeline import Refusal
from pipeline.artifacts import column
from pipeline.databases.manifest import Manifest


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
        column("width", pa.int32(), "pixels of the file"),
        column("height", pa.int32(), "pixels of the file"),
    ]
)


def database_table(manifest: Manifest, rows: Sequence[Mapping[str, object]], *, unscored: int = 0) -> pa.Table:
    """The table of ``rows`` (one mapping an image, keys of :data:`DATABASE`), ordered by image_id, with the manifest's
    name, title, citation and note, and the number of images that it declares to have no score, in its schema metadata.
    """
    about = {"database": manifest.name, "title": manifest.title, "citation": manifest.citation, "note": manifest.note}
    about["unscored"] = str(unscored)
    ordered = sorted(rows, key=lambda row: str(row["image_id"]))
    return pa.Table.from_pylist(list(ordered), schema=DATABASE).replace_schema_metadata(about)


def duplicates(manifest: Manifest, rows: Iterable[Mapping[str, object]]) -> list[str]:
    """Images of equal bytes, as ``a = b``. With ``duplicates: within_group`` only those of different groups: equal
    images on two sides of a split leak, equal ones on one side do not.
    """
    same: dict[str, list[Mapping[str, object]]] = defaultdict(list)
    for row in rows:
        same[str(row["sha256"])].append(row)
    found = [equal for equal in same.values() if len(equal) > 1]
    if manifest.duplicates == "within_group":
        found = [equal for equal in found if len({str(row["group"]) for row in equal}) > 1]
    return sorted(" = ".join(sorted(str(row["image_id"]) for row in equal)) for equal in found)


def refuse(manifest: Manifest, faults: Mapping[str, Sequence[str]]) -> None:
    """Raise :class:`IngestError` if any list of ``faults`` (what is wrong -> names) is not empty."""
    lines = [f"{len(names)} {what}: {_some(names)}" for what, names in faults.items() if names]
    if lines:
        raise IngestError(f"{manifest.name}: " + "; ".join(lines))


def _some(names: Sequence[str], most: int = 20) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
