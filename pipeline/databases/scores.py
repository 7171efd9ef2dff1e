"""Reading a database's score file into plain rows."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

from pipeline.databases.manifest import Manifest, Scores
from pipeline.databases.names import clean, filled, fold
from pipeline.databases.scorefile import read_file, read_rows
from pipeline.databases.table import IngestError, refuse

_LARGEST = 2**15 - 1  # what the table's columns type and level hold


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


@dataclass(frozen=True)
class ScoreTable:
    """The scores in the file's order, and the names of images that the manifest's ``leave_out`` takes away.

    Each reference has one spelling, the first that the file has of it.
    """

    scores: list[Score]
    left_out: frozenset[str]


def read_scores(manifest: Manifest, folder: Path) -> ScoreTable:
    """What the score file says of each image.

    Raises :class:`IngestError` naming a missing file or column, and the images that are listed twice, have no number
    for a score, one outside the declared range, or do not fit a declared pattern or official part.
    """
    assert manifest.scores is not None
    rows = read_rows(manifest.name, manifest.scores, Path(folder))
    official = _OfficialParts(manifest, Path(folder))
    references = _Spellings()
    faults: dict[str, list[str]] = {}
    scores, seen, left_out = [], set(), set()
    for row in rows:
        gone = any(re.fullmatch(pattern, row[column]) for column, pattern in manifest.scores.leave_out.items())
        try:
            image = _image(manifest.scores, row)
            if gone:
                left_out.add(image)
                continue
            reference = references.of(_reference(manifest, manifest.scores, image, row))
            score = _score(manifest, manifest.scores, image, reference, row, official.of(image, row))
        except _RowFault as fault:
            if not gone:
                faults.setdefault(fault.what, []).append(fault.name)
            continue
        if fold(score.image) in seen:
            faults.setdefault("images with two scores", []).append(score.image)
        seen.add(fold(score.image))
        scores.append(score)
    faults["images of a split file without a score"] = official.without(seen | set(map(fold, left_out)))
    refuse(manifest, faults)
    if not scores:
        raise IngestError(f"{manifest.name}: {manifest.scores.file} has no rows")
    return ScoreTable(scores, frozenset(left_out))


class _RowFault(Exception):
    def __init__(self, what: str, name: str) -> None:
        super().__init__(what)
        self.what, self.name = what, name


def _image(scores: Scores, row: dict[str, str]) -> str:
    name = filled(scores.image, row)
    if not (image := clean(name)):
        raise _RowFault("image names that leave the folder", name or "(empty)")
    return image


def _score(
    manifest: Manifest, scores: Scores, image: str, reference: str | None, row: dict[str, str], part: str | None
) -> Score:
    mos = _number(row[scores.mos], "scores that are no numbers", image)
    if not manifest.range[0] <= mos <= manifest.range[1]:
        raise _RowFault(f"scores outside {manifest.range[0]:g} to {manifest.range[1]:g}", f"{image} ({mos:g})")
    std = None if scores.mos_std is None else _number(row[scores.mos_std], "spreads that are no numbers", image)
    if std is not None and std < 0:
        raise _RowFault("spreads below 0", f"{image} ({std:g})")
    kind, level = _type_level(manifest, image)
    group = _group(manifest, image, reference, row)
    stratum = None
    if manifest.stratum == "type":
        stratum = f"{kind:02d}"
    elif manifest.stratum == "column":
        stratum = row[str(scores.stratum)]
    elif manifest.stratum == "subset":
        stratum = group.partition(":")[0]  # of a block, as _group has made it
    return Score(image, mos, std, reference, group, stratum, kind, level, part)


def _reference(manifest: Manifest, scores: Scores, image: str, row: dict[str, str]) -> str | None:
    if scores.reference is not None:
        name = filled(scores.reference, row)
        if not (reference := clean(name)):
            raise _RowFault("references that leave the folder", f"{image} ({name!r})")
        return reference
    if manifest.reference_pattern is None:
        return None
    match = re.fullmatch(manifest.reference_pattern, image, re.IGNORECASE)
    if match is None:
        raise _RowFault("image names that do not fit reference_pattern", image)
    return match["reference"] + manifest.reference_suffix


def _number(text: str, what: str, image: str) -> float:
    try:
        value = math.nan if "_" in text else float(text)  # Python would read 1_0 as 10
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise _RowFault(what, f"{image} ({text!r})")
    return value


def _type_level(manifest: Manifest, image: str) -> tuple[int | None, int | None]:
    if manifest.type_level is None:
        return None, None
    match = re.fullmatch(manifest.type_level, image, re.IGNORECASE)
    if match is None:
        raise _RowFault("image names that do not fit type_level", image)
    level, kind = match.groupdict().get("level"), match["type"]
    numbers = {fold(word): number for word, number in manifest.types.items()}
    if fold(kind) not in numbers and not kind.isdecimal():
        raise _RowFault("types that have no number in `types`", f"{image} ({kind})")
    number = numbers[fold(kind)] if fold(kind) in numbers else int(kind)
    if number > _LARGEST or int(level or 0) > _LARGEST:
        raise _RowFault(f"types or levels above {_LARGEST}", image)
    return number, None if level is None else int(level)


def _group(manifest: Manifest, image: str, reference: str | None, row: dict[str, str]) -> str:
    group = manifest.group
    if group.kind == "reference":
        return str(reference)
    if group.kind == "column":
        assert manifest.scores is not None
        if not (name := row[str(manifest.scores.group)]):
            raise _RowFault("images without a group", image)
        return name
    if group.kind == "image":
        return image
    assert group.pattern is not None and group.size is not None
    match = re.fullmatch(group.pattern, image, re.IGNORECASE)
    if match is None:
        raise _RowFault("image names that do not fit group.pattern", image)
    first = (int(match["number"]) - 1) // group.size * group.size + 1
    return f"{match.groupdict().get('subset', '').lower()}:{first:06d}".lstrip(":")


class _Spellings:
    """The first spelling of each name."""

    def __init__(self) -> None:
        self._first: dict[str, str] = {}

    def of(self, name: str | None) -> str | None:
        return None if name is None else self._first.setdefault(fold(name), name)


class _OfficialParts:
    """The database's own split, from a column of the score file or from files of its own."""

    def __init__(self, manifest: Manifest, folder: Path) -> None:
        assert manifest.scores is not None
        self.parts, self.column = manifest.official_parts, manifest.scores.official_split
        self.from_files = bool(manifest.scores.split_files)
        self.listed: dict[str, tuple[str, str]] = {}  # folded name -> the file's name and its word for the part
        faults: dict[str, list[str]] = {}
        for given in manifest.scores.split_files:
            for row in read_file(manifest.name, folder, given.file):
                lacking = [column for column in (given.image, given.part) if column is not None and column not in row]
                if lacking:
                    raise IngestError(f"{manifest.name}: {given.file} has no column {', '.join(lacking)}")
                image, word = row[given.image], given.file if given.part is None else row[given.part]
                if self.listed.setdefault(fold(clean(image)), (image, word))[1] != word:
                    faults.setdefault("images in two parts of the official split", []).append(image)
        refuse(manifest, faults)

    def of(self, image: str, row: dict[str, str]) -> str | None:
        """train, val, test or unused; None where the database has no split."""
        if self.from_files and fold(image) not in self.listed:
            return "unused"
        if self.column is None and not self.from_files:
            return None
        part = self.listed[fold(image)][1] if self.from_files else row[str(self.column)]
        if part not in self.parts:
            raise _RowFault("official parts that official_parts does not name", f"{image} ({part!r})")
        return self.parts[part]

    def without(self, scored: set[str]) -> list[str]:
        """What a split file lists and no row of the score file has; ``scored`` are folded names."""
        return sorted(name for folded, (name, _) in self.listed.items() if folded not in scored)
