"""``synthetic-iqa card``: the dataset card of a distorted set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def card(
    folder: Annotated[Path, typer.Argument(help="A distorted set: data/distorted/NAME.")],
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="Default: FOLDER.md beside it. A set that is published has it as README.md."),
    ] = None,
) -> None:
    """Write what others need to use a set: what it is, columns, how to load it, hashes, the licence of its sources."""
    from pipeline.artifacts import write_bytes
    from pipeline.report.dataset_card import dataset_card

    text = dataset_card(folder)
    out = out or folder.with_name(f"{folder.resolve().name}.md")
    write_bytes(out, text.encode())
    print(f"{out}: {len(text.splitlines())} lines")
