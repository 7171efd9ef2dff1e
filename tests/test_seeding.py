"""Draws depend on (seed, stage, keys) and on nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.seeding import generator

KEY = st.integers(0, 2**32 - 1)
GOLDEN = [
    [7231570069769383858, 7900565623259438445, 2066684899652835551, 210381332412773968],
    [2204015292828678546, 828741164004293571, 5237870293296202401, 8536317649986971134],
]


def draws(*arguments: object) -> list[int]:
    return generator(*arguments).integers(0, 2**63, 4).tolist()  # type: ignore[arg-type]


def test_the_numbers_are_the_ones_that_were_promised() -> None:
    assert draws(0, "golden") == GOLDEN[0]
    assert draws(2026, "distort/photos", 3) == GOLDEN[1]


def test_it_is_a_philox_generator() -> None:
    assert isinstance(generator(0, "stage").bit_generator, np.random.Philox)


@given(st.integers(0, 2**64), st.text(max_size=8), st.lists(KEY, max_size=4))
def test_equal_arguments_give_equal_draws(seed: int, stage: str, keys: list[int]) -> None:
    assert draws(seed, stage, *keys) == draws(seed, stage, *keys)


Arguments = st.tuples(st.integers(0, 2**40), st.sampled_from(["a", "b", "a/b"]), st.lists(KEY, max_size=3).map(tuple))


@given(Arguments, Arguments)
def test_other_arguments_give_other_draws(one: tuple, other: tuple) -> None:
    same = one == other
    assert (draws(one[0], one[1], *one[2]) == draws(other[0], other[1], *other[2])) is same


def test_zeros_and_borders_between_keys_count() -> None:
    lists = [(), (0,), (0, 0), (1,), (1, 0), (0, 1), (2**32 - 1,)]
    assert len({tuple(draws(5, "stage", *keys)) for keys in lists}) == len(lists)


def test_numpy_integers_are_the_same_keys() -> None:
    assert draws(np.int64(3), "stage", np.int32(4)) == draws(3, "stage", 4)


def test_children_do_not_depend_on_how_many_are_spawned() -> None:
    few, many = generator(1, "stage", 2).spawn(3), generator(1, "stage", 2).spawn(126)
    assert [g.integers(2**32) for g in few] == [g.integers(2**32) for g in many[:3]]


@pytest.mark.parametrize("arguments", [(-1, "s"), (0, "s", -1), (0.5, "s"), (0, "s", 1.5)])
def test_what_is_not_an_integer_from_zero_is_refused(arguments: tuple) -> None:
    with pytest.raises(ValueError, match="stage 's'"):
        generator(*arguments)


def test_a_key_that_another_list_of_keys_could_equal_is_refused() -> None:
    # SeedSequence cuts 5 + 7 * 2**32 into the words 5 and 7, which are the keys (5, 7)
    with pytest.raises(ValueError, match="below 2\\*\\*32"):
        generator(0, "s", 5 + 7 * 2**32)
