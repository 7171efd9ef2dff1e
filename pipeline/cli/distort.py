"""``synthetic-iqa distort``: one type at one level, for a file or a folder."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.console import expected, not_itself, one_line, refuse, say

if TYPE_CHECKING:
    import numpy as np

    from pipeline.images import Facts, Listing

LOSSLESS = ("png", "webp", "qoi", "jxl")


def distort(
    photo: Annotated[Path, typer.Argument(help="An image file, or a folder of them (with its subfolders).")],
    kind: Annotated[str, typer.Option("--type", help="Name or number, 1..25: jpeg2000 or 9.")],
    level: Annotated[int, typer.Option(min=1, max=5, help="1..5.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            help="A file (.png .webp .qoi .jxl, all lossless), or a folder for a folder; existing files are replaced. "
            "Without it PHOTO.TYPE.LEVEL.png or FOLDER-TYPE-LEVEL/ here, and nothing is replaced.",
        ),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(
            min=0, max=2**32 - 1, help="The same seed and pixels give the same image, whatever the file's name."
        ),
    ] = 0,
    codec: Annotated[
        str, typer.Option(help="Format of a folder's files, and of a file without -o: png, webp, qoi or jxl.")
    ] = "png",
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
) -> None:
    """Distort an image, or every image of a folder, by one type at one level.

    A file of a folder that fails is named at the end; the others are written, and the exit code is 1.
    """
    from pipeline import distortions
    from pipeline.engine import Engine
    from pipeline.images import conversions, list_images

    number = _type_number(kind)
    if codec not in LOSSLESS:
        refuse(f"--codec {codec}: not one of {', '.join(LOSSLESS)}")
    out = out or _free_name(photo, number, level, codec)
    listing = list_images([photo])
    if photo in listing.failed:
        refuse(f"{photo}: {listing.failed[photo]}")
    tasks = _distort_tasks(photo, listing, out, number, level, seed, codec)
    if workers > 1 and len(tasks) > 1:
        distortions.compile_kernels()  # once, or every worker compiles
    engine = Engine("processes" if workers > 1 else "serial", workers)
    results = list(engine.map(distort_file, tasks, describe=f"distort {kind} {level}"))
    failed = [result for result in results if isinstance(result, str)]
    failed += [f"{path}: {problem}" for path, problem in listing.failed.items()]
    for text in [*failed, *conversions(result for result in results if not isinstance(result, str))]:
        say(text)
    written = len(tasks) + len(listing.failed) - len(failed)
    print(f"{out}: {written} written, {len(failed)} failed{listing.passed_over()}")
    if failed:
        raise typer.Exit(1)


@dataclass(frozen=True)
class DistortFile:
    """One file to distort and where the result goes."""

    source: Path
    target: Path
    codec: str
    type: int
    level: int
    seed: int


def distort_file(task: DistortFile) -> str | Facts:
    """Distort and write one file; returns what was undone to make it upright sRGB, or what went wrong, in one line.

    Any error (a codec's own, too little memory) is this file's failure, and the other files of its folder go on.
    """
    from pipeline import artifacts, distortions, images
    from pipeline.labels import label

    try:
        image, facts = images.decode_with_facts(images.read_bytes(task.source), name=str(task.source))
        number = label(task.type, task.level)
        child = parent_generator(image, task.seed).spawn(number + 1)[number]
        distorted = distortions.distort(image, task.type, task.level, child)
        artifacts.write_bytes(task.target, images.encode(distorted, task.codec))
    except Exception as error:
        text = one_line(error)
        if not expected(error) and text != type(error).__name__:
            text = f"{type(error).__name__}: {text}"
        return text if str(task.source) in text else f"{task.source}: {text}"
    return facts


def parent_generator(image: np.ndarray, seed: int) -> np.random.Generator:
    """The parent of the 126 generators of an image's classes: from its pixels and the seed, so that its name and its
    neighbours in a folder change nothing, and ``sheet`` shows what ``distort`` writes.
    """
    from pipeline.artifacts import sha256_bytes
    from pipeline.seeding import generator

    digest = sha256_bytes(image.tobytes())
    return generator(seed, "cli/distort", *(int(digest[start : start + 8], 16) for start in (0, 8)))


def _type_number(kind: str) -> int:
    from pipeline.distortions import TYPES

    known = {**{str(entry.id): entry.id for entry in TYPES}, **{entry.name: entry.id for entry in TYPES}}
    if kind not in known:
        refuse(f"--type {kind}: not one of 1..25, {', '.join(entry.name for entry in TYPES)}")
    return known[kind]


def _free_name(photo: Path, number: int, level: int, codec: str) -> Path:
    """Where a result goes without -o, in the working directory; refused where something is."""
    from pipeline.distortions import type_of

    kind = type_of(number).name
    single = photo.is_file()
    out = Path(f"{photo.stem}.{kind}.{level}.{codec}" if single else f"{photo.resolve().name}-{kind}-{level}")
    if photo.exists() and (out.exists() if single else out.is_file() or (out.is_dir() and any(out.iterdir()))):
        refuse(f"{out}: is there already; give -o {out} to replace it, or another name")
    return out


def _target_names(sources: list[Path], codec: str) -> list[Path]:
    """A name of its own for each source: a.jpg becomes a.png; those that would share one keep their ending before it,
    as a.jpg.png.
    """
    names = [path.with_suffix(f".{codec}") for path in sources]
    while len(set(names)) < len(names):
        counts = Counter(names)
        names = [
            path.with_name(f"{path.name}.{codec}") if counts[name] > 1 else name
            for path, name in zip(sources, names, strict=True)
        ]
    return names


def _distort_tasks(
    photo: Path, listing: Listing, out: Path, number: int, level: int, seed: int, codec: str
) -> list[DistortFile]:
    """The images at ``photo`` and where each goes."""
    if photo.is_file():
        form = out.suffix.lower().lstrip(".")
        if form not in LOSSLESS:
            refuse(f"{out}: a distorted image is written lossless, as {', '.join('.' + name for name in LOSSLESS)}")
        not_itself(photo, out)
        return [DistortFile(photo, out, form, number, level, seed)]
    inside = out.resolve().is_relative_to(photo.resolve())
    if inside or out.is_file():
        refuse(
            f"{out}: {'lies in the folder that is read' if inside else 'is a file, and a folder was given to distort'}"
        )
    if not listing.files and not listing.failed:
        refuse(f"{photo}: no images here")
    files = listing.files
    names = _target_names([path.relative_to(photo) for path in files], codec)
    return [DistortFile(path, out / name, codec, number, level, seed) for path, name in zip(files, names, strict=True)]
