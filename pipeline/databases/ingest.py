"""From a manifest and a folder to the database table: every image found, decoded, hashed; every fault named."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from pipeline import artifacts, images
from pipeline.databases.manifest import OWN_MANIFEST, Images, Manifest
from pipeline.databases.scores import Score, ScoreTable, read_scores
from pipeline.databases.table import database_table, duplicates, refuse
from pipeline.engine import Engine, last_seen

_CHUNK = 64  # images of one task: half a second of decoding


@dataclass(frozen=True)
class Inspected:
    """What an image file turned out to be; ``fault`` is why it was refused, or empty."""

    sha256: str = ""
    phash: int = 0
    width: int = 0
    height: int = 0
    fault: str = ""


@dataclass(frozen=True)
class Piece:
    """Where the bytes of one image are; ``offset`` and ``size`` for a member of a tar."""

    name: str
    path: str
    offset: int | None = None
    size: int | None = None


def ingest_folder(
    manifest: Manifest, folder: Path, *, engine: Engine | None = None, max_pixels: int = images.MAX_PIXELS
) -> pa.Table:
    """The database table of ``folder`` (schema: :data:`pipeline.databases.table.DATABASE`), ordered by image_id.

    Raises :class:`IngestError` with every fault at once: scores without images, images without scores, missing
    references, undecodable images, equal images, and what :func:`read_scores` refuses.
    """
    folder = Path(folder)
    table = read_scores(manifest, folder)
    scores = table.scores
    files = _files(manifest, table, folder)
    pieces = [Piece(name, str(path)) for name, path in {**files.scored, **files.references}.items()]
    seen = inspect(pieces, engine or Engine(), max_pixels)
    there = [score for score in scores if score.image in files.scored]
    rows = [_row(manifest, score, seen[score.image], files.scored[score.image], folder) for score in there]
    rows += _reference_rows(manifest, scores, seen, files.references, folder)
    wanted = sorted({score.reference for score in scores if score.reference is not None})
    refuse(
        manifest,
        {
            "names that several files have": files.clashes,
            "scores without images": [score.image for score in scores if score.image not in files.scored],
            "images without scores": files.extra,
            "references that are not there": [name for name in wanted if name not in files.references],
            "images that are both scored and a reference": sorted(set(files.scored) & set(files.references)),
            "images that can't be decoded": [f"{name} ({r.fault})" for name, r in seen.items() if r.fault],
            "sets of equal images": duplicates(manifest, [row for row in rows if row["sha256"]]),
        },
    )
    return database_table(manifest, rows, unscored=files.unscored)


@dataclass(frozen=True)
class _Files:
    """Where the images and the references are, by their names; files that nothing speaks of, and how many more are
    declared to have no score; names of several files.
    """

    scored: dict[str, Path]
    references: dict[str, Path]
    extra: list[str]
    unscored: int
    clashes: list[str]


def _files(manifest: Manifest, table: ScoreTable, folder: Path) -> _Files:
    declared = manifest.images
    assert declared is not None
    key, root = _key(declared), folder / declared.folder
    found, clashes = _listing(root, declared)
    others = found
    if manifest.references_folder not in (None, declared.folder):
        others, more = _listing(folder / str(manifest.references_folder), declared)
        clashes += more
    names = sorted({score.reference for score in table.scores if score.reference is not None})
    scored = {score.image: found[key(score.image)] for score in table.scores if key(score.image) in found}
    references = {name: others[key(name)] for name in names if key(name) in others}
    left_out = {found[key(name)] for name in table.left_out if key(name) in found}
    others_left = sorted(set(found.values()) - {*scored.values(), *references.values()} - left_out)
    extra = [path.relative_to(root).as_posix() for path in others_left if not _unscored(path, root, declared)]
    return _Files(scored, references, extra, len(others_left) - len(extra), sorted(set(clashes)))


def inspect(pieces: Sequence[Piece], engine: Engine, max_pixels: int) -> dict[str, Inspected]:
    """Decode and hash ``pieces``; what can't be decoded comes back with its fault."""
    tasks = [(list(pieces[i : i + _CHUNK]), max_pixels) for i in range(0, len(pieces), _CHUNK)]
    found = [result for chunk in engine.map(inspect_chunk, tasks, describe="ingest") for result in chunk]
    return dict(zip((piece.name for piece in pieces), found, strict=True))


def inspect_chunk(task: tuple[list[Piece], int]) -> list[Inspected]:
    """One task of :func:`inspect`."""
    return [_inspect(piece, task[1]) for piece in task[0]]


def _inspect(piece: Piece, max_pixels: int) -> Inspected:
    last_seen.note(f"while reading {piece.path}")
    try:
        with open(piece.path, "rb") as file:
            file.seek(piece.offset or 0)
            data = file.read(-1 if piece.size is None else piece.size)
        image = images.decode(data, name=Path(piece.path).name, max_pixels=max_pixels)
    except (images.ImageError, OSError) as error:
        return Inspected(fault=str(error))
    height, width = image.shape[:2]
    return Inspected(artifacts.sha256_bytes(data), images.perceptual_hash(image), width, height)


def _listing(folder: Path, declared: Images) -> tuple[dict[str, Path], list[str]]:
    """Image files below ``folder``: key (relative path, or the name alone; lower case if the manifest says so) -> path;
    and the keys that several files have. An unscored file never stands in for another.
    """
    if not folder.is_dir():
        return {}, []
    suffixes, key = {suffix.lower() for suffix in declared.extensions}, _key(declared)
    found: dict[str, Path] = {}
    clashes = []
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in suffixes or not path.is_file() or path.name == OWN_MANIFEST:
            continue
        name = key(path.name if declared.by_name else path.relative_to(folder).as_posix())
        if name in found and _unscored(path, folder, declared):
            continue
        if name in found and not _unscored(found[name], folder, declared):
            clashes.append(name)
        found[name] = path
    return found, clashes


def _unscored(path: Path, folder: Path, declared: Images) -> bool:
    key = _key(declared)
    inside = key(path.relative_to(folder).as_posix())
    return any(fnmatch.fnmatchcase(inside, key(pattern)) for pattern in declared.unscored)


def _key(declared: Images) -> Callable[[str], str]:
    return str.lower if declared.ignore_case else str


def _row(manifest: Manifest, score: Score, seen: Inspected, path: Path, folder: Path) -> dict[str, object]:
    return {
        "image_id": score.image,
        "path": path.relative_to(folder).as_posix(),
        "sha256": seen.sha256,
        "phash": seen.phash,
        "group": score.group,
        "reference_id": score.reference,
        "is_reference": False,
        "mos": score.mos,
        "mos_std": score.mos_std,
        "higher_is_better": manifest.higher_is_better,
        "type": score.type,
        "level": score.level,
        "official_split": score.official_split,
        "stratum": score.stratum,
        "short_side": manifest.short_side,
        "width": seen.width,
        "height": seen.height,
    }


def _reference_rows(
    manifest: Manifest, scores: Sequence[Score], seen: dict[str, Inspected], paths: dict[str, Path], folder: Path
) -> list[dict[str, object]]:
    group_of = {score.reference: score.group for score in scores if score.reference is not None}
    rows = []
    for name, path in paths.items():
        row = _row(
            manifest, Score(name, 0.0, None, None, group_of[name], None, None, None, None), seen[name], path, folder
        )
        rows.append({**row, "is_reference": True, "mos": None})
    return rows
