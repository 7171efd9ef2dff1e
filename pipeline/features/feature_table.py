"""The feature table: one row an image, opinions and groups beside a fixed-size list of float32.

Written with zstd, byte-stream-split on the features and row groups of 1,024 (10,125 x 4,096: about 111 MB on ReLU-like
values); pandas, Polars and DuckDB open it as it is. The schema metadata says which weights made it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import Refusal, artifacts
from pipeline.artifacts import column


class FeatureError(Refusal, ValueError):
    """A feature table or encoder that is refused; the message names the file and says why."""


COLUMNS = (
    column("encoder", pa.string(), "what made the features: a trained set's name, released, random_init, floor, ..."),
    column("database", pa.string(), "the human-scored database"),
    column("image_id", pa.string(), "the image's name in its database"),
    column("group", pa.string(), "images of one group are never on two sides of a split"),
    column("reference_id", pa.string(), "image_id of the pristine reference; null where there is none", nullable=True),
    column("is_reference", pa.bool_(), "a pristine reference: it has features and no opinion"),
    column("mos", pa.float64(), "mean opinion in the database's own units; null for references", nullable=True),
    column("higher_is_better", pa.bool_(), "direction of mos"),
    column("type", pa.int16(), "distortion type in the database's numbering; null where there is none", nullable=True),
    column(
        "level", pa.int16(), "distortion level in the database's numbering; null where there is none", nullable=True
    ),
    column("official_split", pa.string(), "train, val, test or unused in the database's own split", nullable=True),
    column(
        "stratum",
        pa.string(),
        "what correlations are also computed within (a subset, a distortion type)",
        nullable=True,
    ),
)
ABOUT_FEATURE = (
    "float32 numbers of the image at native resolution; an encoder's are [full scale, half scale], each L2-normalised"
)


def feature_schema(dim: int) -> pa.Schema:
    """The schema of a table of ``dim`` numbers an image."""
    return pa.schema([*COLUMNS, column("feature", pa.list_(pa.float32(), dim), ABOUT_FEATURE)])


def feature_table(
    database: pa.Table, features: np.ndarray, *, encoder: str, database_name: str, metadata: Mapping[str, object]
) -> pa.Table:
    """The table of ``features`` (float32 [n, dim], row i of ``database``), ``metadata`` as JSON in its schema."""
    if features.dtype != np.float32 or features.ndim != 2 or len(features) != len(database):
        got = f"{features.dtype} of shape {features.shape}"
        raise FeatureError(f"{encoder}: expected float32 features of {len(database)} images, got {got}")
    dim = features.shape[1]
    schema = feature_schema(dim)
    values = pa.array(np.ascontiguousarray(features).reshape(-1))
    columns = [pa.array([text] * len(database), pa.string()) for text in (encoder, database_name)]
    columns += [database[column.name].combine_chunks().cast(column.type) for column in COLUMNS[2:]]
    columns.append(pa.FixedSizeListArray.from_arrays(values, type=schema.field("feature").type))
    encoded = {key: json.dumps(value, sort_keys=True) for key, value in metadata.items()}
    return pa.Table.from_arrays(columns, schema=schema).replace_schema_metadata(encoded)


@dataclass(frozen=True)
class FeatureTable:
    """A feature table on disk: columns in memory, features read when asked for.

    ``columns`` has every column but ``feature``; ``bounds`` are the row ranges of the blocks (row groups).
    """

    path: Path
    columns: pa.Table
    metadata: dict[str, object]
    dim: int
    bounds: tuple[tuple[int, int], ...] = field(repr=False)

    def __len__(self) -> int:
        return len(self.columns)

    def block(self, index: int) -> np.ndarray:
        """float32 [rows, dim] of row group ``index``; a view of the decoded buffer where it is in one piece.

        :class:`FeatureError` for nulls: other tools write them, and a null row would move all that follow.
        """
        with pq.ParquetFile(self.path) as file:  # no threads and no read-ahead: each keeps buffers of its own
            chunks = file.read_row_group(index, columns=["feature"], use_threads=False)["feature"].chunks
        if any(chunk.null_count or chunk.flatten().null_count for chunk in chunks):
            raise FeatureError(f"{self.path}: nulls among the features")
        parts = [chunk.flatten().to_numpy(zero_copy_only=True).reshape(-1, self.dim) for chunk in chunks]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def of_images(self, image_ids: Sequence[str]) -> np.ndarray:
        """The features of images by their names, float32 [n, dim]; :class:`FeatureError` names one that has none."""
        row_of = {name: row for row, name in enumerate(self.columns["image_id"].to_pylist())}
        if missing := [name for name in image_ids if name not in row_of]:
            raise FeatureError(f"{self.path}: no features of {missing[0]}; run the features stage again")
        rows: np.ndarray = self.matrix()[[row_of[name] for name in image_ids]]
        return rows

    def matrix(self) -> np.ndarray:
        """All features, contiguous float32 [n, dim]."""
        if len(self.bounds) == 1:
            return np.ascontiguousarray(self.block(0))
        out = np.empty((len(self), self.dim), dtype=np.float32)
        for index, (start, stop) in enumerate(self.bounds):
            out[start:stop] = self.block(index)
        return out


def read_features(path: Path, *, weights: str | None = None, database: Path | None = None) -> FeatureTable:
    """Open a feature table. ``weights`` (a sha256) refuses features made by other weights than these, ``database`` (the
    database's table) those of another version of that table, where their metadata say of which they are.

    Raises :class:`FeatureError` for a file that is not a whole feature table and for the wrong weights or database.
    """
    path = Path(path)
    try:
        schema = pq.read_schema(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise FeatureError(f"{path}: not a readable Parquet table ({error})") from error
    missing = [column.name for column in COLUMNS if column.name not in schema.names]
    if missing or "feature" not in schema.names or not pa.types.is_fixed_size_list(schema.field("feature").type):
        raise FeatureError(
            f"{path}: not a feature table (missing {', '.join(missing) or 'a fixed-size list called feature'})"
        )
    raw = schema.metadata or {}
    metadata = {k.decode(): json.loads(v) for k, v in raw.items() if not k.startswith((b"ARROW", b"pandas"))}
    made_by = metadata.get("weights_sha256")
    if weights is not None and made_by != weights:
        raise FeatureError(
            f"{path}: these features were made by weights {str(made_by)[:12]}, the encoder's are {weights[:12]}; "
            "run the features stage again"
        )
    made_of = (metadata.get("provenance") or {}).get("database")
    if database is not None and made_of is not None and made_of != artifacts.sha256_file(database):
        raise FeatureError(f"{path}: these features are of another version of {database}; run the features stage again")
    file = pq.ParquetFile(path, read_dictionary=["encoder", "database", "group", "official_split", "stratum"])
    columns = file.read(columns=[column.name for column in COLUMNS], use_threads=False)
    rows = [file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)]
    ends = np.cumsum(rows, dtype=np.int64).tolist()
    bounds = tuple(zip([0, *ends[:-1]], ends, strict=True))
    return FeatureTable(path, columns, metadata, schema.field("feature").type.list_size, bounds)
