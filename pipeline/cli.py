"""``synthetic-iqa``: the verbs for people. What each needs is imported inside it, so that ``--help`` starts at once."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from pipeline import Refusal

if TYPE_CHECKING:
    import numpy as np

    from pipeline.report.sheets import Sheet

app = typer.Typer(
    help="Image-quality features from images that no camera took. The pipeline itself runs by `dvc repro`.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
IMAGES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".qoi", ".jxl")
LOSSLESS = ("png", "webp", "qoi", "jxl")
SHEET_FORMATS = {".png": "PNG", ".webp": "WEBP", ".jpg": "JPEG", ".jpeg": "JPEG"}


def main() -> None:
    """The console script. What a user can mend is one line on stderr and exit code 2."""
    try:
        app()
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except Exception as error:
        if not _expected(error):
            raise
        print(f"synthetic-iqa: {_one_line(error)}", file=sys.stderr)
        raise SystemExit(2) from None


@app.command()
def profile(
    name: Annotated[str, typer.Argument(help="tiny, small, gpu_short or paper.")],
    to: Annotated[Path, typer.Option("--to", help="The file to write.")] = Path("params.yaml"),
    force: Annotated[bool, typer.Option("--force", help="Replace a file that was changed by hand.")] = False,
) -> None:
    """Put a profile in place as params.yaml.

    A `run:` section that you changed (engine, workers, device, folders) is kept: it describes your machine and
    changes no result. Anything else that you changed stops the verb, unless --force is given.
    """
    from pipeline import profiles

    kept = profiles.place(name, to, force=force)
    print(f"{to}: profile {name}{', with the run: section that was there' if kept else ''}")


@app.command()
def sheet(
    photo: Annotated[Path | None, typer.Argument(help="An image file.")] = None,
    set_name: Annotated[
        str | None, typer.Option("--set", help="A source set instead: those of data/sources/NAME.")
    ] = None,
    out: Annotated[Path, typer.Option("-o", "--out", help="Where to write it: .png, .webp or .jpg.")] = Path(
        "sheet.png"
    ),
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Of what is random in the distortions.")] = 0,
    native: Annotated[
        bool, typer.Option("--native", help="Show the middle at its own pixels, not the whole reduced.")
    ] = False,
    side: Annotated[int, typer.Option(min=48, max=1024, help="Pixels of a picture's longer side.")] = 216,
    count: Annotated[int, typer.Option(min=1, max=400, help="With --set: how many sources at most.")] = 48,
) -> None:
    """Draw a contact sheet: a photo in all 25 types x 5 levels with PSNR (dB) and SSIM, or the sources of a set."""
    if (photo is None) == (set_name is None):
        _refuse("sheet: give a photo or --set NAME, one of the two")
    if out.suffix.lower() not in SHEET_FORMATS:
        _refuse(f"{out}: a sheet is written as {', '.join(SHEET_FORMATS)}")
    _not_itself(photo, out)
    _write_picture(out, _photo_sheet(photo, seed, side, native) if photo else _set_sheet(str(set_name), side, count))


@app.command()
def distort(
    photo: Annotated[Path, typer.Argument(help="An image file, or a folder of them (with its subfolders).")],
    kind: Annotated[str, typer.Option("--type", help="Name or number, 1..25: jpeg2000 or 9.")],
    level: Annotated[int, typer.Option(min=1, max=5, help="1..5.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            help="A file (.png .webp .qoi .jxl, all lossless), or a folder for a folder; what is there is replaced. "
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
        str, typer.Option(help="Of the files of a folder, and of a file without -o: png, webp, qoi or jxl.")
    ] = "png",
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
) -> None:
    """Distort an image, or every image of a folder, by one type at one level.

    In a folder a file that fails is named at the end and the others are written; the exit code is then 1.
    """
    from pipeline import distortions
    from pipeline.engine import Engine

    number = _type_number(kind)
    if codec not in LOSSLESS:
        _refuse(f"--codec {codec}: not one of {', '.join(LOSSLESS)}")
    out = out or _free_name(photo, number, level, codec)
    tasks, others = _distort_tasks(photo, out, number, level, seed, codec)
    if workers > 1 and len(tasks) > 1:
        distortions.compile_kernels()  # once, or every worker compiles
    engine = Engine("processes" if workers > 1 else "serial", workers)
    failed = [text for text in engine.map(distort_file, tasks, describe=f"distort {kind} {level}") if text]
    for text in failed:
        print(f"synthetic-iqa: {text}", file=sys.stderr)
    left = f"; {others} other files left alone" if others else ""
    print(f"{out}: {len(tasks) - len(failed)} written, {len(failed)} failed{left}")
    if failed:
        raise typer.Exit(1)


@app.command("verify")
def verify_shards(
    folders: Annotated[
        list[Path], typer.Argument(help="Folders of shards, or folders above them: every manifest.json below.")
    ],
) -> None:
    """Check every shard, its table and its record against the manifest's sha256. Exit code 1 on damage."""
    from pipeline import verify
    from pipeline.engine import progress

    shards = [check for folder in folders for check in verify.checks(folder)]
    damage = [
        text for found in progress(map(verify.problems, shards), total=len(shards), describe="verify") for text in found
    ]
    for text in damage:
        print(f"synthetic-iqa: {text}", file=sys.stderr)
    size = sum(check.meta.bytes for check in shards if check.meta) / 1e9
    print(f"{len(shards)} shards, {size:.2f} GB: {f'{len(damage)} problems' if damage else 'as the manifests say'}")
    if damage:
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


def distort_file(task: DistortFile) -> str:
    """Distort and write one file; returns what went wrong, in one line, or nothing.

    Whatever is raised (a codec's own error, no memory) is this file's failure: the others of its folder go on.
    """
    from pipeline import artifacts, distortions, images

    try:
        image = images.read(task.source)
        label = distortions.label(task.type, task.level)
        made = distortions.distort(
            image, task.type, task.level, parent_generator(image, task.seed).spawn(label + 1)[label]
        )
        artifacts.write_bytes(task.target, images.encode(made, task.codec))
    except Exception as error:
        text = _one_line(error)
        if not _expected(error) and text != type(error).__name__:
            text = f"{type(error).__name__}: {text}"
        return text if str(task.source) in text else f"{task.source}: {text}"
    return ""


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
        _refuse(f"--type {kind}: not one of 1..25, {', '.join(entry.name for entry in TYPES)}")
    return known[kind]


def _free_name(photo: Path, number: int, level: int, codec: str) -> Path:
    """Where a result goes without -o, in the working directory; refused where something is."""
    from pipeline.distortions import type_of

    kind = type_of(number).name
    single = photo.is_file()
    out = Path(f"{photo.stem}.{kind}.{level}.{codec}" if single else f"{photo.resolve().name}-{kind}-{level}")
    if photo.exists() and (out.exists() if single else out.is_file() or (out.is_dir() and any(out.iterdir()))):
        _refuse(f"{out}: is there already; give -o {out} to replace it, or another name")
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
    photo: Path, out: Path, number: int, level: int, seed: int, codec: str
) -> tuple[list[DistortFile], int]:
    """The files to do, and how many others lie in the folder."""
    if not photo.exists():
        _refuse(f"{photo}: no such file or folder")
    if photo.is_file():
        form = out.suffix.lower().lstrip(".")
        if form not in LOSSLESS:
            _refuse(f"{out}: a distorted image is written lossless, as {', '.join('.' + name for name in LOSSLESS)}")
        _not_itself(photo, out)
        return [DistortFile(photo, out, form, number, level, seed)], 0
    inside = out.resolve().is_relative_to(photo.resolve())
    if inside or out.is_file():
        _refuse(
            f"{out}: {'lies in the folder that is read' if inside else 'is a file, and a folder was given to distort'}"
        )
    every = sorted(path for path in photo.rglob("*") if path.is_file())
    files = [path for path in every if path.suffix.lower() in IMAGES]
    if not files:
        _refuse(f"{photo}: no images here ({', '.join(IMAGES)})")
    names = _target_names([path.relative_to(photo) for path in files], codec)
    tasks = [DistortFile(path, out / name, codec, number, level, seed) for path, name in zip(files, names, strict=True)]
    return tasks, len(every) - len(files)


def _photo_sheet(photo: Path, seed: int, side: int, native: bool) -> Sheet:
    from pipeline import distortions, images
    from pipeline.engine import progress
    from pipeline.report import sheets

    image = images.read(photo)
    samples = progress(
        distortions.distort_all(image, parent_generator(image, seed)), total=126, describe=f"sheet {photo.name}"
    )
    title = f"{photo.name}: 25 types at 5 levels; value, PSNR, SSIM"
    try:
        return sheets.distortion_sheet(title, samples, sheets.type_names(), side=side, native=native)
    except distortions.DistortionError as error:
        _refuse(f"{photo}: {_one_line(error)}")


def _set_sheet(name: str, side: int, count: int) -> Sheet:
    from pipeline.report import sheets
    from pipeline.shards.reader import ShardSet

    sources = ShardSet(Path("data") / "sources" / name)
    shown = min(count, len(sources))
    pictures = ((str(sources.table["id"][i].as_py()), sources.image(i)) for i in range(shown))
    return sheets.plain_sheet(f"{name}: {shown} of {len(sources)} sources", pictures, columns=8, side=side)


def _write_picture(out: Path, made: Sheet) -> None:
    import io

    from PIL import Image

    from pipeline.artifacts import write_bytes
    from pipeline.report import sheets

    picture, sink = sheets.draw(made), io.BytesIO()
    Image.fromarray(picture).save(sink, SHEET_FORMATS[out.suffix.lower()], quality=92)
    write_bytes(out, sink.getvalue())
    print(f"{out}: {picture.shape[1]} x {picture.shape[0]}")


def _not_itself(source: Path | None, out: Path) -> None:
    if source is not None and source.exists() and out.exists() and out.samefile(source):
        _refuse(f"{out}: is the file that is read")


def _refuse(text: str) -> NoReturn:
    print(f"synthetic-iqa: {text}", file=sys.stderr)
    raise SystemExit(2)


def _expected(error: Exception) -> bool:
    """Whether the user can mend it: an error of the pipeline's own kinds or the file system's. Others are bugs."""
    return isinstance(error, Refusal | OSError) or type(error).__module__.startswith("pipeline.")


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror.lower()}"
    return " ".join(str(error).split()) or type(error).__name__
