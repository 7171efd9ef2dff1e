"""Splits: by group, of the declared shares, and whatever leaks is refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.evaluation.splits import (
    PARTS,
    Split,
    SplitError,
    checked,
    imported_splits,
    leave_one_group_out,
    official_split,
    random_splits,
    read_splits,
    shared_groups,
    with_validation,
)


def groups_of(split: Split, groups: list[str]) -> list[set[str]]:
    return [{groups[i] for i in getattr(split, part)} for part in PARTS]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 6), min_size=3, max_size=40), st.integers(0, 2**31), st.booleans())
def test_parts_never_share_a_group_or_an_image(sizes: list[int], seed: int, leave_out: bool) -> None:
    groups = [f"g{i}" for i, size in enumerate(sizes) for _ in range(size)]
    splits = leave_one_group_out(groups) if leave_out else random_splits(groups, seed=seed, database="d", count=3)
    for split in splits:
        train, val, test = groups_of(split, groups)
        assert not (train & val or train & test or val & test)
        assert train | val | test == set(groups)
        rows = np.concatenate([split.train, split.val, split.test])
        assert sorted(rows) == list(range(len(groups)))


@pytest.mark.parametrize(
    ("count", "expected"), [(81, (57, 8, 16)), (25, (18, 2, 5)), (29, (20, 3, 6)), (30, (21, 3, 6))]
)
def test_shares_of_the_known_databases(count: int, expected: tuple[int, int, int]) -> None:
    split = random_splits([str(i) for i in range(count)], seed=1, database="d", count=1)[0]
    assert tuple(len(getattr(split, part)) for part in PARTS) == expected


def test_splits_depend_on_seed_database_and_number_only() -> None:
    groups = [str(i) for i in range(50)]
    first = random_splits(groups, seed=1, database="d", count=10)
    again = random_splits(groups[::-1], seed=1, database="d", count=5)
    for a, b in zip(first, again, strict=False):
        assert groups_of(a, groups) == groups_of(b, groups[::-1])
    assert groups_of(first[0], groups) != groups_of(first[1], groups)
    assert groups_of(first[0], groups) != groups_of(random_splits(groups, seed=2, database="d")[0], groups)
    assert groups_of(first[0], groups) != groups_of(random_splits(groups, seed=1, database="e")[0], groups)


def test_strata_keep_their_shares() -> None:
    groups = [f"{'ab'[i >= 10]}{i}" for i in range(40)]
    split = random_splits(groups, seed=0, database="d", count=1, strata=[g[0] for g in groups])[0]
    assert [[sum(groups[i][0] == s for i in getattr(split, p)) for p in PARTS] for s in "ab"] == [[7, 1, 2], [21, 3, 6]]


def test_strata_that_can_not_be_kept_are_refused() -> None:
    with pytest.raises(SplitError, match="group x is in the strata a and b"):
        random_splits(["x", "x", "y", "z"], seed=0, database="d", strata=["a", "b", "a", "a"])
    with pytest.raises(SplitError, match=r"fewer than 3 groups.*b \(1\)"):
        random_splits(list("vwxyz"), seed=0, database="d", strata=["a", "a", "a", "a", "b"])


def test_too_few_groups_are_refused() -> None:
    with pytest.raises(SplitError, match="2 groups"):
        random_splits(["a", "b"], seed=0, database="d")
    with pytest.raises(SplitError, match="2 groups"):
        leave_one_group_out(["a", "b"])


def test_official_split_draws_validation_from_training_groups() -> None:
    groups = [f"g{i // 5}" for i in range(100)]
    parts = ["test" if i < 20 else "train" for i in range(100)]
    split = official_split(parts, groups, seed=0, database="d")
    train, val, test = groups_of(split, groups)
    assert (len(train), len(val), len(test)) == (14, 2, 4)
    assert list(split.test) == list(range(20))
    given_val = official_split(["val" if i > 90 else p for i, p in enumerate(parts)], range(100), seed=0, database="d")
    assert list(given_val.val) == list(range(91, 100))
    unused = official_split(["unused" if i > 95 else p for i, p in enumerate(parts)], groups, seed=0, database="d")
    assert sum(len(part) for part in (unused.train, unused.val, unused.test)) == 96


def test_official_split_that_shares_groups_needs_the_declaration() -> None:
    groups, parts = [f"g{i // 5}" for i in range(100)], ["test" if i % 5 == 0 else "train" for i in range(100)]
    with pytest.raises(SplitError, match="groups g0, .* are in train and test"):
        official_split(parts, groups, seed=0, database="d")
    split = official_split(parts, groups, seed=0, database="d", shares_groups=True)
    assert shared_groups(split, groups) == 20
    train, val, _ = groups_of(split, groups)
    assert not train & val
    with pytest.raises(SplitError, match="official_split has None"):
        official_split([None, *parts[1:]], groups, seed=0, database="d")


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"train": [0, 1], "test": [2, -1]}, "positions -1 are outside"),
        ({"train": [0, 9], "test": [2]}, "positions 9 are outside"),
        ({"train": [0, 0], "test": [2]}, "repeated"),
        ({"train": [0, 1], "test": [1]}, "rows 1 are in train and test"),
        ({"train": [0, 2], "test": [3]}, "groups b are in train and test"),
        ({"train": [0, 2]}, "no test part"),
        ({"train": [0, 1], "test": [2.5]}, "positions are float64, expected whole numbers"),
        ({"train": [True, True, False, False], "test": [3]}, "positions are bool"),
    ],
)
def test_imported_splits_that_leak_are_refused(part: dict[str, list[int]], message: str) -> None:
    with pytest.raises(SplitError, match=message):
        imported_splits([part], ["a", "a", "b", "b"])


def test_imported_splits_are_taken_as_they_are() -> None:
    split = imported_splits([{"train": [1, 0], "test": [3, 2]}], ["a", "a", "b", "b"])[0]
    assert (list(split.train), list(split.val), list(split.test)) == ([0, 1], [], [2, 3])


@pytest.mark.parametrize("test", [[3, 2], [2, 4], [-1, 2], [2, 2]])
def test_rows_that_do_not_ascend_within_the_table_are_refused(test: list[int]) -> None:
    split = Split(0, np.array([0, 1]), np.empty(0, np.int64), np.array(test))
    with pytest.raises(SplitError, match=r"split 0, test: rows must ascend, within 0\.\.3"):
        checked(split, ["a", "a", "b", "b"])


def test_an_empty_part_is_refused() -> None:
    empty, full = np.empty(0, np.int64), np.arange(3)
    with pytest.raises(SplitError, match="neither may be empty"):
        checked(Split(0, full, empty, empty), list("abc"))


def test_a_split_file_gives_image_ids_or_positions_and_is_refused_by_name(tmp_path: Path) -> None:
    path, ids, groups = tmp_path / "splits.json", ["a", "b", "c", "d"], ["1", "1", "2", "3"]

    def read(content: str) -> list[Split]:
        path.write_text(content)
        return read_splits(path, ids, groups)

    named = read('[{"train": ["b", "a"], "val": ["c"], "test": ["d"]}]')
    numbered = read('[{"train": [0, 1], "val": [2], "test": [3]}]')
    for first, second in zip(named, numbered, strict=True):
        for part in ("train", "val", "test"):
            assert getattr(first, part).tolist() == getattr(second, part).tolist()
    assert len(read('[{"train": [0, 1], "test": [3]}]')[0].val) == 0
    for content, message in (
        ("{", "splits.json: "),
        ("[]", "not a list of splits"),
        ('[{"train": ["a"], "test": ["nobody"]}]', "split 0: .*nobody.* no scored images"),
        ('[{"train": [0, 1], "test": [-1]}]', "outside 0..3"),
        ('[{"train": [0, 1], "test": [4]}]', "outside 0..3"),
        ('[{"train": [0], "test": [1]}]', "splits.json: "),
        ('[{"train": [0.5], "test": [3]}]', "expected whole numbers"),
        ('[{"training": [0], "test": [3]}]', "expected lists train, val, test"),
    ):
        with pytest.raises(SplitError, match=message):
            read(content)
    with pytest.raises(SplitError, match="nothing.json: "):
        read_splits(tmp_path / "nothing.json", ids, groups)


def test_a_split_without_a_validation_part_gives_whole_groups_of_its_train_part() -> None:
    groups = [f"g{i // 3}" for i in range(60)]
    split = leave_one_group_out(groups)[4]
    whole = with_validation(split, groups, 0.1, seed=1, database="d")
    train, val, test = groups_of(whole, groups)
    assert len(val) == 2 and not (train & val or val & test) and len(train) == 17
    assert whole.test.tolist() == split.test.tolist() and sorted([*whole.train, *whole.val]) == split.train.tolist()
    assert with_validation(whole, groups, 0.1, seed=2, database="d") is whole
