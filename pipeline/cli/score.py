"""``synthetic-iqa score``: the quality of image files, in the units of a database's opinions."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.console import refuse, say
from pipeline.errors import printable

if TYPE_CHECKING:
    from pipeline.images import Listing
    from pipeline.scoring import Regressor, Scored, StoredRegressor

RELEASED = (Path("released"), Path(__file__).parents[2] / "released")  # in the working directory, or in this checkout
DATA = Path("data")
FORMATS = (".parquet", ".csv")


def score(
    photos: Annotated[list[Path], typer.Argument(help="Image files, and folders of them (with their subfolders).")],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="A table: .parquet or .csv. Without it a list on stdout.")
    ] = None,
    regressor: Annotated[
        str | None,
        typer.Option(
            help="DATABASE, ENCODER/DATABASE or a folder. Default: the released one, else the first that is stored."
        ),
    ] = None,
    encoder: Annotated[
        str | None, typer.Option(help="A name, or a folder with encoder.json. Default: the regressor's own.")
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(help="The pristine version of all images; they are scored by their difference from it."),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Score images by an encoder and a regressor that was fitted on people's opinions.

    A file that can't be scored is named on stderr and has a row with its error; the exit code is then 1. Ctrl-C ends
    the run with a table of what is done, and exit code 130.
    """
    from pipeline.images import conversions, list_images
    from pipeline.scoring import load_regressor

    if out is not None and out.suffix.lower() not in FORMATS:
        refuse(f"{out}: a table of scores is written as {' or '.join(FORMATS)}")
    if device not in ("auto", "cpu", "cuda"):
        refuse(f"--device {device}: not one of auto, cpu, cuda")
    listing = list_images(photos)
    if not listing.files and not listing.failed:
        refuse(f"{', '.join(map(str, photos))}: no images here")
    chosen = _chosen(regressor, encoder)
    fitted = load_regressor(chosen.regressor)
    rows: dict[int, Scored] = {}
    printed, stopped = 0, None
    try:
        for index, row in _rows(listing, chosen, fitted, device, reference):
            rows[index] = row
            _complain(row)
            printed = printed if out else _print_ready(rows, printed, fitted)
    except KeyboardInterrupt as end:
        stopped = end
    done = [rows[index] for index in sorted(rows)]
    if out is not None and done:
        _write(out, done, fitted)
    for sentence in conversions(row.facts for row in done):
        say(sentence)
    failed = sum(bool(row.error) for row in done)
    left = len(listing.files) + len(listing.failed) - len(done)
    counts = f"{len(done) - failed} scored, {failed} failed{f', {left} not looked at' if left else ''}"
    print(f"{out or fitted.name}: {counts}{listing.passed_over()}; {fitted.meaning}")
    if stopped is not None:
        raise stopped
    raise typer.Exit(1 if failed else 0)


def _chosen(regressor: str | None, encoder: str | None) -> StoredRegressor:
    from pipeline.scoring import choose_regressor, find_regressors

    return choose_regressor(find_regressors(RELEASED, DATA), regressor=regressor, encoder=encoder)


def _rows(
    listing: Listing, chosen: StoredRegressor, fitted: Regressor, device: str, reference: Path | None
) -> Iterator[tuple[int, Scored]]:
    """(index, row) for every file as they come, then for what could not be listed, with a progress bar."""
    from pipeline import images
    from pipeline.devices import cores, resolve_device
    from pipeline.engine import Engine, progress
    from pipeline.features import load_extractor
    from pipeline.scoring import Scored, Scorer, score_files

    kind = resolve_device(device).kind
    extractor = load_extractor(chosen.encoder, device=kind)
    scorer = Scorer(extractor, fitted, reference=None if reference is None else images.read(reference))
    engine, threads = (Engine("processes", cores()), 0) if kind == "cpu" else (Engine(), cores())
    with contextlib.closing(score_files(scorer, listing.files, engine=engine, read_threads=threads)) as scored:
        yield from progress(scored, total=len(listing.files), describe="score")
    for number, (path, problem) in enumerate(listing.failed.items()):
        yield len(listing.files) + number, Scored(path, error=problem)


def _complain(row: Scored) -> None:
    from pipeline.scoring import readable

    if row.error or row.note:
        say(f"{readable(row.path)}: {row.error or row.note}")


def _print_ready(rows: Mapping[int, Scored], printed: int, fitted: Regressor) -> int:
    """Print the scores that are next in the order of the files; returns the number of rows that are done."""
    from pipeline.scoring import readable

    low, high = fitted.card["range"]
    digits = 3 if high - low < 20 else 2
    while (row := rows.get(printed)) is not None:
        printed += 1
        if row.score is not None:
            print(f"{row.score:8.{digits}f}  {printable(readable(row.path))}")
    return printed


def _write(out: Path, rows: Sequence[Scored], fitted: Regressor) -> None:
    import io

    from pipeline.artifacts import write_bytes, write_table
    from pipeline.scoring import scores_table

    table = scores_table(rows, fitted)
    if out.suffix.lower() == ".parquet":
        write_table(out, table)
        return
    import pyarrow.csv

    sink = io.BytesIO()
    pyarrow.csv.write_csv(table, sink)
    write_bytes(out, sink.getvalue())
