"""``synthetic-iqa export``: an encoder and its regressor for other programs."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli import files


class Form(str, Enum):
    """What is written."""

    onnx = "onnx"
    folder = "folder"


def export(
    name: Annotated[str, typer.Argument(help="released, a name in data/models, or a folder with encoder.json.")],
    to: Annotated[Form, typer.Option(help="onnx: one file, for onnxruntime. folder: for torch, and for model hubs.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The folder to write.")],
    regressor: Annotated[
        str | None,
        typer.Option(help="DATABASE or a folder; none: features alone. Default: the encoder's first, if it has one."),
    ] = None,
) -> None:
    """Write a model that gives the same features and scores without this project, with a model card.

    It is run beside ours on drawn images of many sizes. Where it differs by more than 1e-4, it is not kept.
    """
    from pipeline.artifacts import write_bytes
    from pipeline.scoring import choose_regressor, find_encoder, find_regressors, load_regressor
    from pipeline.scoring.export import exportable, model_card, write_folder, write_onnx

    encoder = find_encoder(name, files.RELEASED, files.DATA)
    stored = find_regressors(files.RELEASED, files.DATA)
    known = [entry for entry in stored if entry.encoder.is_dir() and entry.encoder.samefile(encoder)]
    chosen = None
    if regressor not in (None, "none") or (regressor is None and known):
        entry = choose_regressor(known, regressor=regressor, encoder=str(encoder) if regressor else None)
        chosen = load_regressor(entry.regressor)
    model = exportable(encoder, chosen)
    difference = write_onnx(model, out) if to is Form.onnx else write_folder(model, out)
    write_bytes(out / "README.md", model_card(model, str(difference)).encode())
    meaning = f"; {chosen.meaning}" if chosen else "; features alone"
    print(f"{out}: {model.card['name']} as {to.value}, {difference}{meaning}")
