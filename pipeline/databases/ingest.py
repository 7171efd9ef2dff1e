"""From a manifest and a folder to the database table: every image listed, decoded and hashed; every fault named."""

from __future__ import annotations

import fnmatch
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline import images
from pipeline.databases import equal_images
from pipeline.databases.inspection import Inspected, Piece, inspect
from pipeline.databases.manifest import Images, Manifest
from pipeline.databases.names import fold, near_misses, path_in
from pipeline.databases.scores import Score, ScoreTable, read_scores
from pipeline.databases.table import IngestError, about_opinions, database_table, refuse
from pipeline.engine import Engine

REFERENCE = " (reference)"  # behind the image_id of a reference that is scored as well


def ingest_folder(
    manifest: Manifest, folder: Path, *, engine: Engine | None = None, max_pixels: int = images.MAX_PIXELS
) -> pa.Table:
    """The database table of ``folder`` (schema: :data:`pipeline.databases.table.DATABASE`), ordered by image_id.

    Names of the score file and of the disk meet whatever their case, Unicode form and slashes. Images of equal pixels
    share a group. Raises :class:`IngestError` with every fault at once: scores without images, images without scores,
    missing references, undecodable images, names that several files have, equal images in different parts of an
    official split, and what :func:`read_scores` refuses.
    """
    folder = Path(folder)
    table = read_scores(manifest, folder)
    files = _files(manifest, table, folder)
    pieces = {path: Piece(str(path), str(path)) for path in (*files.scored.values(), *files.references.values())}
    inspected = inspect(list(pieces.values()), engine or Engine(), max_pixels)
    rows, pixels = [], {}
    for row, path in _rows(manifest, table.scores, files):
        image = inspected[str(path)]
        rows.append({**row, **image.columns(), "path": path.relative_to(folder).as_posix()})
        pixels[row["image_id"]] = image.pixels_sha256 or str(path)
    wanted = sorted({score.reference for score in table.scores if score.reference is not None})
    equals = equal_images.equal_sets(rows, pixels)
    refuse(
        manifest,
        {
            "names that several files have": files.clashes,
            "folders that can't be listed": files.unlisted,
            "scores without images": [score.image for score in table.scores if score.image not in files.scored],
            "images without scores": files.extra,
            "references that are not there": [name for name in wanted if name not in files.references],
            "images that can't be decoded": _faults(files, inspected),
            "sets of equal images in different parts of the official split (the manifest's `official_shares_groups: "
            "true` accepts them)": equal_images.across_official_parts(manifest, equals),
        },
    )
    notes = images.conversions(image.facts for image in inspected.values())
    notes += about_opinions(manifest, [score.mos for score in table.scores])
    notes += [f"{len(files.loops)} links to a folder above them were not followed"] if files.loops else []
    return database_table(manifest, rows, equals=equals, unscored=files.unscored, notes=notes)


@dataclass(frozen=True)
class _Files:
    """Where the scored images and the references are, by their names in the score file.

    ``extra``: images that nothing speaks of. ``unscored``: how many more are declared to have no score. ``clashes``:
    names that several files have. ``unlisted``: folders that cannot be listed.
    """

    scored: dict[str, Path]
    references: dict[str, Path]
    extra: list[str]
    unscored: int
    clashes: list[str]
    unlisted: list[str]
    loops: list[Path]


def _files(manifest: Manifest, table: ScoreTable, folder: Path) -> _Files:
    declared = manifest.images
    assert declared is not None
    root = _folder(manifest, folder, declared.folder)
    listing = listing_of_references = images.list_images([root], endings=declared.extensions)
    files, clashes = _by_name(listing, root, declared)
    reference_files = files
    if manifest.references_folder not in (None, declared.folder):
        beside = _folder(manifest, folder, str(manifest.references_folder))
        listing_of_references = images.list_images([beside], endings=declared.extensions)
        reference_files, more = _by_name(listing_of_references, beside, declared)
        clashes += more
    names = {score.reference for score in table.scores if score.reference is not None}
    scored = {score.image: files[fold(score.image)] for score in table.scores if fold(score.image) in files}
    references = {name: reference_files[fold(name)] for name in sorted(names) if fold(name) in reference_files}
    left_out = {files[name] for name in map(fold, table.left_out) if name in files}
    left = sorted(set(files.values()) - {*scored.values(), *references.values()} - left_out)
    extra = [path.relative_to(root).as_posix() for path in left if not _is_unscored(path, root, declared)]
    unlisted = {
        f"{path.relative_to(folder)} ({problem})"
        for listed in (listing, listing_of_references)
        for path, problem in listed.failed.items()
        if path.is_dir()
    }
    return _Files(
        scored, references, extra, len(left) - len(extra), sorted(set(clashes)), sorted(unlisted), listing.loops
    )


def _folder(manifest: Manifest, folder: Path, name: str) -> Path:
    path = path_in(folder, name)
    if path is None or not path.is_dir():
        like = ", ".join(near_misses(folder, name, folders=True)) or "no folders"
        raise IngestError(f"{manifest.name}: no folder {name} in {folder}; there are {like}")
    return path


def _by_name(listing: images.Listing, root: Path, declared: Images) -> tuple[dict[str, Path], list[str]]:
    """Folded name (the path below ``root``, or the file's own name) -> file; and the names that several files have.

    A file that is declared to have no score never stands in for another.
    """
    unreadable = [path for path in listing.failed if not path.is_dir()]  # decoding them says why
    files: dict[str, list[Path]] = defaultdict(list)
    for path in [*listing.files, *unreadable]:
        files[fold(path.name if declared.by_name else path.relative_to(root).as_posix())].append(path)
    by_name, clashes = {}, []
    for name, paths in files.items():
        scored = [path for path in paths if not _is_unscored(path, root, declared)]
        by_name[name] = (scored or paths)[0]
        if len(scored) > 1:
            clashes.append(" = ".join(path.relative_to(root).as_posix() for path in scored))
    return by_name, clashes


def _is_unscored(path: Path, root: Path, declared: Images) -> bool:
    inside = fold(path.relative_to(root).as_posix())
    return any(fnmatch.fnmatchcase(inside, fold(pattern)) for pattern in declared.unscored)


def _faults(files: _Files, inspected: dict[str, Inspected]) -> list[str]:
    named = {**files.references, **files.scored}
    return [f"{name} ({inspected[str(path)].fault})" for name, path in named.items() if inspected[str(path)].fault]


def _rows(manifest: Manifest, scores: Sequence[Score], files: _Files) -> list[tuple[dict[str, Any], Path]]:
    """What scores and manifest say of each image, and its file: the scored ones, then the references."""
    constant = {"higher_is_better": manifest.higher_is_better, "short_side": manifest.short_side}
    scored = {score.image: score for score in scores if score.image in files.scored}
    ids = {name: name + REFERENCE if name in scored else name for name in files.references}
    rows = [
        (
            {
                "image_id": score.image,
                "group": score.group,
                "reference_id": None if score.reference is None else ids.get(score.reference, score.reference),
                "is_reference": False,
                "mos": score.mos,
                "mos_std": score.mos_std,
                "type": score.type,
                "level": score.level,
                "official_split": score.official_split,
                "stratum": score.stratum,
                **constant,
            },
            files.scored[name],
        )
        for name, score in scored.items()
    ]
    group_of = {score.reference: score.group for score in scores}
    return rows + [
        (
            {"image_id": ids[name], "group": group_of[name], "is_reference": True, "official_split": None, **constant},
            path,
        )
        for name, path in files.references.items()
    ]
