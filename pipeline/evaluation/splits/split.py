"""One split of the scored images into train, validation and test parts, and what makes it fair: no group on two sides.

Groups are what the database's manifest declares (a reference with all its versions, a block of neighbouring numbers, an
image). Positions are rows of the table of scored images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline import Refusal

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


def checked(split: Split, groups: Sequence[str] | np.ndarray, *, shares_groups: bool = False) -> Split:
    """``split`` itself, or :class:`SplitError` if a row or a group is in two parts, train or test is empty, or rows do
    not ascend (predictions are looked up by their order).
    """
    groups = group_names(groups)
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
            raise SplitError(f"split {split.index}: rows {listed(rows)} are in {first} and {second}")
        if not shares_groups and (shared := sorted(set(groups[a]) & set(groups[b]))):
            raise SplitError(f"split {split.index}: groups {listed(shared)} are in {first} and {second}")
    return split


def shared_groups(split: Split, groups: Sequence[str] | np.ndarray) -> int:
    """How many of the test part's groups also train or validate."""
    groups = group_names(groups)
    return len(set(groups[split.test]) & (set(groups[split.train]) | set(groups[split.val])))


def group_names(groups: Sequence[str] | np.ndarray) -> np.ndarray:
    """The groups as an array of strings."""
    if isinstance(groups, np.ndarray) and groups.dtype.kind == "U":  # 50 bytes an image less, as often as it is asked
        return groups
    return np.asarray([str(group) for group in groups])


def listed(values: Sequence[object] | np.ndarray, most: int = 10) -> str:
    """At most ``most`` of the values, for a message."""
    shown = ", ".join(str(value) for value in list(values)[:most])
    return shown + (f" and {len(values) - most} more" if len(values) > most else "")
