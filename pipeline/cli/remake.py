"""``synthetic-iqa remake``: one sample of a set again, from its recipe."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.console import refuse

LOSSLESS = (".png", ".webp", ".qoi", ".jxl")


def remake(
    set_name: Annotated[str, typer.Option("--set", help="The set, such as textured_dead_leaves.")],
    key: Annotated[
        str, typer.Option(help="000123-047: class 47 of source 123, from 126 on a composite; 000123: the source.")
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Where to write it: .png, .webp, .qoi or .jxl.")],
    seed: Annotated[
        int | None, typer.Option(min=0, help="For a set whose distort stage did not finish: the seed of params.yaml.")
    ] = None,
    data: Annotated[Path, typer.Option(help="The folder with sources/ and distorted/.")] = Path("data"),
    palettes: Annotated[Path | None, typer.Option(help="Photographs, if the set was drawn with a folder's.")] = None,
    textures: Annotated[Path | None, typer.Option(help="Textures, if the set was drawn with a folder's.")] = None,
) -> None:
    """Make one sample of a set again from what its manifest records: neither shards nor params.yaml are read.

    Sources that came from a folder are read from their shard, since they cannot be drawn.
    """
    from pipeline import artifacts, images
    from pipeline.distortions import recipes
    from pipeline.params.sections import MOST_COMPOSITES
    from pipeline.remake import image, read

    if out.suffix.lower() not in LOSSLESS:
        refuse(f"{out}: a sample is written lossless, as {', '.join(LOSSLESS)}")
    kind = "distorted" if "-" in key and seed is None else "sources"
    recipe = read(data / kind / set_name, palettes=palettes, textures=textures)
    if seed is not None:
        recipe = replace(recipe, seed=seed, pristine="stretched", composites=recipes(seed, MOST_COMPOSITES))
    for library in recipe.differs:
        print(f"synthetic-iqa: made with {library}: pixels may differ by a grey level", file=sys.stderr)
    pixels = image(recipe, key)
    artifacts.write_bytes(out, images.encode(pixels, out.suffix.lower().lstrip(".")))
    print(f"{out}: {pixels.shape[1]} x {pixels.shape[0]}")
