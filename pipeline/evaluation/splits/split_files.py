"""Splits from elsewhere: a JSON file of image ids or positions, checked before use."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.evaluation.splits.split import PARTS, Split, SplitError, checked, group_names, listed


def imported_splits(parts: Sequence[dict[str, Sequence[int]]], groups: Sequence[str] | np.ndarray) -> list[Split]:
    """Splits from elsewhere: one mapping part -> row positions each. Negative, out-of-range and repeated positions (the
    padding of public split files) are refused by number, as is a group on two sides.
    """
    groups, splits = group_names(groups), []
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
                raise SplitError(f"split {index}, {name}: positions {listed(wrong)} are outside 0..{len(groups) - 1}")
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
                raise SplitError(f"split {index}: parts {listed(sorted(part))}, expected lists train, val, test")
            named = [entry for name in part for entry in part[name] if isinstance(entry, str)]
            unknown = [entry for entry in named if entry not in row_of]
            if unknown:
                raise SplitError(f"split {index}: {listed(unknown)} are no scored images of the database")
            found.append({k: [row_of[e] if isinstance(e, str) else e for e in part[k]] for k in part})
        return imported_splits(found, groups)
    except (OSError, ValueError, RecursionError) as error:
        raise SplitError(f"{path}: {error}") from None
