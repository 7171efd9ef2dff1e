"""The order of training, and the feed that makes batches ahead."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from stand_in import StandIn

from pipeline.training.batches import Batches
from pipeline.training.cache import HostImages
from pipeline.training.classes import IDENTICAL, affinity, class_labels
from pipeline.training.feed import Feed


def epoch(batches: Batches, number: int) -> np.ndarray:
    first = number * batches.in_epoch
    return np.concatenate([places for _, places in batches.steps(first, first + batches.in_epoch)])


def test_an_epoch_sees_each_image_once() -> None:
    batches = Batches(np.arange(40) % 5, 8, seed=1)
    assert batches.in_epoch == 5 and sorted(epoch(batches, 0)) == list(range(40))
    assert not np.array_equal(epoch(batches, 0), epoch(batches, 1))


def test_steps_do_not_depend_on_where_they_begin() -> None:
    batches = Batches(np.arange(43) % 5, 8, seed=1)
    steps = dict(batches.steps(0, 20))
    for step, places in batches.steps(7, 20):
        assert np.array_equal(places, steps[step])


def test_balanced_batches_hold_groups_of_a_class() -> None:
    labels = np.arange(60) % 6
    batches = Batches(labels, 12, seed=1, per_class=3)
    assert batches.in_epoch == 4  # 10 images of a class make 3 groups of 3: 18 groups, 54 images
    seen = epoch(batches, 0)
    assert len(set(seen)) == len(seen)
    for group in seen.reshape(-1, 3):
        assert len(set(labels[group])) == 1
    assert set(seen) != set(epoch(batches, 1))  # what is left over changes


def test_impossible_batches_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"train.images_per_class: 5 does not divide train.batch, 12"):
        Batches(np.zeros(60, np.int64), 12, seed=1, per_class=5)
    with pytest.raises(ValueError, match=r"train.batch: 64 is more than an epoch has"):
        Batches(np.zeros(60, np.int64), 64, seed=1)


def test_identical_classes_join_the_pristine_one_when_asked() -> None:
    labels = np.arange(126, dtype=np.int16)
    assert np.array_equal(class_labels(labels, False), labels)
    merged = class_labels(labels, True)
    assert IDENTICAL == (1, 11, 36, 88) and (merged == 0).sum() == 5 and len(np.unique(merged)) == 122


def feed(data: StandIn, **options: int) -> Feed:
    keep, readers = options.pop("keep", 1) > 0, options.pop("readers", 1)
    images = HostImages(data, np.arange(len(data)), keep=keep, readers=readers)
    return Feed(images, Batches(data.labels.astype(np.int64), 8, seed=3), crop=32, **{"first": 0, "last": 6, **options})


def test_ranks_and_readers_cut_the_same_batches() -> None:
    data = StandIn()
    with feed(data) as whole:
        batches = list(whole)
    assert [batch.step for batch in batches] == list(range(6))
    for rank in range(2):
        with feed(data, rank=rank, ranks=2, readers=3, keep=0) as part:
            for batch, expected in zip(part, batches, strict=True):
                rows = slice(4 * rank, 4 * rank + 4)
                assert (batch.full == expected.full[rows]).all() and (batch.half == expected.half[rows]).all()
                assert (batch.labels == expected.labels[rows]).all() and (batch.places == expected.places).all()
                assert (batch.draws.spaces == expected.draws.spaces[:, rows]).all()


def test_kept_images_are_decoded_once() -> None:
    data = StandIn()
    with feed(data) as kept:
        assert len(list(kept)) == 6
    assert data.read == len(data)
    with feed(data, keep=0) as decoded:
        list(decoded)
    assert data.read == len(data) + 48


def test_an_error_of_the_data_reaches_the_step() -> None:
    class Broken(StandIn):
        def image(self, index: int) -> np.ndarray:
            raise OSError(f"sample {self.keys[index]} is damaged")

    with feed(Broken()) as broken, pytest.raises(OSError, match="is damaged"):
        list(broken)


def test_a_feed_that_is_left_early_ends_its_thread() -> None:
    before = set(threading.enumerate())
    with feed(StandIn(), last=500) as early:
        next(iter(early))
    assert set(threading.enumerate()) <= before


def test_neighbours_are_the_next_levels_of_a_type() -> None:
    assert affinity(0.0) is None
    near = affinity(0.25)
    assert near is not None and (near == near.T).all() and near.shape == (126, 126)
    for one in range(126):
        for two in range(126):
            same_type = one > 0 and two > 0 and (one - 1) // 5 == (two - 1) // 5
            expected = 1.0 if one == two else 0.25 if same_type and abs(one - two) == 1 else 0.0
            assert near[one, two] == expected, (one, two)
