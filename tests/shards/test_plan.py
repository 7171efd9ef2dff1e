"""Which sample goes where: nothing lost, nothing twice, nothing moved by growing."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.labels import CLASSES
from pipeline.shards import plan


@given(st.integers(1, 200), st.integers(1, 20))
def test_blocks_hold_every_source_once(count: int, size: int) -> None:
    made = plan.blocks(count, size)
    assert [source for block in made for source in block.sources] == list(range(count))
    assert [block.index for block in made] == list(range(len(made)))
    assert all(len(block.sources) == size for block in made[:-1])


@given(st.integers(1, 100), st.integers(0, 100), st.integers(1, 20))
def test_growing_keeps_full_blocks(count: int, more: int, size: int) -> None:
    full = [block for block in plan.blocks(count, size) if len(block.sources) == size]
    assert plan.blocks(count + more, size)[: len(full)] == full


@settings(max_examples=30)
@given(st.integers(1, 4), st.integers(1, 126), st.integers(0, 5))
def test_a_layout_holds_every_class_once_in_even_parts(sources: int, shards: int, seed: int) -> None:
    block = plan.Block(3, range(10, 10 + sources))
    parts = plan.layout(block, shards, seed)
    places = [place for part in parts for place in part]
    assert sorted(places) == [(source, label) for source in block.sources for label in range(CLASSES)]
    assert len(parts) == shards and max(map(len, parts)) - min(map(len, parts)) <= 1 and all(parts)
    assert parts == plan.layout(block, shards, seed)


def test_layouts_differ_between_blocks_and_seeds() -> None:
    def order(index: int, seed: int) -> list[int]:
        return [label for _, label in plan.layout(plan.Block(index, range(1)), 1, seed)[0]]

    assert len({tuple(order(index, seed)) for index in range(3) for seed in range(3)}) == 9


def test_keys_and_names_sort_as_their_numbers() -> None:
    keys = [plan.sample_key(source, label) for source in (0, 7, 12345) for label in (0, 9, 125)]
    assert keys == sorted(keys) and plan.sample_key(7, 9) == "000007-009"
    assert plan.shard_name("distorted", 12) == "distorted-00012.tar"
