"""``synthetic-iqa remake-tid2013``: the database ``tid2013_kodak`` from Kodak's photographs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def remake_tid2013(
    kodak: Annotated[Path, typer.Option("--kodak", help="Folder of the photographs 01.png to 24.png.")],
    tid: Annotated[Path, typer.Option("--tid", help="Folder with offsets.csv, mos.csv, official_psnr.csv and jpeg/.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder to write; name it under `databases`.")],
) -> None:
    """Remake 240 images of TID2013 (types 8, 10, 16, 17) and check each against its published PSNR."""
    from pipeline.databases.tid2013_kodak import remake

    remade = remake(kodak, tid, out)
    print(
        f"{out}: {remade.images} images of {remade.references} references; "
        f"within {remade.largest_difference:.5f} dB of the published PSNR"
    )
