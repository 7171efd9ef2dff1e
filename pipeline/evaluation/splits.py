"""Which images train, validate and test: by group, never by image, so that no content is on two sides.

Groups are what the database's manifest declares (a reference with all its versions, a block of neighbouring numbers, an
image). Positions are rows of the table of scored images.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline import Refusal
from pipeline.seeding import generator

PARTS = ("train", "val", "test")


class SplitError(Refusal, ValueError):
    """A split that leaks or does not fit the table; the message names the rows or groups."""


@dataclass(frozen=True)
class Split:
    """Row positions (int64, ascending) of the three parts; ``val`` may be empty."""

    index: int
    train: np.ndarray
    val: np.ndarray
    test: np.ndarray


def random_splits(
    groups: Sequence[str] | np.ndarray,
    *,
    seed: int,
    database: str,
    count: int = 10,
    strata: Sequence[str] | None = None,
) -> list[Split]:
    """``count`` splits of 70 / 10 / 20 % of the groups, each drawn anew.

    test = round(0.2 g), val = round(0.1 g) (halves to even), train the rest: 57 / 8 / 16 of KADID-10k's 81 references,
    18 / 2 / 5 of TID2013's 25. With ``strata`` (one an image, constant inside a group) the shares hold inside each
    stratum. Raises :class:`SplitError` for fewer than 3 groups or a group that spans strata.
    """
    groups = _names(groups)
    pools = _pools(groups, strata)
    if sum(len(pool) for pool in pools) < 3:
        raise SplitError(f"{database}: {sum(len(pool) for pool in pools)} groups; three parts need at least 3")
    splits = []
    for index in range(count):
        draw = generator(seed, f"evaluate/splits/{database}", index)
        chosen: dict[str, set[str]] = {part: set() for part in PARTS}
        for pool in pools:
            order = [pool[i] for i in draw.permutation(len(pool))]
            test, val = max(1, round(0.2 * len(pool))), max(1, round(0.1 * len(pool)))
            chosen["test"].update(order[:test])
            chosen["val"].update(order[test : test + val])
            chosen["train"].update(order[test + val :])
        splits.append(Split(index, *(np.flatnonzero(np.isin(groups, sorted(chosen[part]))) for part in PARTS)))
    return [checked(split, groups) for split in splits]


def leave_one_group_out(groups: Sequence[str] | np.ndarray) -> list[Split]:
    """One split a group, ordered by the groups' names: it is the test part, all others train, none validates."""
    groups = _names(groups)
    names = sorted(set(groups))
    if len(names) < 3:
        raise SplitError(
            f"{len(names)} groups; leaving one out needs at least 3, so that lambda can be chosen among the rest"
        )
    empty = np.empty(0, dtype=np.int64)
    return [
        checked(Split(i, np.flatnonzero(groups != name), empty, np.flatnonzero(groups == name)), groups)
        for i, name in enumerate(names)
    ]


def official_split(
    parts: Sequence[str | None],
    groups: Sequence[str] | np.ndarray,
    *,
    seed: int,
    database: str,
    shares_groups: bool = False,
) -> Split:
    """The database's own split; what it calls ``unused`` is in no part. Without a ``val`` part, a tenth of all groups
    is drawn from those in train.

    ``shares_groups`` is the manifest's declaration that the official parts share groups (BIQ2021 cuts by image):
    allowed then between train and test, and to be reported; otherwise a :class:`SplitError` names the groups.
    """
    groups, labels = _names(groups), np.asarray([str(part) for part in parts])
    unknown = sorted(set(labels) - {*PARTS, "unused"})
    if unknown:
        raise SplitError(
            f"{database}: official_split has {', '.join(unknown)}; expected {', '.join(PARTS)} or unused for every "
            "scored image"
        )
    if "val" not in labels:
        pool = sorted(set(groups[labels == "train"]))
        size = max(1, round(0.1 * len(set(groups))))
        order = generator(seed, f"evaluate/official/{database}").permutation(len(pool))[:size]
        labels[(labels == "train") & np.isin(groups, [pool[i] for i in order])] = "val"
    split = Split(0, *(np.flatnonzero(labels == part) for part in PARTS))
    return checked(split, groups, shares_groups=shares_groups)


def imported_splits(parts: Sequence[dict[str, Sequence[int]]], groups: Sequence[str] | np.ndarray) -> list[Split]:
    """Splits from elsewhere: one mapping part -> row positions each. Negative, out-of-range and repeated positions (the
    padding of public split files) are refused by number, as is a group on two sides.
    """
    groups, splits = _names(groups), []
    for index, part in enumerate(parts):
        missing = [name for name in ("train", "test") if not len(part.get(name, ()))]
        if missing:
            raise SplitError(f"split {index}: no {' and no '.join(missing)} part")
        arrays = []
        for name in PARTS:
            given = np.asarray(part.get(name, ()))
            if len(given) and given.dtype.kind not in "iu":
                raise SplitError(f"split {index}, {name}: positions are {given.dtype}, expected whole numbers")
            rows = given.astype(np.int64)
            wrong = rows[(rows < 0) | (rows >= len(groups))]
            if len(wrong):
                raise SplitError(f"split {index}, {name}: positions {_some(wrong)} are outside 0..{len(groups) - 1}")
            if len(set(rows.tolist())) != len(rows):
                raise SplitError(f"split {index}, {name}: positions are repeated")
            arrays.append(np.sort(rows))
        splits.append(checked(Split(index, *arrays), groups))
    return splits


def read_splits(path: Path, image_ids: Sequence[str], groups: Sequence[str] | np.ndarray) -> list[Split]:
    """The splits of a JSON file: a list of {"train": [...], "val": [...], "test": [...]} (val may be absent), each
    a list of names of ``image_ids``, or of positions among them. :class:`SplitError` names the file and the fault.
    """
    try:
        parts = json.loads(path.read_bytes())
        if not isinstance(parts, list) or not parts or not all(isinstance(part, dict) for part in parts):
            raise SplitError("not a list of splits")
        row_of = {name: row for row, name in enumerate(image_ids)}
        found: list[dict[str, Sequence[int]]] = []
        for index, part in enumerate(parts):
            if set(part) - set(PARTS) or not all(isinstance(part[name], list) for name in part):
                raise SplitError(f"split {index}: its parts are {_some(sorted(part))}, expected lists train, val, test")
            named = [entry for name in part for entry in part[name] if isinstance(entry, str)]
            unknown = [entry for entry in named if entry not in row_of]
            if unknown:
                raise SplitError(f"split {index}: {_some(unknown)} are no scored images of the database")
            found.append({k: [row_of[e] if isinstance(e, str) else e for e in part[k]] for k in part})
        return imported_splits(found, groups)
    except (OSError, ValueError, RecursionError) as error:
        raise SplitError(f"{path}: {error}") from None


def checked(split: Split, groups: Sequence[str] | np.ndarray, *, shares_groups: bool = False) -> Split:
    """``split`` itself, or :class:`SplitError` if a row or a group is in two parts, train or test is empty, or rows do
    not ascend (predictions are looked up by their order).
    """
    groups = _names(groups)
    if not len(split.train) or not len(split.test):
        raise SplitError(
            f"split {split.index}: train has {len(split.train)} images, test {len(split.test)}; neither may be empty"
        )
    for part in PARTS:
        rows = getattr(split, part)
        if (np.diff(rows) <= 0).any() or (len(rows) and not 0 <= rows[0] <= rows[-1] < len(groups)):
            raise SplitError(f"split {split.index}, {part}: rows must ascend, within 0..{len(groups) - 1}")
    for first, second in (("train", "val"), ("train", "test"), ("val", "test")):
        a, b = getattr(split, first), getattr(split, second)
        rows = np.intersect1d(a, b)
        if len(rows):
            raise SplitError(f"split {split.index}: rows {_some(rows)} are in {first} and {second}")
        if not shares_groups and (shared := sorted(set(groups[a]) & set(groups[b]))):
            raise SplitError(f"split {split.index}: groups {_some(shared)} are in {first} and {second}")
    return split


def shared_groups(split: Split, groups: Sequence[str] | np.ndarray) -> int:
    """How many of the test part's groups also train or validate."""
    groups = _names(groups)
    return len(set(groups[split.test]) & (set(groups[split.train]) | set(groups[split.val])))


def _pools(groups: np.ndarray, strata: Sequence[str] | None) -> list[list[str]]:
    if strata is None:
        return [sorted(set(groups))]
    stratum_of: dict[str, str] = {}
    for group, stratum in zip(groups, strata, strict=True):
        if stratum_of.setdefault(group, str(stratum)) != str(stratum):
            raise SplitError(
                f"group {group} is in the strata {stratum_of[group]} and {stratum}: splits can't be stratified by them"
            )
    names = sorted(set(stratum_of.values()))
    pools = [sorted(group for group, stratum in stratum_of.items() if stratum == name) for name in names]
    small = [f"{name} ({len(pool)})" for name, pool in zip(names, pools, strict=True) if len(pool) < 3]
    if small:
        raise SplitError(f"strata with fewer than 3 groups can't be in all three parts: {', '.join(small)}")
    return pools


def _names(groups: Sequence[str] | np.ndarray) -> np.ndarray:
    if isinstance(groups, np.ndarray) and groups.dtype.kind == "U":  # 50 bytes an image less, as often as it is asked
        return groups
    return np.asarray([str(group) for group in groups])


def _some(values: Sequence[object] | np.ndarray) -> str:
    shown = ", ".join(str(value) for value in list(values)[:10])
    return shown + (f" and {len(values) - 10} more" if len(values) > 10 else "")
