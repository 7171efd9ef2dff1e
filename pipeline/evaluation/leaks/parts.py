"""Splits as a table that other programs read, and what their parts have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline.evaluation.leaks.pictures import check_parts, near_pairs
from pipeline.evaluation.splits import PARTS, Split, shared_groups


@dataclass(frozen=True)
class PartsReport:
    """One split: images and groups of each part; ``shared_groups``, of test that also train or validate;
    ``near_pairs``, pairs of a test and another image whose hashes are near (images of equal bytes are refused).
    """

    split: int
    images: dict[str, int]
    groups: dict[str, int]
    shared_groups: int
    near_pairs: int


def split_table(scored: pa.Table, splits: Sequence[Split]) -> pa.Table:
    """image_id, group, mos, and a column a split (``split_0`` on): train, val or test; null in no part."""
    columns = {name: scored[name] for name in ("image_id", "group", "mos")}
    for split in splits:
        parts = np.full(len(scored), None, dtype=object)
        for part in PARTS:
            parts[getattr(split, part)] = part
        columns[f"split_{split.index}"] = pa.chunked_array([pa.array(parts.tolist(), pa.string())])
    return pa.table(columns)


def parts_report(scored: pa.Table, splits: Sequence[Split], bits: int) -> list[PartsReport]:
    """What the parts of each split have in common. ``LeakError`` for images of equal bytes in two parts."""
    check_parts(splits, scored["sha256"].to_pylist())
    groups, hashes = np.asarray(scored["group"].to_pylist()), scored["phash"].to_numpy()
    reports = []
    for split in splits:
        parts = {part: getattr(split, part) for part in PARTS}
        others = np.concatenate((split.train, split.val))
        reports.append(
            PartsReport(
                split.index,
                {part: len(rows) for part, rows in parts.items()},
                {part: len(set(groups[rows])) for part, rows in parts.items()},
                shared_groups(split, groups),
                len(near_pairs(hashes[split.test], hashes[others], bits)[1]),
            )
        )
    return reports
