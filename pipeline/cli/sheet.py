"""``synthetic-iqa sheet``: contact sheets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.console import not_itself, one_line, refuse, say
from pipeline.cli.distort import parent_generator

if TYPE_CHECKING:
    from pipeline.report.sheets import Sheet

SHEET_FORMATS = {".png": "PNG", ".webp": "WEBP", ".jpg": "JPEG", ".jpeg": "JPEG"}


def sheet(
    photo: Annotated[Path | None, typer.Argument(help="An image file.")] = None,
    set_name: Annotated[
        str | None, typer.Option("--set", help="A source set instead: those of data/sources/NAME.")
    ] = None,
    out: Annotated[Path, typer.Option("-o", "--out", help="Where to write it: .png, .webp or .jpg.")] = Path(
        "sheet.png"
    ),
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seed of the random distortions.")] = 0,
    native: Annotated[
        bool,
        typer.Option("--native", help="Show the unscaled middle of each image, not all of it reduced."),
    ] = False,
    side: Annotated[int, typer.Option(min=48, max=1024, help="Pixels of a picture's longer side.")] = 216,
    count: Annotated[int, typer.Option(min=1, max=400, help="With --set: how many sources at most.")] = 48,
) -> None:
    """Draw a contact sheet: a photo in all 25 types x 5 levels with PSNR (dB) and SSIM, or the sources of a set."""
    if (photo is None) == (set_name is None):
        refuse("sheet: give a photo or --set NAME, one of the two")
    if out.suffix.lower() not in SHEET_FORMATS:
        refuse(f"{out}: a sheet is written as {', '.join(SHEET_FORMATS)}")
    not_itself(photo, out)
    _write_picture(out, _photo_sheet(photo, seed, side, native) if photo else _set_sheet(str(set_name), side, count))


def _photo_sheet(photo: Path, seed: int, side: int, native: bool) -> Sheet:
    from pipeline import distortions, images
    from pipeline.engine import progress
    from pipeline.labels import CLASSES
    from pipeline.report import sheets

    listing = images.list_images([photo])
    if listing.files != [photo]:
        refuse(f"{photo}: {listing.failed.get(photo, 'is a folder, and a sheet shows one image')}")
    image, facts = images.decode_with_facts(images.read_bytes(photo), name=str(photo))
    for sentence in images.conversions([facts]):
        say(sentence)
    samples = distortions.distort_all(image, parent_generator(image, seed))
    samples = progress(samples, total=CLASSES, describe=f"sheet {photo.name}")
    title = f"{photo.name}: 25 types at 5 levels; value, PSNR, SSIM"
    try:
        return sheets.distortion_sheet(title, samples, sheets.type_names(), side=side, native=native)
    except distortions.DistortionError as error:
        refuse(f"{photo}: {one_line(error)}")


def _set_sheet(name: str, side: int, count: int) -> Sheet:
    from pipeline.report import sheets
    from pipeline.shards.reader import ShardSet

    sources = ShardSet(Path("data") / "sources" / name)
    shown = min(count, len(sources))
    pictures = ((str(sources.table["id"][i].as_py()), sources.image(i)) for i in range(shown))
    return sheets.plain_sheet(f"{name}: {shown} of {len(sources)} sources", pictures, columns=8, side=side)


def _write_picture(out: Path, contents: Sheet) -> None:
    import io

    from PIL import Image

    from pipeline.artifacts import write_bytes
    from pipeline.report import sheets

    picture, sink = sheets.draw(contents), io.BytesIO()
    Image.fromarray(picture).save(sink, SHEET_FORMATS[out.suffix.lower()], quality=92)
    write_bytes(out, sink.getvalue())
    print(f"{out}: {picture.shape[1]} x {picture.shape[0]}")
