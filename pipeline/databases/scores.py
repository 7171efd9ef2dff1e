"""Reading a database's score file into plain rows."""

from __future__ import annotations

import csv
import math
import re
from dataclasses import dataclass
from pathlib import Path

from pipeline.databases.manifest import Manifest, Scores
from pipeline.databases.table import IngestError, refuse


@dataclass(frozen=True)
class Score:
    """One scored image as the score file and the manifest's patterns have it."""

    image: str
    mos: float
    mos_std: float | None
    reference: str | None
    group: str
    stratum: str | None
    type: int | None
    level: int | None
    official_split: str | None


def read_scores(manifest: Manifest, folder: Path) -> list[Score]:
    """The rows of the score file, in its order.

    Raises :class:`IngestError` naming a missing file or column, and the images that are listed twice, have no number
    for a score, one outside the declared range, or do not fit a declared pattern or official part.
    """
    assert manifest.scores is not None
    rows = _lines(manifest.name, manifest.scores, Path(folder) / manifest.scores.file)
    faults: dict[str, list[str]] = {}
    scores, seen = [], set()
    for row in rows:
        try:
            score = _score(manifest, manifest.scores, row)
        except _RowFault as fault:
            faults.setdefault(fault.what, []).append(fault.name)
            continue
        if score.image in seen:
            faults.setdefault("images with two scores", []).append(score.image)
        seen.add(score.image)
        scores.append(score)
    refuse(manifest, faults)
    if not scores:
        raise IngestError(f"{manifest.name}: {manifest.scores.file} has no rows")
    return scores


class _RowFault(Exception):
    def __init__(self, what: str, name: str) -> None:
        super().__init__(what)
        self.what, self.name = what, name


def _lines(name: str, scores: Scores, path: Path) -> list[dict[str, str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise IngestError(f"{name}: score file {path} can't be read ({error})") from None
    if scores.delimiter == "whitespace":
        cells = [line.split() for line in text.splitlines()]
    else:
        cells = [[cell.strip() for cell in row] for row in csv.reader(text.splitlines(), delimiter=scores.delimiter)]
    cells = [row for row in cells if any(row)]
    header = list(scores.columns) if scores.columns else (cells.pop(0) if cells else [])
    wanted = scores.model_dump(include={"image", "mos", "mos_std", "reference", "group", "stratum", "official_split"})
    missing = [column for column in wanted.values() if column is not None and column not in header]
    if missing:
        raise IngestError(f"{name}: {path.name} has no column {', '.join(missing)}; it has {', '.join(header)}")
    uneven = [str(number) for number, row in enumerate(cells, 1) if len(row) != len(header)]
    if uneven:
        raise IngestError(f"{name}: {path.name}: rows {', '.join(uneven[:10])} do not have {len(header)} cells")
    return [dict(zip(header, row, strict=True)) for row in cells]


def _score(manifest: Manifest, scores: Scores, row: dict[str, str]) -> Score:
    assert manifest.images is not None
    image = row[scores.image].replace("\\", "/")
    image = image.lower() if manifest.images.ignore_case else image
    if not image or image.startswith("/") or ".." in image.split("/"):
        raise _RowFault("image names that leave the folder", image or "(empty)")
    mos = _number(row[scores.mos], "scores that are no numbers", image)
    if not manifest.range[0] <= mos <= manifest.range[1]:
        raise _RowFault(f"scores outside {manifest.range[0]:g} to {manifest.range[1]:g}", f"{image} ({mos:g})")
    std = None if scores.mos_std is None else _number(row[scores.mos_std], "spreads that are no numbers", image)
    reference = _reference(manifest, scores, image, row)
    kind, level = _type_level(manifest, image)
    stratum = f"{kind:02d}" if manifest.stratum == "type" else None
    if manifest.stratum == "column":
        stratum = row[str(scores.stratum)]
    group = _group(manifest, image, reference, row)
    return Score(image, mos, std, reference, group, stratum, kind, level, _official(manifest, scores, image, row))


def _reference(manifest: Manifest, scores: Scores, image: str, row: dict[str, str]) -> str | None:
    if scores.reference is not None:
        return row[scores.reference]
    if manifest.reference_pattern is None:
        return None
    found = re.fullmatch(manifest.reference_pattern, image)
    if found is None:
        raise _RowFault("image names that do not fit reference_pattern", image)
    return found["reference"] + manifest.reference_suffix


def _number(text: str, what: str, image: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise _RowFault(what, f"{image} ({text!r})")
    return value


def _type_level(manifest: Manifest, image: str) -> tuple[int | None, int | None]:
    if manifest.type_level is None:
        return None, None
    found = re.fullmatch(manifest.type_level, image)
    if found is None:
        raise _RowFault("image names that do not fit type_level", image)
    level = found.groupdict().get("level")
    return int(found["type"]), None if level is None else int(level)


def _group(manifest: Manifest, image: str, reference: str | None, row: dict[str, str]) -> str:
    group = manifest.group
    if group.kind == "reference":
        return str(reference)
    if group.kind == "column":
        assert manifest.scores is not None
        return row[str(manifest.scores.group)]
    if group.kind == "image":
        return image
    assert group.pattern is not None and group.size is not None
    found = re.fullmatch(group.pattern, image)
    if found is None:
        raise _RowFault("image names that do not fit group.pattern", image)
    first = (int(found["number"]) - 1) // group.size * group.size + 1
    return f"{found.groupdict().get('subset', '')}:{first:06d}".lstrip(":")


def _official(manifest: Manifest, scores: Scores, image: str, row: dict[str, str]) -> str | None:
    if scores.official_split is None:
        return None
    part = row[scores.official_split]
    if part not in manifest.official_parts:
        raise _RowFault("official parts that official_parts does not name", f"{image} ({part!r})")
    return manifest.official_parts[part]
