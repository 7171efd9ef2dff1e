"""``synthetic-iqa score``: the quality of image files, in the units of a database's opinions."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.console import refuse

if TYPE_CHECKING:
    import pyarrow as pa

    from pipeline.scoring import Regressor, Scored, Scorer, StoredRegressor

RELEASED = (Path("released"), Path(__file__).parents[2] / "released")  # here, or of this checkout
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
            help="DATABASE, ENCODER/DATABASE or a folder. Without it the released one, else the first stored."
        ),
    ] = None,
    encoder: Annotated[
        str | None, typer.Option(help="A name, or a folder with encoder.json. Without it the regressor's own.")
    ] = None,
    reference: Annotated[
        Path | None, typer.Option(help="The pristine version of all images: score by the difference from it.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Score images by an encoder and a regressor that was fitted on people's opinions.

    A file that can't be scored is named on stderr and has a row with its error; the exit code is then 1.
    """
    from pipeline.images import list_images
    from pipeline.scoring import scores_table

    if out is not None and out.suffix.lower() not in FORMATS:
        refuse(f"{out}: a table of scores is written as {' or '.join(FORMATS)}")
    listing = list_images(photos)
    if not listing.files and not listing.failed:
        refuse(f"{', '.join(map(str, photos))}: no images here")
    scorer, fitted = _open(_chosen(regressor, encoder), device, reference)
    rows = _rows(scorer, listing.files, listing.failed)
    if out is None:
        _print(rows, fitted)
    else:
        _write(out, scores_table(rows, fitted))
    failed = sum(bool(row.error) for row in rows)
    counts = f"{len(rows) - failed} scored, {failed} failed{listing.passed_over()}"
    print(f"{out or fitted.name}: {counts}; {fitted.meaning}")
    raise typer.Exit(1 if failed else 0)


def _chosen(regressor: str | None, encoder: str | None) -> StoredRegressor:
    from pipeline.scoring import choose_regressor, find_regressors

    return choose_regressor(find_regressors(RELEASED, DATA), regressor=regressor, encoder=encoder)


def _open(found: StoredRegressor, device: str, reference: Path | None) -> tuple[Scorer, Regressor]:
    from pipeline import images
    from pipeline.devices import resolve_device
    from pipeline.features import load_extractor
    from pipeline.scoring import Scorer, load_regressor

    if device not in ("auto", "cpu", "cuda"):
        refuse(f"--device {device}: not one of auto, cpu, cuda")
    fitted = load_regressor(found.regressor)
    extractor = load_extractor(found.encoder, device=resolve_device(device).kind)
    pristine = None if reference is None else images.read(reference)
    return Scorer(extractor, fitted, reference=pristine), fitted


def _rows(scorer: Scorer, files: Sequence[Path], failed: dict[Path, str]) -> list[Scored]:
    """A row for every file, in order, then for what could not be listed; each failure said on stderr as it comes."""
    from pipeline.engine import progress
    from pipeline.scoring import Scored, readable, score_files

    rows = [
        *progress(score_files(scorer, files), total=len(files), describe="score"),
        *(Scored(path, error=error) for path, error in failed.items()),
    ]
    for row in rows:
        if row.error:
            print(f"synthetic-iqa: {readable(row.path)}: {row.error}", file=sys.stderr)
    return rows


def _print(rows: Sequence[Scored], fitted: Regressor) -> None:
    from pipeline.scoring import readable

    low, high = fitted.card["range"]
    digits = 3 if high - low < 20 else 2
    for row in rows:
        if row.score is not None:
            print(f"{row.score:8.{digits}f}  {readable(row.path)}")


def _write(out: Path, table: pa.Table) -> None:
    import io

    from pipeline.artifacts import write_bytes, write_table

    if out.suffix.lower() == ".parquet":
        write_table(out, table)
        return
    import pyarrow.csv

    sink = io.BytesIO()
    pyarrow.csv.write_csv(table, sink)
    write_bytes(out, sink.getvalue())
