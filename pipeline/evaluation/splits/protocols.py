"""The splits that a protocol draws: random by group, one group left out at a time, or the database's own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.evaluation.splits.split import PARTS, Split, SplitError, checked, group_names
from pipeline.seeding import generator


def random_splits(
    groups: Sequence[str] | np.ndarray,
    *,
    seed: int,
    database: str,
    count: int = 10,
    strata: Sequence[str] | None = None,
    validation: float = 0.1,
) -> list[Split]:
    """``count`` splits of 70 / 10 / 20 % of the groups, each drawn anew.

    test = round(0.2 g), val = round(0.1 g) (halves to even), train the rest: 57 / 8 / 16 of KADID-10k's 81 references,
    18 / 2 / 5 of TID2013's 25. Another share for ``validation`` leaves the test parts as they are. With ``strata`` (one
    an image, constant inside a group) the shares hold inside each stratum. Raises :class:`SplitError` for fewer than 3
    groups or a group that spans strata.
    """
    groups = group_names(groups)
    pools = _pools(groups, strata)
    if sum(len(pool) for pool in pools) < 3:
        raise SplitError(f"{database}: {sum(len(pool) for pool in pools)} groups; three parts need at least 3")
    splits = []
    for index in range(count):
        draw = generator(seed, f"evaluate/splits/{database}", index)
        chosen: dict[str, set[str]] = {part: set() for part in PARTS}
        for pool in pools:
            order = [pool[i] for i in draw.permutation(len(pool))]
            test, val = max(1, round(0.2 * len(pool))), max(1, round(validation * len(pool)))
            chosen["test"].update(order[:test])
            chosen["val"].update(order[test : test + val])
            chosen["train"].update(order[test + val :])
        splits.append(Split(index, *(np.flatnonzero(np.isin(groups, sorted(chosen[part]))) for part in PARTS)))
    return [checked(split, groups) for split in splits]


def leave_one_group_out(groups: Sequence[str] | np.ndarray) -> list[Split]:
    """One split a group, ordered by the groups' names: it is the test part, all others train, none validates."""
    groups = group_names(groups)
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
    groups, labels = group_names(groups), np.asarray([str(part) for part in parts])
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


def with_validation(
    split: Split, groups: Sequence[str] | np.ndarray, share: float, *, seed: int, database: str
) -> Split:
    """``split``, or where it validates on nothing, with ``share`` of all its groups (one at least) drawn from train."""
    groups = group_names(groups)
    pool = sorted(set(groups[split.train]))
    if len(split.val) or len(pool) < 2:
        return split
    size = min(len(pool) - 1, max(1, round(share * len({*pool, *groups[split.test]}))))
    order = generator(seed, f"evaluate/validation/{database}", split.index).permutation(len(pool))[:size]
    drawn = np.isin(groups[split.train], [pool[i] for i in order])
    return Split(split.index, split.train[~drawn], split.train[drawn], split.test)


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
