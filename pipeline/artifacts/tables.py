"""Parquet tables: written by the commit protocol, equal content is equal bytes; read back with their checksums."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.artifacts.files import ArtifactError, replacing

if TYPE_CHECKING:
    import pyarrow as pa

ROW_GROUP = 1024  # rows: a reader of one image touches one group, 16 MiB of 4,096-number features


def write_table(path: Path, table: pa.Table, *, byte_stream_split: Sequence[str] = ()) -> None:
    """Write a Parquet table: zstd, row groups of 1,024, no timestamps. Equal content gives equal bytes.

    ``byte_stream_split`` names float columns (a list column by its own name). On rows of 4,096 float32 it is 7 %
    smaller and twice as fast to read as plain zstd.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    lists = {f.name for f in table.schema if pa.types.is_fixed_size_list(f.type) or pa.types.is_list(f.type)}
    leaves = {name: f"{name}.list.element" if name in lists else name for name in table.column_names}
    split = [leaf for name, leaf in leaves.items() if name in byte_stream_split]
    plain = [leaf for name, leaf in leaves.items() if name not in byte_stream_split]
    with replacing(Path(path)) as temporary:
        pq.write_table(
            table.combine_chunks(),  # pages end where chunks do, so chunks would change the bytes
            temporary,
            compression="zstd",
            row_group_size=ROW_GROUP,
            use_dictionary=plain if split else True,
            use_byte_stream_split=split or False,
            write_page_checksum=True,
        )


def column(name: str, kind: pa.DataType, description: str, *, nullable: bool = False) -> pa.Field:
    """A column of a table with its description, which docs/tables.md prints."""
    import pyarrow as pa

    return pa.field(name, kind, nullable=nullable, metadata={"description": description})


def read_table(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """A Parquet table, or some of its columns; :class:`ArtifactError` names a file that is missing or broken."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            absent = set(columns or ()) - set(file.schema_arrow.names)
            if absent:  # Parquet's reader leaves out absent columns without an error
                raise ArtifactError(f"{path}: no column {', '.join(sorted(absent))}")
            return file.read(columns=list(columns) if columns else None)
    except FileNotFoundError:
        raise ArtifactError(f"{path}: missing") from None
    except (pa.ArrowException, OSError) as error:
        raise ArtifactError(f"{path}: not a readable Parquet table ({error})") from None
