"""Images of equal pixels: tied into one group, so that they are never on two sides of a split.

Released databases hold such images. CLIVE has one photograph under two numbers; in KADID-10k four classes equal their
reference.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.databases.manifest import Manifest

Row = dict[str, Any]


def equal_sets(rows: Sequence[Row], pixels: Mapping[str, str]) -> list[list[Row]]:
    """Sets of two or more rows whose images have the same digest in ``pixels`` (image_id -> digest), by their names."""
    same: dict[str, list[Row]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: str(row["image_id"])):
        same[pixels[row["image_id"]]].append(row)
    return [equal for equal in same.values() if len(equal) > 1]


def tied(rows: Sequence[Row], equals: Sequence[Sequence[Row]]) -> list[Row]:
    """``rows`` with the groups of equal images made one, called like the first of their names in order."""
    group_of: dict[str, str] = {}

    def root(group: str) -> str:
        while group in group_of:
            group = group_of[group]
        return group

    for equal in equals:
        roots = sorted({root(str(row["group"])) for row in equal})
        group_of |= dict.fromkeys(roots[1:], roots[0])
    return [{**row, "group": root(str(row["group"]))} for row in rows]


def across_official_parts(manifest: Manifest, equals: Sequence[Sequence[Row]]) -> list[str]:
    """Equal images that the database's own split puts into different parts, unless the manifest accepts that."""
    if manifest.official_shares_groups:
        return []
    parts = [{row["official_split"] for row in equal if not row["is_reference"]} - {None, "unused"} for equal in equals]
    return [names(equal) for equal, part in zip(equals, parts, strict=True) if len(part) > 1]


def names(equal: Sequence[Row]) -> str:
    """``a = b`` for a set of equal images."""
    return " = ".join(str(row["image_id"]) for row in equal)
