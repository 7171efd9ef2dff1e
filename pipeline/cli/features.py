"""``synthetic-iqa features``: an encoder's features of image files, as a table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli import files


def features(
    photos: Annotated[list[Path], typer.Argument(help="Image files, and folders of them (with their subfolders).")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The table: .parquet, or .csv with a column a number.")],
    encoder: Annotated[
        str, typer.Option(help="released, a name in data/models, or a folder with encoder.json.")
    ] = "released",
    batch: Annotated[
        int | None,
        typer.Option(min=1, help="Images of one size at once at most. Default: by their size. It changes no feature."),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Write the features of images at their native resolution: a row a file.

    A file that has no feature is named on stderr and has a row with its error; the exit code is then 1. Ctrl-C ends
    the run with a table of what is done, and exit code 130.
    """
    from pipeline.devices import resolve_device
    from pipeline.features import load_extractor
    from pipeline.scoring import ImageFeatures, features_table, find_encoder

    files.check_table(out, "features")
    files.check_device(device)
    listing = files.listed(photos)
    kind = resolve_device(device).kind
    extractor = load_extractor(find_encoder(encoder, files.RELEASED, files.DATA), device=kind)
    measure = ImageFeatures(extractor)
    rows = files.measured(listing, measure, device=kind, describe=f"features {extractor.name}", batch=batch)
    if rows.done:
        files.write_rows(out, features_table(rows.done, extractor), byte_stream_split=["feature"])
    print(f"{out}: {rows.counts('features')}; {extractor.dim} numbers each, by {extractor.name}")
    rows.end()
