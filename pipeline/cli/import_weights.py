"""``synthetic-iqa import-weights``: a published checkpoint as an encoder's folder."""

from __future__ import annotations

import re
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.console import refuse


class Normalise(str, Enum):
    """What is subtracted from an image before the network sees it."""

    auto = "auto"
    imagenet = "imagenet"
    none = "none"


def import_weights(
    file: Annotated[Path, typer.Argument(help="A ResNet of torchvision, timm or CONTRIQUE: .pth .tar .safetensors.")],
    out: Annotated[Path, typer.Option("--out", help="The encoder's folder, such as data/models/contrique.")],
    normalise: Annotated[
        Normalise,
        typer.Option(help="Whether ImageNet's mean and deviation are used; auto: not for CONTRIQUE's."),
    ] = Normalise.auto,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing encoder.")] = False,
) -> None:
    """Turn a published checkpoint into encoder.safetensors and encoder.json, for the features stage.

    Only tensors are read, and no code of the file is run. List the folder's name under `encoders` in params.yaml.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9_]*", out.name):
        refuse(f"{out}: its last part is the encoder's name: a-z, 0-9 and _")
    if (out / "encoder.json").exists() and not force:
        refuse(f"{out}: an encoder is there already; --force replaces it")
    from dataclasses import replace

    from pipeline.encoder import import_checkpoint, weights
    from pipeline.encoder.preprocessing import Preprocessing

    checkpoint = import_checkpoint.read_checkpoint(file)
    preprocessing = checkpoint.preprocessing
    if normalise is not Normalise.auto:
        plain = import_checkpoint.IMAGENET if normalise is Normalise.imagenet else Preprocessing()
        preprocessing = replace(preprocessing, mean=plain.mean, deviation=plain.deviation)
    provenance = {"imported_from": file.name, "sha256": checkpoint.sha256, "key_names": checkpoint.names}
    weights.save_encoder(out, checkpoint.trunk, out.name, {"trained_on": None, **provenance}, preprocessing)
    ignored = f"; left out: {', '.join(checkpoint.left_out)}" if checkpoint.left_out else ""
    architecture = checkpoint.trunk.architecture
    print(f"{out}: {architecture}, {checkpoint.names} key names, half scale {preprocessing.half}{ignored}")
