"""Pictures that are on two sides: equal bytes, or perceptual hashes a few bits apart.

The hash has 64 bits, half of them set. Of 750,000 pairs of 300 BSDS and 2,500 BIQ2021 photographs none differs in fewer
than 10 bits, and pairs grow about fivefold with every 2 bits more. Against its own version, an image differs in at most
6 after JPEG of quality 10, halving or quartering, blur (sigma 3), noise (20 levels), half contrast, gamma 0.6 (99 %) or
a border of 2 % cut off (94 %); 5 % cut off passes unseen (21 %), as do mirrored images. So 6 is the default.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import Refusal
from pipeline.evaluation.splits import Split, listed

_BLOCK = 512  # rows compared at once: 40 MB of distances against 10,000
_LEAST_BITS = 24  # a flat or symmetric picture has fewer bits set, and resembles all others of its kind


class LeakError(Refusal, ValueError):
    """What an encoder or a training part knew of the test part."""


def check_parts(splits: Sequence[Split], sha256: Sequence[str] | np.ndarray) -> None:
    """:class:`LeakError` if an image of equal bytes (``sha256`` of every position) is in two parts of a split."""
    hashes = np.asarray(sha256)
    for split in splits:
        for first, second in (("train", "val"), ("train", "test"), ("val", "test")):
            equal = np.intersect1d(hashes[getattr(split, first)], hashes[getattr(split, second)])
            if len(equal):
                rows = [int(np.flatnonzero(hashes == value)[0]) for value in equal]
                raise LeakError(f"split {split.index}: rows {listed(rows)} have equal images in {first} and {second}")


def near_pairs(first: np.ndarray, second: np.ndarray, bits: int) -> tuple[int, list[tuple[int, int]]]:
    """The least distance between two vectors of 64-bit hashes, and the pairs (i, j) at most ``bits`` apart."""
    rows, columns = (np.flatnonzero(np.bitwise_count(hashes) >= _LEAST_BITS) for hashes in (first, second))
    least, pairs = 64, list[tuple[int, int]]()
    for start in range(0, len(rows), _BLOCK):
        some = rows[start : start + _BLOCK]
        distance = np.bitwise_count(first[some][:, None] ^ second[columns][None, :])
        least = min(least, int(distance.min(initial=64)))
        pairs += [(int(some[i]), int(columns[j])) for i, j in np.argwhere(distance <= bits)]
    return least, pairs


def near_across_groups(database: pa.Table, bits: int) -> int:
    """Pairs of scored images of different groups whose hashes differ in at most ``bits``: told, not refused, since a
    burst of photographs is a matter of how the manifest cuts the groups.
    """
    scored = database.filter(pc.invert(database["is_reference"]))
    groups = np.unique(np.asarray(scored["group"].to_pylist()), return_inverse=True)[1]
    hashes, count = scored["phash"].to_numpy(), 0
    enough = np.bitwise_count(hashes) >= _LEAST_BITS
    for start in range(0, len(hashes), _BLOCK):
        some = slice(start, start + _BLOCK)
        close = np.bitwise_count(hashes[some, None] ^ hashes[None, :]) <= bits
        close &= groups[some, None] != groups[None, :]
        count += int((close & enough[some, None] & enough[None, :]).sum())
    return count // 2


def groups_in_common(train: pa.Table, test: pa.Table, bits: int) -> set[str]:
    """Groups of the database table ``train`` with an image (references too) that ``test`` has as well: of equal bytes,
    or with a hash at most ``bits`` away.
    """
    groups = np.asarray(train["group"].to_pylist())
    same = np.isin(train["sha256"].to_pylist(), test["sha256"].to_pylist())
    first, second = train["phash"].to_numpy(), np.unique(test["phash"].to_numpy())
    second = second[np.bitwise_count(second) >= _LEAST_BITS]
    for start in range(0, len(first), _BLOCK):
        some = slice(start, start + _BLOCK)
        near_by = (np.bitwise_count(first[some, None] ^ second[None, :]) <= bits).any(axis=1)
        same[some] |= near_by & (np.bitwise_count(first[some]) >= _LEAST_BITS)
    return set(groups[same].tolist())
