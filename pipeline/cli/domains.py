"""``synthetic-iqa domains``: which distortion types the images of a folder resemble."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.console import refuse
from pipeline.cli.files import RELEASED

MODELS = Path("data/models")


def domains(
    folder: Annotated[Path, typer.Argument(help="A folder of images, with its subfolders. No opinions are needed.")],
    classifier: Annotated[
        str | None,
        typer.Option(help="A run under `classify`, or a folder of one. Default: the released one, else types."),
    ] = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="A table of all 25 types, .parquet.")] = None,
    most: Annotated[int, typer.Option(min=1, max=25, help="Types that are named.")] = 5,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Say which of the 25 distortion types a classifier sees in images that nobody has rated (paper 4).

    A file that can't be read is named and left out; the exit code is then 1.
    """
    import torch

    from pipeline import artifacts
    from pipeline.devices import cores, resolve_device
    from pipeline.distortions import TYPES
    from pipeline.domains import domains_table, in_words, similarity, target_outputs
    from pipeline.engine import Engine
    from pipeline.training.methods.classifier import load_classifier

    if out is not None and out.suffix.lower() != ".parquet":
        refuse(f"{out}: the table is written as .parquet")
    if not folder.exists():
        refuse(f"{folder}: missing")
    name, place = classifier_folder(classifier)
    kind = resolve_device(device).kind
    engine = Engine("processes", cores()) if kind == "cpu" else Engine()
    model = load_classifier(place, torch.device(kind))
    outputs, failed = target_outputs(folder, model, engine, describe="domains")
    for path, reason in failed.items():
        print(f"synthetic-iqa: {path}: {reason}", file=sys.stderr)
    names = [type.name for type in TYPES]
    similarities = similarity(outputs, seed=1)
    if out is not None:
        artifacts.write_table(out, domains_table(str(folder), name, similarities, names, len(outputs)))
    print(f"{folder}: {len(outputs)} images, {in_words(similarities, names, most)}")
    raise typer.Exit(1 if failed else 0)


def classifier_folder(asked: str | None) -> tuple[str, Path]:
    """Name and folder of the classifier: the one that was asked for, else the released one, else the run `types`."""
    if asked is None:
        places = {"released": [folder / "classifier" for folder in RELEASED], "types": [MODELS / "types"]}
    else:
        places = {Path(asked).name: [Path(asked) if Path(asked).is_dir() else MODELS / asked]}
    for name, folders in places.items():
        for folder in folders:
            if (folder / "encoder.json").is_file():
                return name, folder
    missing = " and ".join(str(folders[0]) for folders in places.values())
    refuse(f"{missing}: no classifier here; `dvc repro classify@types` trains one")
