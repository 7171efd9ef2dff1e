"""What ``score`` and ``features`` share: image files in, a row a file, a table out."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer

from pipeline.cli.console import refuse, say

if TYPE_CHECKING:
    import pyarrow as pa

    from pipeline.images import Listing
    from pipeline.scoring import FileRow, Measure

RELEASED = (Path("released"), Path(__file__).parents[2] / "released")  # in the working directory, or installed
DATA = Path("data")
FORMATS = (".parquet", ".csv")


@dataclass
class Rows:
    """What was done: rows in the order of the files; ``left``, files that Ctrl-C left; ``stopped``, the Ctrl-C."""

    done: list[FileRow]
    listing: Listing
    stopped: KeyboardInterrupt | None = None

    @property
    def failed(self) -> int:
        """Rows that have an error."""
        return sum(bool(row.error) for row in self.done)

    def counts(self, verb: str) -> str:
        """How many were done, failed, left and passed over, in words."""
        left = len(self.listing.files) + len(self.listing.failed) - len(self.done)
        looked_at = f"{len(self.done) - self.failed} {verb}, {self.failed} failed"
        return looked_at + (f", {left} not looked at" if left else "") + self.listing.passed_over()

    def end(self) -> NoReturn:
        """Exit code 0; 1 where a file failed; the Ctrl-C again where there was one."""
        if self.stopped is not None:
            raise self.stopped
        raise typer.Exit(1 if self.failed else 0)


def check_table(out: Path, what: str) -> None:
    """Refuse a table's name that is of no format."""
    if out.suffix.lower() not in FORMATS:
        refuse(f"{out}: a table of {what} is written as {' or '.join(FORMATS)}")


def check_device(device: str) -> None:
    """Refuse a device that is none."""
    if device not in ("auto", "cpu", "cuda"):
        refuse(f"--device {device}: not one of auto, cpu, cuda")


def listed(photos: Sequence[Path]) -> Listing:
    """The images at ``photos``; refused where there is none."""
    from pipeline.images import list_images

    listing = list_images(photos)
    if not listing.files and not listing.failed:
        refuse(f"{', '.join(map(str, photos))}: no images here")
    return listing


def measured(
    listing: Listing,
    measure: Measure,
    *,
    device: str,
    describe: str,
    batch: int | None = None,
    each: Callable[[Mapping[int, FileRow]], None] = lambda _: None,
) -> Rows:
    """A row of every listed file, with a progress bar; errors and notes are said as they come.

    ``each`` is called with the rows so far (index -> row) after every file. Ctrl-C ends the run and keeps them.
    """
    from pipeline.images import conversions
    from pipeline.scoring import readable

    rows: dict[int, FileRow] = {}
    stopped = None
    try:
        for index, row in _measured(listing, measure, device, describe, batch):
            rows[index] = row
            if row.error or row.note:
                say(f"{readable(row.path)}: {row.error or row.note}")
            each(rows)
    except KeyboardInterrupt as end:
        stopped = end
    done = [rows[index] for index in sorted(rows)]
    for sentence in conversions(row.facts for row in done):
        say(sentence)
    return Rows(done, listing, stopped)


def _measured(
    listing: Listing, measure: Measure, device: str, describe: str, batch: int | None
) -> Iterator[tuple[int, FileRow]]:
    """(index, row) for every file as they come, then for what could not be listed."""
    from pipeline.devices import cores
    from pipeline.engine import Engine, progress
    from pipeline.scoring import FileRow, measure_files

    engine, threads = (Engine("processes", cores()), 0) if device == "cpu" else (Engine(), cores())
    rows = measure_files(measure, listing.files, engine=engine, read_threads=threads, batch=batch)
    with contextlib.closing(rows):
        yield from progress(rows, total=len(listing.files), describe=describe)
    for number, (path, problem) in enumerate(listing.failed.items()):
        yield len(listing.files) + number, FileRow(path, error=problem)


def write_rows(out: Path, table: pa.Table, *, byte_stream_split: Sequence[str] = ()) -> None:
    """Write a table by the ending of ``out``. In CSV a list column becomes a column a number, ``feature_0`` on."""
    from pipeline.artifacts import write_bytes, write_table

    if out.suffix.lower() == ".parquet":
        write_table(out, table, byte_stream_split=byte_stream_split)
        return
    import io

    import pyarrow as pa
    import pyarrow.csv

    for index in reversed(range(table.num_columns)):
        kind = table.schema.field(index).type
        if pa.types.is_fixed_size_list(kind):
            name, lists = table.column_names[index], table.column(index).combine_chunks()
            flat = lists.values.to_numpy(zero_copy_only=False).reshape(-1, kind.list_size)
            missing = lists.is_null().to_numpy(zero_copy_only=False)
            table = table.remove_column(index)
            for number in reversed(range(kind.list_size)):
                table = table.add_column(index, f"{name}_{number}", pa.array(flat[:, number], mask=missing))
    sink = io.BytesIO()
    pyarrow.csv.write_csv(table, sink)
    write_bytes(out, sink.getvalue())
