"""``synthetic-iqa score``: the quality of image files, in the units of a database's opinions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli import files
from pipeline.errors import printable

if TYPE_CHECKING:
    from pipeline.scoring import FileRow, Regressor


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
    from pipeline import images
    from pipeline.devices import resolve_device
    from pipeline.features import load_extractor
    from pipeline.scoring import Scorer, choose_regressor, find_regressors, load_regressor, scores_table

    if out is not None:
        files.check_table(out, "scores")
    files.check_device(device)
    listing = files.listed(photos)
    known = find_regressors(files.RELEASED, files.DATA)
    chosen = choose_regressor(known, regressor=regressor, encoder=encoder)
    fitted, kind = load_regressor(chosen.regressor), resolve_device(device).kind
    pristine = None if reference is None else images.read(reference)
    scorer = Scorer(load_extractor(chosen.encoder, device=kind), fitted, reference=pristine)
    printed = 0

    def print_ready(rows: Mapping[int, FileRow]) -> None:
        nonlocal printed
        printed = _print_ready(rows, printed, fitted)

    each = print_ready if out is None else (lambda _: None)
    rows = files.measured(listing, scorer, device=kind, describe="score", each=each)
    if out is not None and rows.done:
        files.write_rows(out, scores_table(rows.done, fitted))
    print(f"{out or fitted.name}: {rows.counts('scored')}; {fitted.meaning}")
    rows.end()


def _print_ready(rows: Mapping[int, FileRow], printed: int, fitted: Regressor) -> int:
    """Print the scores that are next in the order of the files; returns the number of rows that are done."""
    from pipeline.scoring import readable

    low, high = fitted.card["range"]
    digits = 3 if high - low < 20 else 2
    while (row := rows.get(printed)) is not None:
        printed += 1
        if row.value is not None:
            print(f"{row.value:8.{digits}f}  {printable(readable(row.path))}")
    return printed
