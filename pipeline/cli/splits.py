"""``synthetic-iqa splits``: the splits of a database as a plain table, with a report of leaks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli import files
from pipeline.cli.console import refuse


def splits(
    database: Annotated[str, typer.Argument(help="A database of params.yaml whose ingest stage has run.")],
    out: Annotated[Path | None, typer.Option("-o", "--out", help="The table, .csv or .parquet.")] = None,
    params: Annotated[Path, typer.Option(help="The parameters: protocol, number of splits, seed.")] = Path(
        "params.yaml"
    ),
) -> None:
    """Write which images train, validate and test in each split that `evaluate` uses: a row an image, a column a split.

    The report counts, for each split, the groups in two parts and the pairs of near duplicates across parts. Images of
    equal bytes in two parts are refused.
    """
    import pyarrow.compute as pc

    from pipeline.artifacts import read_table
    from pipeline.databases import load_manifest
    from pipeline.evaluation import Protocol
    from pipeline.evaluation.leaks import parts_report, split_table
    from pipeline.evaluation.protocol import splits_of
    from pipeline.params import load

    out = out or Path(f"{database}-splits.csv")
    files.check_table(out, "splits")
    settings, path = load(params), files.DATA / "databases" / f"{database}.parquet"
    if database not in settings.databases:
        refuse(f"{database}: not under `databases` in {params}; there are {', '.join(settings.databases)}")
    if not path.is_file():
        refuse(f"{path}: missing; `dvc repro ingest@{database}` writes it")
    images = read_table(path)
    scored = images.filter(pc.and_(pc.invert(images["is_reference"]), images["mos"].is_valid()))
    manifest = load_manifest(database, settings.database_folder(database))
    file = settings.run.paths.splits.get(database)
    protocol = Protocol.of(settings.evaluate, manifest, seed=settings.seed, memory=0, split_file=file)
    drawn = splits_of(scored, protocol, database)
    bits = settings.evaluate.near_duplicate_bits
    reports = parts_report(scored, drawn, bits)
    files.write_rows(out, split_table(scored, drawn))
    for report in reports:
        counts = ", ".join(f"{part} {n} images of {report.groups[part]} groups" for part, n in report.images.items())
        shared = f"{report.shared_groups} groups shared, {report.near_pairs} near pairs"
        print(f"split {report.split}: {counts}; test and the others: {shared}")
    print(f"{out}: {len(drawn)} splits of {len(scored)} images, {protocol.name}; near is at most {bits} of 64 bits")
